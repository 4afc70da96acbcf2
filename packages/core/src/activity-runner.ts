/**
 * One attempt of an activity: its context, its limits, its answer.
 */
import type { ActivityContext, AnyActivity, OrchestrationClient } from "./context.ts";
import { NonRetryableError, OutcomeUnknownError, TimeoutError } from "./errors.ts";
import type { ActivityScheduled, RecordedActivityOptions, RecordedRetryPolicy } from "./events.ts";
import type { Job } from "./job.ts";
import { copyOfJson, type Payload } from "./payload.ts";
import type { Clock, LogFields, Logger } from "./ports.ts";
import { assertValid } from "./schema.ts";
import { toPayload } from "./to-payload.ts";

/** What attempts are given by the worker. */
export interface ActivityEnvironment {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly client: () => OrchestrationClient;
  readonly payloadLimit: number;
  /** Keeps what the job said in a heartbeat. */
  readonly keepHeartbeat: (job: Job, details: Payload | undefined) => void;
}

/** What is said of the call, and where it says nothing, of the activity. */
export function effectiveOptions(definition: AnyActivity, request: ActivityScheduled): RecordedActivityOptions {
  return request.options === undefined ? definition.recorded : { ...definition.recorded, ...request.options };
}

/** Without a policy nothing is tried again: what may be repeated is for the author to say. */
export const once: RecordedRetryPolicy = {
  maxAttempts: 1,
  initialIntervalMs: 0,
  backoff: 1,
  maxIntervalMs: 0,
  jitter: 0,
};

/**
 * Runs one attempt. Resolves to what the activity returned, for {@link resultOf}; rejects with what it threw, with
 * `TimeoutError`, or with why the job was abandoned. Most activities are a promise of their own already, and every
 * further one costs as much as all the rest of an attempt.
 */
export function runActivity(definition: AnyActivity, job: Job, environment: ActivityEnvironment): Promise<unknown> {
  const { timeoutMs, heartbeatTimeoutMs } = effectiveOptions(definition, job.item.request as ActivityScheduled);
  if (timeoutMs === undefined && heartbeatTimeoutMs === undefined) {
    return attempt(definition, job, new RunningActivity(job, environment));
  }
  return limitedAttempt(definition, job, environment, timeoutMs, heartbeatTimeoutMs);
}

/** @throws PayloadError when it cannot be recorded. That is not retryable: the work has been done. */
export function resultOf(returned: unknown, activity: string, payloadLimit: number): Payload | undefined {
  try {
    return toPayload(returned, "result of activity", activity, payloadLimit);
  } catch (error) {
    throw notAgain(error);
  }
}

function attempt(definition: AnyActivity, job: Job, context: ActivityContext): Promise<unknown> {
  try {
    const { name, input: recorded } = job.item.request as ActivityScheduled;
    const input = copyOfJson(recorded); // what an attempt changes in it must not reach the next one
    const { input: schema } = definition.options;
    const checked = schema === undefined ? input : assertValid(schema, input, `the input of activity ${name}`);
    return Promise.resolve(definition.run(context, checked as never));
  } catch (error) {
    return Promise.reject(error as Error);
  }
}

function notAgain(error: unknown): unknown {
  return error instanceof Error ? Object.assign(error, { retryable: false }) : new NonRetryableError(String(error));
}

async function limitedAttempt(
  definition: AnyActivity,
  job: Job,
  environment: ActivityEnvironment,
  timeoutMs: number | undefined,
  heartbeatTimeoutMs: number | undefined,
): Promise<unknown> {
  const { clock } = environment;
  const { name, instanceId } = { name: definition.name, instanceId: job.item.instanceId };
  const stops: (() => void)[] = [];
  try {
    return await new Promise((resolve, reject) => {
      const expire = (what: string) => {
        const message = `Expected activity ${name} of instance ${instanceId} to ${what}`;
        const irreversible =
          effectiveOptions(definition, job.item.request as ActivityScheduled).effect === "irreversible";
        const error = irreversible
          ? new OutcomeUnknownError(`${message}; it may have happened`)
          : new TimeoutError(message);
        reject(error);
        job.abort(error);
      };
      if (timeoutMs !== undefined) {
        stops.push(
          clock.setTimer(clock.now() + timeoutMs, () => expire(`finish within ${timeoutMs} ms, got no answer`)),
        );
      }
      let stopWatch = () => {};
      const watch = () => {
        stopWatch();
        if (heartbeatTimeoutMs === undefined) return;
        const expireSilent = () => expire(`give a heartbeat every ${heartbeatTimeoutMs} ms, got none`);
        stopWatch = clock.setTimer(clock.now() + heartbeatTimeoutMs, expireSilent);
      };
      watch();
      stops.push(() => stopWatch());
      attempt(definition, job, new RunningActivity(job, environment, watch)).then(resolve, reject);
    });
  } finally {
    for (const stop of stops) stop();
  }
}

/** The context of one attempt. Everything that costs is made when it is asked for. */
class RunningActivity implements ActivityContext {
  readonly #job: Job;
  readonly #environment: ActivityEnvironment;
  readonly #onHeartbeat: (() => void) | undefined;
  #log: Logger | undefined;

  constructor(job: Job, environment: ActivityEnvironment, onHeartbeat?: () => void) {
    this.#job = job;
    this.#environment = environment;
    this.#onHeartbeat = onHeartbeat;
  }

  get name(): string {
    return this.#request.name;
  }
  get instanceId(): string {
    return this.#job.item.instanceId;
  }
  get execution(): number {
    return this.#job.item.execution;
  }
  get orchestration(): { readonly name: string; readonly version: string } {
    return this.#job.item.orchestration;
  }
  get attempt(): number {
    return this.#job.attempt;
  }
  get idempotencyKey(): string {
    return this.#job.key;
  }
  get signal(): AbortSignal {
    return this.#job.signal;
  }
  get tag(): string | undefined {
    return this.#request.options?.tag;
  }
  get session(): string | undefined {
    return this.#request.options?.session;
  }
  get lastHeartbeat(): Payload | undefined {
    return this.#job.lastHeartbeat;
  }
  get client(): OrchestrationClient {
    return this.#environment.client();
  }

  heartbeat(details?: unknown): void {
    const payload = toPayload(details, "heartbeat of activity", this.name, this.#environment.payloadLimit);
    this.#onHeartbeat?.();
    this.#environment.keepHeartbeat(this.#job, payload);
  }

  get log(): Logger {
    this.#log ??= loggerOf(this.#job, this.name, this.#environment.logger);
    return this.#log;
  }

  get #request(): ActivityScheduled {
    return this.#job.item.request as ActivityScheduled;
  }
}

function loggerOf({ item, attempt: number }: Job, activity: string, logger: Logger): Logger {
  const facts = { instanceId: item.instanceId, execution: item.execution, activity, attempt: number };
  const at = (level: keyof Logger) => (message: string, fields?: LogFields) =>
    logger[level](message, { ...facts, ...fields });
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
