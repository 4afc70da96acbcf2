/** What happens to instances, told while it happens. */
import type { Client, InstanceState, StorageProvider } from "@stet/core";
import { type TimelineEntry, timelineOf } from "./timeline.ts";

/** Something new about an instance: an entry of its timeline that began or came out, or that it has come to rest. */
export type Happening =
  | { readonly instanceId: string; readonly execution: number; readonly entry: TimelineEntry }
  | { readonly instanceId: string; readonly atRest: InstanceState };

/** Where the instances are, and until when to look. */
export interface Place {
  readonly client: Client;
  readonly storage: StorageProvider;
  readonly signal: AbortSignal;
}

/** What happened to an instance and what happens to it, until it has ended or is blocked, or the signal is aborted. */
export async function* follow(place: Place, instanceId: string): AsyncGenerator<Happening> {
  const told = new Told(place.client, 0);
  for await (const _ of looks(place)) {
    const state = await place.client.instance(instanceId).status();
    yield* told.news(state);
    if (!isAtRest(state)) continue;
    yield { instanceId, atRest: state };
    return;
  }
}

/** What happens to all instances from now on, until the signal is aborted. */
export async function* followAll(place: Place): AsyncGenerator<Happening> {
  const since = Date.now();
  const told = new Told(place.client, since);
  const atRest = new Map<string, string>();
  for await (const _ of looks(place)) {
    const { instances } = await place.client.list({ limit: newest });
    for (const state of instances.toReversed().filter(({ updatedAt }) => updatedAt >= since)) {
      yield* told.news(state);
      const { instanceId, status, updatedAt } = state;
      const rest = isAtRest(state) ? `${status} ${updatedAt}` : "";
      if (rest !== "" && atRest.get(instanceId) !== rest) yield { instanceId, atRest: state };
      atRest.set(instanceId, rest);
    }
  }
}

/** Whether nothing happens to it by itself any more. */
function isAtRest({ status }: InstanceState): boolean {
  return status !== "pending" && status !== "running";
}

const newest = 200;

/** A store that tells of no change is looked at this often. */
const lookAgainMs = 1_000;

/** Comes round at once and after each change of the store. */
async function* looks({ storage, signal }: Place): AsyncGenerator<void> {
  let wake = (): void => undefined;
  let changed = true;
  const notice = (): void => {
    changed = true;
    wake();
  };
  const unsubscribe = storage.onChange(notice);
  const timer = setInterval(notice, lookAgainMs);
  signal.addEventListener("abort", notice);
  try {
    while (!signal.aborted) {
      changed = false;
      yield;
      if (!changed) await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    unsubscribe();
    clearInterval(timer);
    signal.removeEventListener("abort", notice);
  }
}

/** What has been told already, so that nothing is told twice. */
class Told {
  readonly #client: Client;
  readonly #since: number;
  /** By instance: the last execution that was read, and how its entries had come out. */
  readonly #instances = new Map<string, { execution: number; readonly updatedAt: number; outcomes: Outcomes }>();

  constructor(client: Client, since: number) {
    this.#client = client;
    this.#since = since;
  }

  /** Entries that began or came out since it was asked last. */
  async *news({ instanceId, execution: current, updatedAt }: InstanceState): AsyncGenerator<Happening> {
    const known = this.#instances.get(instanceId);
    // Two commits may share a millisecond: what is fresh is read again.
    if (known?.updatedAt === updatedAt && Date.now() - updatedAt > lookAgainMs) return;
    let outcomes: Outcomes = known?.outcomes ?? new Map();
    for (let execution = known?.execution ?? (this.#since === 0 ? 1 : current); execution <= current; execution++) {
      if (execution !== known?.execution) outcomes = new Map();
      for (const entry of timelineOf(await this.#client.instance(instanceId).history(execution))) {
        if (outcomes.has(entry.eventId) && outcomes.get(entry.eventId) === entry.outcome) continue;
        outcomes.set(entry.eventId, entry.outcome);
        if (entry.at + (entry.tookMs ?? 0) >= this.#since) yield { instanceId, execution, entry };
      }
      this.#instances.set(instanceId, { execution, updatedAt, outcomes });
    }
  }
}

type Outcomes = Map<number, TimelineEntry["outcome"]>;
