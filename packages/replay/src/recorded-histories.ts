/** Where recorded histories come from: a store, through its client, or a file. Nothing is written to either. */
import {
  asStetError,
  type Client,
  type HistoryEvent,
  InputError,
  type InstanceState,
  isClosing,
  type ListOptions,
  type PayloadCodec,
  type StetError,
} from "@stet/core";
import { TextCodec, treeOf } from "@stet/core/internal";

/** The history of one execution. */
export interface RecordedHistory {
  readonly instanceId: string;
  readonly rootId: string;
  readonly execution: number;
  /** Its events from the first on, or why they cannot be read. */
  readonly events: readonly HistoryEvent[] | StetError;
}

/** Histories read from a store at once. */
const readAtOnce = 50;

/**
 * The histories of the instances that a listing finds, or of one instance: all executions that are still stored.
 *
 * @example
 * ```ts
 * for await (const { instanceId, execution } of historiesOf(client, { status: "running" })) console.log(instanceId, execution);
 * ```
 * @throws InstanceError (`instance_not_found`) when there is no such instance.
 */
export async function* historiesOf(client: Client, which: string | ListOptions = {}): AsyncGenerator<RecordedHistory> {
  if (typeof which === "string") {
    const { instanceId, rootId } = await client.instance(which).status();
    yield* await executionsOf(client, { instanceId, rootId });
    return;
  }
  let { cursor } = which;
  do {
    const page = await client.list({ limit: 1000, ...which, ...(cursor !== undefined && { cursor }) });
    for (let i = 0; i < page.instances.length; i += readAtOnce) {
      const some = page.instances.slice(i, i + readAtOnce);
      for (const histories of await Promise.all(some.map((each) => executionsOf(client, each)))) yield* histories;
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
}

async function executionsOf(
  client: Client,
  { instanceId, rootId }: Pick<InstanceState, "instanceId" | "rootId">,
): Promise<RecordedHistory[]> {
  const executions = await client.executions(instanceId);
  return Promise.all(
    executions.map(async ({ execution }) => {
      const events = await client.instance(instanceId).history(execution).catch(asStetError);
      return { instanceId, rootId, execution, events };
    }),
  );
}

/**
 * The histories in what was read from a JSON file: a capsule of `client.export()`, one history as `handle.history()`
 * answers it, or a list of such, each with its `instanceId`, `rootId`, `execution` and `events`.
 *
 * @param options - `name`: what a history without an instance is called; `codec`: the one that sealed the capsule.
 * @throws InputError when it is none of these, or when the capsule is damaged.
 */
export async function historiesIn(
  content: unknown,
  { name = "instance", codec }: { readonly name?: string; readonly codec?: PayloadCodec } = {},
): Promise<RecordedHistory[]> {
  if (isHistory(content)) return [{ instanceId: name, rootId: name, execution: 1, events: content }];
  const records = (Array.isArray(content) ? content : [content]) as readonly unknown[];
  if (records.length > 0 && records.every(isRecord)) return records.map(historyOf);
  if ((content as { readonly format?: unknown } | null)?.format === "stet-capsule") return inCapsule(content, codec);
  throw new InputError(
    `Expected ${name} to be a capsule, a history or a list of histories with their instances, got something else`,
  );
}

async function inCapsule(content: unknown, codec: PayloadCodec | undefined): Promise<RecordedHistory[]> {
  const { instances, payloads } = treeOf(content);
  const rootId = instances[0]?.instanceId ?? "";
  const bodies = new Map(payloads.map((payload) => [payload.digest, payload]));
  const source = (digests: readonly string[]) => Promise.resolve(digests.flatMap((digest) => bodies.get(digest) ?? []));
  const text = new TextCodec(codec);
  const histories: RecordedHistory[] = [];
  for (const { instanceId, executions } of instances) {
    for (const { execution, history } of executions) {
      const what = `the history of instance ${instanceId}, execution ${execution}`;
      const chunks = history.map(({ body }) => body);
      const events = await (async () => text.decodeHistory(chunks, rootId, source, what))().catch(asStetError);
      histories.push({ instanceId, rootId, execution, events });
    }
  }
  return histories;
}

interface StoredRecord {
  readonly instanceId: string;
  readonly rootId?: string;
  readonly execution?: number;
  readonly events: readonly HistoryEvent[];
}

function isRecord(value: unknown): value is StoredRecord {
  const { instanceId, events } = (value ?? {}) as Partial<StoredRecord>;
  return typeof instanceId === "string" && isHistory(events);
}

function historyOf({ instanceId, rootId = instanceId, execution = 1, events }: StoredRecord): RecordedHistory {
  return { instanceId, rootId, execution, events };
}

function isHistory(value: unknown): value is HistoryEvent[] {
  const [first] = (Array.isArray(value) ? value : []) as readonly unknown[];
  return (first as HistoryEvent | undefined)?.kind === "OrchestrationStarted";
}

/** Whether the execution has not ended. */
export function isOpen(events: readonly HistoryEvent[]): boolean {
  const last = events.at(-1);
  return last !== undefined && !isClosing(last);
}
