/**
 * What the store says in the end, without what may differ between two runs of the same thing.
 *
 * A fact is a request together with its answers, or an event that stands alone. Left out are:
 *   - instants (`at`, `fireAt`, `timeoutAt`, times of instances): a crash costs time;
 *   - `attempts` and `wasted`: a crash costs attempts;
 *   - event ids, in whatever names them, and the order of facts: activities that run side by side may end in another
 *     order, and then the code asks for what follows in another order;
 *   - of model calls that share answers, what each used: a crash, or who came first, makes another of them the one that pays;
 *   - what models said while they spoke: it begins again after a crash, and comes to the answer that is compared;
 *   - ids that the engine made of the parent's: they count children in the order of their start.
 * All else must be the same, as often: names, inputs, results, failures, questions to models and their answers, children,
 * events, state, outputs, and how each instance ended.
 */
import {
  canonicalJson,
  type Client,
  type HistoryEvent,
  type InstanceState,
  type LlmCompleted,
  type Payload,
  type RecordedLlmOptions,
} from "@stet/core";

/** What was recorded of one instance. */
export interface RecordedInstance {
  readonly state: InstanceState;
  readonly histories: readonly { readonly execution: number; readonly events: readonly HistoryEvent[] }[];
  readonly values: { readonly [key: string]: Payload };
  readonly outputs: readonly Payload[];
}

/** Everything in a store. */
export async function readRecorded(client: Client): Promise<RecordedInstance[]> {
  const recorded: RecordedInstance[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ limit: 500, ...(cursor !== undefined && { cursor }) });
    for (const state of page.instances) recorded.push(await readInstance(client, state));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return recorded;
}

async function readInstance(client: Client, state: InstanceState): Promise<RecordedInstance> {
  const handle = client.instance(state.instanceId);
  const histories = [];
  for (const { execution } of await client.executions(state.instanceId)) {
    histories.push({ execution, events: await handle.history(execution) });
  }
  const outputs: Payload[] = [];
  if (hasEnded(state))
    for await (const { data, stream } of handle.outputs()) if (stream === undefined) outputs.push(data);
  return { state, histories, values: await handle.state(), outputs };
}

function hasEnded({ status }: InstanceState): boolean {
  return status !== "pending" && status !== "running" && status !== "blocked";
}

/** The facts of all instances as sorted lines. Two runs of the same thing have equal ones. */
export function factsOf(recorded: readonly RecordedInstance[]): string[] {
  return recorded.flatMap((instance) => instanceFacts(instance)).sort();
}

function instanceFacts({ state, histories, values, outputs }: RecordedInstance): string[] {
  const who = state.parentId === undefined ? state.instanceId : nameOf(state.instanceId, state.parentId);
  const facts: object[] = histories.flatMap(({ execution, events }) =>
    eventFacts(events, state.instanceId).map((fact) => ({ execution, ...fact })),
  );
  const { name, version = "", status, customStatus = null } = state;
  facts.push({ name, version, status, customStatus, values, outputs });
  return facts.map((fact) => `${who}: ${canonicalJson(JSON.parse(JSON.stringify(fact)) as Payload)}`);
}

function eventFacts(events: readonly HistoryEvent[], instanceId: string): object[] {
  const requests = new Map<number, { answers?: object[]; options?: RecordedLlmOptions }>();
  const facts: object[] = [];
  for (const event of events) {
    const { id, source, ...body } = withoutChance(event, instanceId);
    const request = requests.get(source ?? 0);
    if (request !== undefined) (request.answers ??= []).push(request.options?.cache === undefined ? body : free(body));
    else {
      facts.push(body);
      requests.set(id, body);
    }
  }
  return facts;
}

/** An answer without what it cost. */
function free(body: Partial<LlmCompleted>): object {
  const { usage: _usage, costUsd: _costUsd, cached: _cached, ...answer } = body;
  return answer;
}

/** Without what the head of the file says. */
function withoutChance(event: HistoryEvent, instanceId: string): { id: number; source?: number } {
  const { at: _, ...kept } = event as HistoryEvent & Partial<Record<ChanceMember, unknown>>;
  for (const member of chance) delete kept[member];
  if ("instanceId" in kept) Object.assign(kept, { instanceId: nameOf(kept.instanceId, instanceId) });
  return kept;
}

const chance = ["fireAt", "timeoutAt", "attempts", "wasted", "parent", "forkedFrom", "refines"] as const;
type ChanceMember = (typeof chance)[number];

/** The id of an instance as far as it was chosen by somebody. */
function nameOf(instanceId: string, parentId: string): string {
  return instanceId.startsWith(`${parentId}:`) ? "(child)" : instanceId;
}

/** The request that an event answers or takes back. What the code made of an answer settles nothing. */
function requestSettledBy(event: HistoryEvent): number | undefined {
  if (!("source" in event) || event.kind === "LlmAnswerRefused" || event.kind === "LlmAnswerTrimmed") return undefined;
  return event.source;
}

/** Requests of one execution that were answered more than once. */
export function answeredTwice(recorded: readonly RecordedInstance[]): string[] {
  return recorded.flatMap(({ state, histories }) =>
    histories.flatMap(({ execution, events }) => {
      const answered = new Set<number>();
      return events.flatMap((event) => {
        const request = requestSettledBy(event);
        if (request === undefined || answered.size < answered.add(request).size) return [];
        return [
          `Expected event ${request} of instance ${state.instanceId}, execution ${execution}, to be answered once, got ${event.kind} (event ${event.id}) as well`,
        ];
      });
    }),
  );
}

/** How often each recorded activity was started according to its history, by idempotency key. */
export function recordedAttempts(recorded: readonly RecordedInstance[]): Map<string, number> {
  const attempts = new Map<string, number>();
  for (const { state, histories } of recorded) {
    for (const { execution, events } of histories) {
      for (const event of events) {
        if (event.kind !== "ActivityCompleted" && event.kind !== "ActivityFailed") continue;
        attempts.set(`${state.instanceId}/${execution}/${event.source}`, event.attempts ?? 1);
      }
    }
  }
  return attempts;
}

/** Whether an irreversible activity was cut off: then the code may rightly go another way than undisturbed. */
export function hasUnknownOutcome(recorded: readonly RecordedInstance[]): boolean {
  return recorded.some(({ histories }) =>
    histories.some(({ events }) =>
      events.some((event) => event.kind === "ActivityFailed" && event.error.code === "outcome_unknown"),
    ),
  );
}
