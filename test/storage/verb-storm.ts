/**
 * Verbs of the seam in each other's way: workers on one store that do everything at once, with many rows in one call, in
 * no order, to a handful of trees. What comes of it does not matter here, only that nobody stands in anybody's way for good.
 */
import type {
  BudgetChanges,
  ClaimedTurn,
  ClaimedWork,
  InstanceKey,
  OutgoingMessage,
  OutgoingStart,
  OutgoingWork,
  StorageProvider,
  StoredTree,
  TurnCommit,
  WorkerKey,
} from "@stet/core";
import { isStetError } from "@stet/core";
import { Chance } from "../chaos/chance.ts";

/** What there is to fight for. Ids are few, so that everybody wants the same. */
const roots = Array.from({ length: 5 }, (_, n) => `root-${n}`);
const children = Array.from({ length: 15 }, (_, n) => `child-${n}`);
const ids = [...roots, ...children];
const keys = ["a", "b", "c"];
const model = "large";
const windows = [{ ms: 1_000, requests: 1_000, tokens: 1_000_000 }];

/** How many calls a worker has under way at a time. */
const lanes = 4;

/** How a storm is raised. */
export interface StormPlan {
  readonly seed: number;
  /** One handle of the store for each worker. */
  readonly handles: readonly StorageProvider[];
  /** How many verbs are called in all. */
  readonly verbs: number;
}

/** Raises a storm, and answers how often which verb was called. Open handles, all of one store. */
export async function raiseStorm({ seed, handles, verbs }: StormPlan): Promise<Record<string, number>> {
  const called: Record<string, number> = {};
  const workers = handles.map((store, n) => new StormWorker(store, new Chance(seed + 7_919 * n), `worker-${n}`));
  let left = verbs;
  const lane = async (worker: StormWorker): Promise<void> => {
    while (left-- > 0) {
      const verb = await worker.act();
      called[verb] = (called[verb] ?? 0) + 1;
    }
  };
  await Promise.all(workers.map((worker) => worker.register()));
  await Promise.all(workers.flatMap((worker) => Array.from({ length: lanes }, () => lane(worker))));
  return called;
}

/** What a worker knows of an instance that it may own. */
interface Held {
  turn: ClaimedTurn;
  /** Requests that it made. */
  readonly requests: number[];
  refusals: readonly number[];
}

type Verb = keyof StormWorker["verbs"];

class StormWorker {
  readonly #store: StorageProvider;
  readonly #chance: Chance;
  readonly #name: string;
  #key: WorkerKey = 0;
  #now = 1_000_000;
  readonly #held = new Map<InstanceKey, Held>();
  /** Those that a call is about: one at a time moves an instance or gives it back, as in the engine. */
  readonly #busy = new Set<InstanceKey>();
  #items: ClaimedWork[] = [];
  #requests = 0;
  #exported: StoredTree | undefined;

  constructor(store: StorageProvider, chance: Chance, name: string) {
    this.#store = store;
    this.#chance = chance;
    this.#name = name;
  }

  async register(): Promise<void> {
    this.#held.clear();
    this.#items = [];
    const capabilities = { orchestrations: ["o"], activities: ["x"], models: true, tags: [] };
    this.#key = await this.#store.registerWorker({ name: this.#name, host: "h", pid: 1, capabilities, now: this.#now });
  }

  /** Calls one verb, and says which. */
  async act(): Promise<string> {
    this.#now += this.#chance.between(0, 50);
    const verb = this.#chance.pick(often);
    try {
      await this.verbs[verb]();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
    return verb;
  }

  readonly verbs = {
    claimTurns: async (): Promise<void> => {
      const held = this.#maybe(0.2, () => [...this.#held.keys()]);
      const turns = await this.#store.claimTurns({
        ...{ worker: this.#key, now: this.#now, max: this.#chance.pick([2, 20]), buildId: "b" },
        ...{ orchestrations: ["o", "o@1"], ...(held !== undefined && { held }) },
      });
      for (const turn of turns) {
        const known = this.#held.get(turn.key);
        if (known === undefined) {
          this.#held.set(turn.key, { turn, requests: [], refusals: [] });
        } else if (!this.#busy.has(turn.key)) known.turn = turn;
      }
    },

    commitTurns: async (): Promise<void> => {
      const held = this.#some(this.#idle());
      if (held.length === 0) return this.verbs.claimTurns();
      const commits = held.map((each) => this.#turnOf(each));
      const outcomes = await this.#alone(held, () => this.#store.commitTurns(this.#key, commits));
      held.forEach((each, i) => this.#note(each, commits[i]!, outcomes[i]!));
    },

    releaseInstances: async (): Promise<void> => {
      const idle = this.#some(this.#idle());
      const keys = idle.map(({ turn }) => turn.key);
      for (const key of keys) this.#held.delete(key);
      await this.#alone(idle, () => this.#store.releaseInstances(this.#key, keys));
    },

    saveWork: async (): Promise<void> => {
      const held = this.#some(this.#idle());
      const work = held.map(({ turn, requests }) => ({
        ...this.#work(turn, this.#request(requests)),
        ...{ instance: turn.key, owned: this.#chance.next() < 0.5 },
      }));
      await this.#alone(held, () => this.#store.saveWork(this.#key, work));
    },

    claimWork: async (): Promise<void> => {
      const items = await this.#store.claimWork({
        ...{ worker: this.#key, now: this.#now, max: 8, activities: ["x"], models: true, exceptLines: [model] },
        ...{ tags: [], sessionIdleMs: 50 },
      });
      this.#items.push(...items);
    },

    claimCalls: async (): Promise<void> => {
      const { calls } = await this.#store.claimCalls({
        ...{ worker: this.#key, now: this.#now, max: 5, model, lines: [model], windows },
      });
      this.#items.push(...calls);
    },

    completeWork: async (): Promise<void> => {
      const completions = this.#takeItems().map(({ key, instanceId, execution, eventId }) => ({
        ...{ key, message: { ...this.#message(instanceId), answers: { execution, eventId } } },
        ...this.#maybe(0.5, () => this.#used()),
      }));
      await this.#store.completeWork(this.#key, completions);
    },

    retryWork: async (): Promise<void> => {
      const retries = this.#takeItems().map(({ key }) => ({
        ...{ key, visibleAt: this.#now + this.#chance.between(0, 20), failure: "again" },
        ...this.#maybe(0.5, () => this.#used()),
      }));
      await this.#store.retryWork(this.#key, retries);
    },

    abandonWork: (): Promise<void> =>
      this.#store.abandonWork(
        this.#key,
        this.#takeItems().map(({ key }) => key),
      ),

    saveHeartbeats: (): Promise<void> =>
      this.#store.saveHeartbeats(
        this.#key,
        this.#some(this.#items).map(({ key }) => ({ key, details: "half", now: this.#now })),
      ),

    heartbeat: async (): Promise<void> => {
      const now = this.#now - this.#chance.pick([0, 0, 100_000]); // a clock may be put back
      await this.#store.heartbeat({ worker: this.#key, now, work: this.#items.map(({ key }) => key) });
    },

    releaseWorker: async (): Promise<void> => {
      await this.#store.releaseWorker(this.#key);
      await this.register();
    },

    closeModel: (): Promise<void> => this.#store.closeModel(model, this.#now + this.#chance.between(0, 20)),

    appendOutputs: async (): Promise<void> => {
      const outputs = this.#some([...this.#held.values()]).map(({ turn }) => ({
        ...{ instanceId: turn.instanceId, instance: turn.key, execution: turn.execution, body: "said", at: this.#now },
      }));
      await this.#store.appendOutputs(this.#key, outputs);
    },

    saveAnswers: (): Promise<void> =>
      this.#store.saveAnswers(
        this.#some([...this.#held.values()]).map(({ turn }) => ({
          ...{ digest: this.#chance.pick(keys), body: "kept" },
          ...this.#maybe(0.6, () => ({ instance: turn.key, execution: turn.execution })),
          ...this.#maybe(0.5, () => ({ expiresAt: this.#now + 20 })),
        })),
        this.#now,
      ),

    sendMessages: async (): Promise<void> => {
      await this.#store.sendMessages(this.#some(ids).map((id) => this.#message(id)));
    },

    startInstances: async (): Promise<void> => {
      await this.#store.startInstances(this.#some(ids).map((id) => this.#start(id)));
    },

    unblock: async (): Promise<void> => void (await this.#store.admin.unblock(this.#some(ids))),

    topUp: async (): Promise<void> => {
      const amounts = { tokens: this.#chance.between(0, 50), calls: 1 };
      await this.#store.admin.topUp({ instanceId: this.#chance.pick(ids), amounts });
    },

    restart: async (): Promise<void> => {
      await this.#store.admin.restart({ instanceId: this.#chance.pick(ids), body: "again", at: this.#now });
    },

    deleteTree: async (): Promise<void> => {
      await this.#store.admin.deleteTree(this.#chance.pick(roots), this.#chance.next() < 0.7);
    },

    prune: async (): Promise<void> => {
      await this.#store.admin.prune({ endedBefore: this.#now, keepExecutions: 1, limit: 2 });
    },

    carryTree: async (): Promise<void> => {
      const tree = this.#exported ?? (await this.#store.admin.exportTree(this.#chance.pick(roots)));
      this.#exported = typeof tree === "string" ? undefined : tree;
      if (this.#exported === undefined || this.#chance.next() < 0.5) return;
      const outcome = await this.#store.admin.importTree(this.#exported);
      if (outcome === "imported") this.#exported = undefined;
    },

    read: async (): Promise<void> => {
      const { admin } = this.#store;
      await Promise.all([
        admin.stats(this.#now),
        admin.getTree(this.#chance.pick(roots)),
        admin.readOutputs(this.#chance.pick(ids), 0, 10),
        this.#store.nextWakeAt(this.#now),
      ]);
    },
  };

  #idle(): Held[] {
    return [...this.#held.values()].filter(({ turn }) => !this.#busy.has(turn.key));
  }

  async #alone<Result>(held: readonly Held[], call: () => Promise<Result>): Promise<Result> {
    for (const { turn } of held) this.#busy.add(turn.key);
    try {
      return await call();
    } finally {
      for (const { turn } of held) this.#busy.delete(turn.key);
    }
  }

  /** A turn that does some of all that turns can do. */
  #turnOf({ turn, requests, refusals }: Held): TurnCommit {
    const { key, execution, lastEventId, messages, version } = turn;
    const nothing = { history: [], consumed: [], timers: [], settled: [], work: [], messages: [], starts: [] };
    const none = { ...nothing, payloads: [], state: [], outputs: [], waits: [], unsettled: false, keep: false };
    const base = { key, execution, expectedEventId: lastEventId, at: this.#now };
    const fate = this.#chance.next();
    if (fate < 0.05) return { ...none, ...base, blocked: { error: "no", buildId: this.#chance.pick(["b", "c"]) } };
    if (fate < 0.1 && refusals.length > 0) return { ...none, ...base, suspended: { error: "no", refusals } };
    const leaves = fate > 0.95;
    const ended = fate > 0.8 && fate < 0.9;
    const settled = leaves ? [] : this.#some(requests);
    const request = this.#request(requests);
    return {
      ...base,
      history: [
        { execution, firstEventId: lastEventId + 1, lastEventId: lastEventId + 1, body: "[]" },
        ...(leaves ? [{ execution: execution + 1, firstEventId: 1, lastEventId: 1, body: "[]" }] : []),
      ],
      consumed: messages.map((message) => message.key),
      payloads: this.#some(keys).map((digest) => ({ digest, body: digest })),
      timers: this.#chance.next() < 0.3 ? [{ eventId: request, fireAt: this.#now + 10, body: "ring" }] : [],
      settled,
      work: leaves || ended ? [] : this.#some(requests.slice(0, -1)).map((eventId) => this.#work(turn, eventId)),
      messages: this.#few(ids).map((id) => this.#message(id)),
      starts: this.#few(ids).map((id) => this.#start(id, turn.instanceId)),
      state: this.#some(keys).map((name) => ({ key: name, ...this.#maybe(0.5, () => ({ value: "1" })) })),
      outputs: this.#few(keys).map((body) => ({ body, at: this.#now })),
      waits: this.#chance.next() < 0.3 ? [{ eventId: request, name: "w", since: this.#now }] : [],
      ...(version === undefined && { version: "1" }),
      ...(ended && { ended: { status: this.#chance.pick(["completed", "terminated"] as const) } }),
      ...(this.#chance.next() < 0.6 && { budget: this.#draw(turn, settled, request, leaves || ended) }),
      unsettled: this.#chance.next() < 0.5,
      keep: this.#chance.next() < 0.8,
    };
  }

  #draw(turn: ClaimedTurn, settled: readonly number[], eventId: number, isOver: boolean): BudgetChanges {
    const amounts = { tokens: this.#chance.between(1, 60), nanoUsd: 0, calls: 1 };
    const work = { ...this.#work(turn, eventId), kind: "model", name: model } as const;
    return {
      ...this.#maybe(0.4, () => ({ opened: { tokens: 100, calls: 10 } })),
      settled: settled.map((each) => ({ eventId: each, used: { tokens: 1 } })),
      bookings: isOver ? [] : [{ eventId, amounts, work, refusal: () => "refused" }],
    };
  }

  #note(held: Held, commit: TurnCommit, outcome: "committed" | "notOwner" | { refused: readonly number[] }): void {
    const isOver = commit.ended !== undefined || commit.blocked !== undefined || commit.suspended !== undefined;
    const last = commit.history.at(-1);
    if (outcome === "notOwner" || isOver || !commit.keep || last === undefined) {
      this.#held.delete(commit.key);
      return;
    }
    if (last.execution > commit.execution) held.requests.length = 0;
    const version = commit.version ?? held.turn.version;
    held.turn = {
      ...held.turn,
      ...{ execution: last.execution, lastEventId: last.lastEventId, messages: [] },
      ...(version !== undefined && { version }),
    };
    if (typeof outcome === "object") held.refusals = outcome.refused;
  }

  /** A new request. */
  #request(requests: number[]): number {
    requests.push(++this.#requests);
    if (requests.length > 8) requests.shift();
    return this.#requests;
  }

  #work({ instanceId, execution }: ClaimedTurn, eventId: number): OutgoingWork {
    const isCall = this.#chance.next() < 0.3;
    return {
      ...{ instanceId, execution, eventId, body: "do", attempts: 0 },
      ...(isCall ? { kind: "model", name: model, tokens: 5, rank: this.#now } : { kind: "activity", name: "x" }),
      ...this.#maybe(0.2, () => ({ session: this.#chance.pick(keys) })),
      ...this.#maybe(0.2, () => ({ visibleAt: this.#now + 10 })),
    };
  }

  #message(instanceId: string): OutgoingMessage {
    return {
      instanceId,
      body: "hello",
      at: this.#now,
      ...this.#maybe(0.4, () => ({ idempotencyKey: this.#pickKey() })),
    };
  }

  #start(instanceId: string, by?: string): OutgoingStart {
    const parentId = roots.includes(instanceId) ? undefined : by;
    return {
      ...{ instanceId, name: "o", body: "start", at: this.#now },
      ...(parentId !== undefined && parentId !== instanceId && { parentId }),
      ...this.#maybe(0.3, () => ({ ifExists: this.#message(by ?? this.#chance.pick(ids)) })),
    };
  }

  /** Keys that others use too, now and for a while. */
  #pickKey(): string {
    return `${this.#chance.pick(keys)}-${Math.floor(this.#now / 500)}`;
  }

  #used(): { used: { model: string; claimedAt: number; tokens: number } } {
    return { used: { model, claimedAt: this.#now, tokens: 3 } };
  }

  #takeItems(): ClaimedWork[] {
    const taken = new Set(this.#some(this.#items));
    this.#items = this.#items.filter((item) => !taken.has(item));
    return [...taken];
  }

  /** Up to six, in any order. */
  #some<Item>(items: readonly Item[]): Item[] {
    const count = Math.min(items.length, this.#chance.between(1, 6));
    const left = [...items];
    return Array.from({ length: count }, () => left.splice(this.#chance.between(0, left.length - 1), 1)[0]!);
  }

  #few<Item>(items: readonly Item[]): Item[] {
    return this.#chance.next() < 0.5 ? [] : this.#some(items).slice(0, 3);
  }

  #maybe<Value>(probability: number, value: () => Value): Value | undefined {
    return this.#chance.next() < probability ? value() : undefined;
  }
}

/** How often each verb is called, in comparison. */
const shares: { readonly [Name in Verb]: number } = {
  ...{ claimTurns: 10, commitTurns: 40, releaseInstances: 3, releaseWorker: 1, heartbeat: 2 },
  ...{ saveWork: 6, claimWork: 6, claimCalls: 4, completeWork: 8, retryWork: 5, abandonWork: 3, saveHeartbeats: 5 },
  ...{ closeModel: 1, appendOutputs: 5, saveAnswers: 4, sendMessages: 10, startInstances: 6 },
  ...{ unblock: 4, topUp: 5, restart: 2, deleteTree: 5, prune: 2, carryTree: 3, read: 2 },
};
const often: readonly Verb[] = (Object.keys(shares) as Verb[]).flatMap((verb) => Array<Verb>(shares[verb]).fill(verb));

/** A parent that somebody has deleted meanwhile. */
function isExpected(error: unknown): boolean {
  return isStetError(error) && /Expected the parent of/.test(error.message);
}
