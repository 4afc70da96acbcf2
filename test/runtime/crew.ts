/** Several workers of one process on one store, in one virtual time; and what is done to their stores. */
import assert from "node:assert/strict";
import { type TestContext } from "node:test";
import { Client, Runtime, type Clock, type HistoryEvent, type RuntimeOptions, type StorageProvider } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { VirtualClock } from "@stet/testing";
import { gate, journal, type Journal } from "./world.ts";

export const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A store between which and its worker time can stand still. */
export function pausable(store: StorageProvider) {
  let door: { opened: Promise<void>; open: () => void } | undefined;
  const storage = new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || name === "onChange") return verb;
      return async (...given: unknown[]): Promise<unknown> => {
        if (door !== undefined) await door.opened;
        return Reflect.apply(verb, target, given) as unknown;
      };
    },
  });
  return {
    storage,
    pause: () => void (door = gate()),
    resume: () => {
      door?.open();
      door = undefined;
    },
  };
}

/** A store one verb of which goes through `through`. */
export function intercepted(
  store: StorageProvider,
  verb: keyof StorageProvider,
  through: (call: () => Promise<unknown>, given: readonly unknown[]) => Promise<unknown>,
): StorageProvider {
  return new Proxy(store, {
    get(target, name) {
      const own: unknown = Reflect.get(target, name);
      if (name !== verb || typeof own !== "function") return own;
      return (...given: unknown[]) => through(() => Reflect.apply(own, target, given) as Promise<unknown>, given);
    },
  });
}

/** Several workers of one process on one store, in one virtual time. */
export interface Crew {
  readonly clock: VirtualClock;
  readonly client: Client;
  readonly store: StorageProvider;
  readonly log: Journal;
  /** How often each verb of the store was called so far, by anybody. */
  readonly calls: ReadonlyMap<string, number>;
  readonly hire: (options: Partial<RuntimeOptions>) => Promise<Runtime>;
  /** A worker that is dead cannot be shut down. */
  readonly bury: (worker: Runtime) => void;
  /** Lets everybody work until a condition holds, moving time on when `skip` says so. */
  readonly until: (condition: () => boolean | Promise<boolean>, skip?: boolean) => Promise<void>;
  /** Moves time on, a second at a time or in other steps. */
  readonly pass: (seconds: number, stepMs?: number) => Promise<void>;
}

/** More macrotasks than a worker needs from one verb to the next. */
const hopsOfWork = 10;

/** A crew on a store that is not open yet. */
export async function crew(t: TestContext, given: StorageProvider = sqlite(":memory:")): Promise<Crew> {
  const clock = new VirtualClock();
  const { storage: store, calls, isQuiet } = counted(given);
  const log = journal();
  const client = await Client.connect({ storage: store, clock });
  const workers: Runtime[] = [];
  const alive = setInterval(() => undefined, 60_000);
  t.after(async () => {
    for (const worker of workers) await worker.shutdown({ timeout: 0 });
    await client.close();
    clearInterval(alive);
  });
  const quiet = async () => {
    for (let hops = 0; hops < hopsOfWork; hops = isQuiet() ? hops + 1 : 0) await hop();
  };
  return {
    clock,
    client,
    store,
    log,
    calls,
    async hire(options) {
      const worker = await Runtime.start({ storage: store, clock, logger: log, ...options });
      workers.push(worker);
      return worker;
    },
    bury: (worker) => void workers.splice(workers.indexOf(worker), 1),
    async until(condition, skip = false) {
      const giveUpAt = performance.now() + 120_000; // a loaded machine is slow, not wrong
      while (!(await condition())) {
        assert.ok(performance.now() < giveUpAt, "Expected the condition to hold at last.");
        await hop();
        if (!skip) continue;
        await quiet();
        clock.jumpTo(clock.nextAt ?? clock.now());
      }
    },
    async pass(seconds, stepMs = 1_000) {
      for (let i = 0; i < (seconds * 1_000) / stepMs; i++) {
        clock.jumpTo(clock.now() + stepMs);
        await quiet();
      }
    },
  };
}

/** A store that counts the calls of its verbs, and knows whether one is under way. */
function counted(store: StorageProvider) {
  const calls = new Map<string, number>();
  let underWay = 0;
  const storage = new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || name === "onChange") return verb;
      return async (...given: unknown[]): Promise<unknown> => {
        calls.set(String(name), (calls.get(String(name)) ?? 0) + 1);
        underWay++;
        try {
          return (await Reflect.apply(verb, target, given)) as unknown;
        } finally {
          underWay--;
        }
      };
    },
  });
  return { storage, calls, isQuiet: () => underWay === 0 };
}

/** A worker's own view of a clock, on which it is as busy as the test says. */
export function busyClock(clock: Clock): Clock & { busy: number } {
  let [at, busyMs] = [clock.now(), 0];
  return {
    busy: 0,
    now: () => clock.now(),
    setTimer: (...timer) => clock.setTimer(...timer),
    busyMs() {
      busyMs += this.busy * (clock.now() - at);
      at = clock.now();
      return busyMs;
    },
  };
}

/** All histories of a store, by instance and execution. */
export async function histories(client: Client): Promise<Map<string, HistoryEvent[]>> {
  const { instances } = await client.list({ limit: 1000 });
  const found = new Map<string, HistoryEvent[]>();
  for (const { instanceId } of instances) {
    for (const { execution } of await client.executions(instanceId)) {
      found.set(`${instanceId}/${execution}`, await client.instance(instanceId).history(execution));
    }
  }
  return found;
}

/** Asserts that each request was answered once at most, and that nothing is missing in between. */
export function assertOnce(all: ReadonlyMap<string, HistoryEvent[]>): void {
  for (const [name, history] of all) {
    assert.deepEqual(
      history.map(({ id }) => id),
      history.map((_, i) => i + 1),
      name,
    );
    const answered = history.flatMap((event) => ("source" in event ? [event.source] : []));
    assert.equal(new Set(answered).size, answered.length, `${name} answers each request once`);
  }
}
