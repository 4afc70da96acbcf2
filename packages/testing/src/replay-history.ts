/**
 * Replaying recorded histories against code: does what was recorded still fit what is written?
 */
import type { AnyOrchestration, HistoryEvent, Logger, StetError } from "@stet/core";
import {
  defaultPayloadLimit,
  Execution,
  enterGuarded,
  installDeterminismGuard,
  type PromptDrift,
  replay,
  unrunOf,
} from "@stet/core/internal";

/** What a replay found. */
export interface ReplayReport {
  /** Whether the code asks for exactly what was recorded, in the same order, and ends the same way. */
  readonly ok: boolean;
  /** The first difference, with event id, expected and actual request and the source line. */
  readonly failure?: StetError;
  /** Model calls that today's code would ask otherwise. The recorded answers stand. */
  readonly promptDrift: readonly PromptDrift[];
}

/** Options of a replay. */
export interface ReplayOptions {
  readonly instanceId?: string;
  readonly rootId?: string;
  readonly execution?: number;
  /** The limit that the runtime had: a payload above it is refused where the call is made. @default 4 MiB */
  readonly payloadLimit?: number;
  /** Takes a changed prompt for a difference. */
  readonly promptDrift?: "report" | "error";
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Replays one execution. It may be running still: then its history is a prefix of what the code will do.
 *
 * @example
 * ```ts
 * const report = await replayHistory(handleTicket, await handle.history(), { instanceId: handle.instanceId });
 * assert.ok(report.ok, report.failure?.message);
 * ```
 */
export async function replayHistory(
  orchestration: AnyOrchestration,
  events: readonly HistoryEvent[],
  options: ReplayOptions = {},
): Promise<ReplayReport> {
  const { instanceId = "instance", execution: number = 1, rootId = instanceId } = options;
  const restore = installDeterminismGuard();
  try {
    const execution = new Execution(
      orchestration,
      { instanceId, rootId, execution: number },
      {
        logger: silent,
        payloadLimit: options.payloadLimit ?? defaultPayloadLimit,
        maxRequestsPerDelivery: Infinity,
        enter: enterGuarded,
        traceRequests: true,
      },
    );
    const seen = unrunOf(events) === undefined ? events : events.slice(0, -1);
    if (seen.length === 0 && events.length > 0) return { ok: true, promptDrift: [] };
    const strictPrompts = options.promptDrift === "error";
    const [outcome] = await replay([{ execution, events: seen, strictPrompts }], hop);
    const { failure, drift = [] } = outcome ?? {};
    return { ok: failure === undefined, promptDrift: drift, ...(failure !== undefined && { failure }) };
  } finally {
    restore();
  }
}
