/**
 * Crashes and a store in trouble, at every place where they can happen: the result is the same, nothing is recorded
 * twice, and nothing that was found is lost.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  activity,
  Client,
  isStetError,
  orchestration,
  StorageError,
  type InstanceHandle,
  type StorageProvider,
} from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";
import { all, gate, journal, ofKind } from "./world.ts";

/** What a worker asks of a store. */
const workerVerbs: ReadonlySet<PropertyKey> = new Set<keyof StorageProvider>([
  "claimTurns",
  "readHistory",
  "readPayloads",
  "readWork",
  "commitTurns",
  "releaseInstances",
  "saveWork",
  "claimWork",
  "completeWork",
  "retryWork",
  "abandonWork",
  "saveHeartbeats",
  "sendMessages",
]);

type Call = () => Promise<unknown>;

/** A store whose worker verbs go through `through`. */
function intercepted(store: StorageProvider, through: (verb: string, call: Call) => Promise<unknown>): StorageProvider {
  return new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (!workerVerbs.has(name) || typeof verb !== "function") return verb;
      return (...given: unknown[]) =>
        through(String(name), () => Reflect.apply(verb, target, given) as Promise<unknown>);
    },
  });
}

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A small orchestration that uses a bit of everything, and what its activities were seen to do. */
function mixed() {
  const starts = new Map<string, number>();
  const count = (key: string): void => void starts.set(key, (starts.get(key) ?? 0) + 1);
  const add = activity("add", async (ctx, numbers: readonly number[]) => {
    count(ctx.idempotencyKey);
    return numbers.reduce((a, b) => a + b, 0);
  });
  const flaky = activity("flaky", { retry: { maxAttempts: 20, initialInterval: "1s" } }, async (ctx, n: number) => {
    count(ctx.idempotencyKey);
    ctx.heartbeat({ attempt: ctx.attempt });
    if (starts.get(ctx.idempotencyKey) === 1) throw new Error("not yet");
    return n;
  });
  const payments = new Map<string, number>();
  const pay = activity("pay", { effect: "irreversible" }, async (ctx) => {
    count(ctx.idempotencyKey);
    payments.set(ctx.idempotencyKey, (payments.get(ctx.idempotencyKey) ?? 0) + 1);
  });
  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer("1m");
    return ctx.activity(add, [n, 1]);
  });
  const main = orchestration("main", async (ctx, sum: number): Promise<number> => {
    ctx.state.set("sum", sum);
    ctx.emit(`round ${ctx.execution}`);
    const [first, second] = await Promise.all([ctx.activity(add, [sum, 1]), ctx.activity(flaky, 2)]);
    const sticky = await ctx.activity(add, [first, second], { session: "s" });
    await ctx.activity(pay).catch((error: unknown) => assert.ok(isStetError(error, "outcome_unknown"), String(error)));
    ctx.sendEvent(ctx.instanceId, "note", "x".repeat(600));
    const note = await ctx.waitForEvent<string>("note");
    const third = await ctx.subOrchestration(child, sticky);
    await ctx.race({ timer: ctx.timer("1h"), never: ctx.waitForEvent("never", { timeout: "1d" }) });
    const next = third + note.length;
    return ctx.execution < 2 ? ctx.continueAsNew(next) : next;
  });
  return { starts, payments, orchestrations: [main, child], activities: [add, flaky, pay], main };
}

type Mixed = ReturnType<typeof mixed>;

const expected = 2 * (1 + 2 + 1 + 600);

/** Moves everything on, time included, until the instance has ended. */
async function drive(env: TestEnvironment, run: InstanceHandle, revive: () => Promise<void>): Promise<void> {
  for (let steps = 0; steps < 5_000; steps++) {
    await revive();
    for (let i = 0; i < 4; i++) await hop();
    const { status, error } = await run.status();
    if (status === "blocked") throw error ?? new Error("blocked");
    if (status !== "running" && status !== "pending") return;
    const next = env.clock.nextAt;
    if (next !== undefined) env.clock.jumpTo(Math.max(next, env.clock.now()));
  }
  throw new Error(`Expected the instance to end, got ${JSON.stringify((await run.status()).waitingFor)}`);
}

/** Moves time on until the worker has nothing left to try again. */
async function calm(env: TestEnvironment): Promise<void> {
  while (!env.runtime.isIdle) {
    for (let i = 0; i < 4; i++) await hop();
    if (env.clock.nextAt !== undefined) env.clock.jumpTo(Math.max(env.clock.nextAt, env.clock.now()));
  }
}

async function assertSound(client: Client, run: InstanceHandle, world: Mixed, countStarts: boolean): Promise<void> {
  assert.equal(await run.result(), expected);
  const recorded = new Map<string, number>();
  const tree = await client.tree(run.instanceId);
  assert.deepEqual(
    tree.map(({ instanceId, status }) => [instanceId, status]),
    [
      ["m", "completed"],
      ["m:1:1", "completed"],
      ["m:2:1", "completed"],
    ],
  );
  for (const { instanceId } of tree) {
    for (const { execution } of await client.executions(instanceId)) {
      const history = await client.instance(instanceId).history(execution);
      assert.deepEqual(
        history.map(({ id }) => id),
        history.map((_, i) => i + 1),
      );
      const ends = [...ofKind(history, "ActivityCompleted"), ...ofKind(history, "ActivityFailed")];
      for (const { source, attempts = 1 } of ends) {
        const key = `${instanceId}/${execution}/${source}`;
        assert.ok(!recorded.has(key), `${key} is recorded once`);
        recorded.set(key, attempts);
      }
    }
  }
  assert.equal(recorded.size, 10);
  for (const [key, starts] of world.starts) {
    if (countStarts)
      assert.ok(starts <= (recorded.get(key) ?? 0), `${key}: ${starts} starts, ${recorded.get(key)} recorded`);
  }
  assert.ok([...world.payments.values()].every((starts) => starts === 1));
  assert.deepEqual(
    (await all(run.outputs())).map(({ data }) => data),
    ["round 1", "round 2"],
  );
  const { messages, work } = await client.stats();
  assert.deepEqual(
    [messages, work],
    [
      { ready: 0, delayed: 0 },
      { ready: 0, delayed: 0, running: 0 },
    ],
  );
}

/** Runs the mixture once while `through` decides over each call of the worker. */
async function runMixed(
  through: (verb: string, call: Call, env: TestEnvironment) => Promise<unknown>,
  {
    revive = async () => undefined,
    countStarts = true,
  }: { revive?: (env: TestEnvironment) => Promise<void>; countStarts?: boolean } = {},
): Promise<void> {
  const world = mixed();
  const { orchestrations, activities, main } = world;
  let env: TestEnvironment | undefined;
  const store = sqlite(":memory:");
  const storage = intercepted(store, (verb, call) => (env === undefined ? call() : through(verb, call, env)));
  const started = await TestEnvironment.start({ storage, orchestrations, activities, logger: journal() });
  const client = await Client.connect({ storage: store, clock: started.clock }); // without the interception
  const run = await client.startOrchestration(main, 0, { instanceId: "m" });
  env = started;
  await drive(started, run, () => revive(started));
  await revive(started); // it may have died in its last call
  env = undefined;
  await calm(started);
  await assertSound(client, run, world, countStarts);
  await client.close();
  await started.close();
}
const alive = setInterval(() => undefined, 60_000);
test.after(() => clearInterval(alive)); // virtual time keeps no process alive

/** How many calls a worker makes for the mixture when nothing goes wrong. */
async function countCalls(): Promise<number> {
  let calls = 0;
  await runMixed((_verb, call) => {
    calls++;
    return call();
  });
  return calls;
}

const never = new Promise<never>(() => undefined);

for (const when of ["before", "after"] as const) {
  test(`a worker that dies right ${when} the k-th call of the store: for every k the result is the same`, async () => {
    const calls = await countCalls();
    assert.ok(calls > 30, `${calls} calls`);
    for (let k = 1; k <= calls; k++) {
      let seen = 0;
      let dead = false;
      const through = async (verb: string, call: Call, env: TestEnvironment): Promise<unknown> => {
        if (++seen !== k) return call();
        if (when === "after") await call();
        dead = true;
        void env.crash();
        return never;
      };
      const revive = async (env: TestEnvironment): Promise<void> => {
        if (!dead) return;
        dead = false;
        await env.restart();
      };
      await runMixed(through, { revive }).catch((error: unknown) => {
        throw new Error(`k = ${k} of ${calls}`, { cause: error });
      });
    }
  });
}

test("a worker that dies again and again gets it done", async () => {
  let seen = 0;
  let deaths = 0;
  let dead = false;
  await runMixed(
    async (_verb, call, env) => {
      if (dead || ++seen % 11 !== 0) return call();
      dead = true;
      deaths++;
      void env.crash();
      return never;
    },
    {
      revive: async (env) => {
        if (!dead) return;
        await env.restart();
        dead = false;
      },
    },
  );
  assert.ok(deaths > 4, `${deaths} deaths`);
});

for (const k of [2, 3, 5, 7]) {
  test(`a store that fails every call number ${k} with trouble that passes harms no instance`, async () => {
    let seen = 0;
    await runMixed((verb, call) => {
      if (++seen % k !== 0) return call();
      return Promise.reject(new StorageError(`Expected ${verb} to be done, got a full disk`, true));
    });
  });
}

/** Verbs that may have been done although their answer was lost. A claim that was done is another matter. */
const repeatable = new Set([
  "commitTurns",
  "completeWork",
  "saveWork",
  "retryWork",
  "sendMessages",
  "releaseInstances",
]);

/** Numbers from 0 to 1 that are the same in each run of the test. */
function chance(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

for (let seed = 1; seed <= 10; seed++) {
  test(`a store whose answer to every third write is lost after it was done harms no instance (seed ${seed})`, async () => {
    const random = chance(seed * 7_919);
    const lossy = async (verb: string, call: Call): Promise<unknown> => {
      const answer = await call();
      if (!repeatable.has(verb) || random() > 0.33) return answer;
      throw new StorageError(`Expected an answer to ${verb}, got a broken connection`, true);
    };
    // Work whose row was written twice may run once more than anybody has counted; what is irreversible may not.
    await runMixed(lossy, { countStarts: false });
  });
}

test("while the store is away nothing fails and no result is lost", async (t: TestContext) => {
  let away = false;
  const storage = intercepted(sqlite(":memory:"), (verb, call) =>
    away ? Promise.reject(new StorageError(`Expected ${verb} to be done, got no connection`, true)) : call(),
  );
  const door = gate();
  let running = 0;
  let runs = 0;
  const work = activity("work", async (_ctx, n: number) => {
    running++;
    runs++;
    await door.opened;
    running--;
    return n;
  });
  const calls = orchestration("calls", async (ctx, n: number) => {
    const result = await ctx.activity(work, n);
    await ctx.timer("10s");
    return result;
  });
  const logger = journal();
  const env = await TestEnvironment.start({ storage, orchestrations: [calls], activities: [work], logger });
  t.after(() => env.close());
  const handles = await Promise.all(Array.from({ length: 20 }, (_, n) => env.startOrchestration(calls, n)));
  await env.until(() => running === 20);
  away = true;
  door.open();
  await env.until(() => running === 0);
  for (let i = 0; i < 60; i++) {
    env.clock.jumpTo(env.clock.now() + 1_000);
    for (let j = 0; j < 4; j++) await hop();
  }
  for (const run of handles) assert.equal((await run.status()).status, "running");
  assert.ok(logger.lines.some(({ message }) => message === "The store failed to commit turns; trying again"));
  away = false;
  for (const [n, run] of handles.entries()) {
    await drive(env, run, async () => undefined);
    assert.equal(await run.result(), n);
  }
  assert.equal(runs, 20);
});

test("a client whose store is in trouble is told so, and may ask again", async (t: TestContext) => {
  const quick = orchestration("quick", async () => "done");
  let away = true;
  const store = sqlite(":memory:");
  const storage = new Proxy(store, {
    get(target, name) {
      if (name !== "startInstances" || !away) return Reflect.get(target, name) as unknown;
      return () => Promise.reject(new StorageError("Expected startInstances to be done, got no connection", true));
    },
  });
  const env = await TestEnvironment.start({ storage, orchestrations: [quick] });
  t.after(() => env.close());
  await assert.rejects(
    env.startOrchestration(quick, undefined, { instanceId: "q" }),
    (error) => isStetError(error, "storage_failed") && error.retryable,
  );
  away = false;
  assert.equal(await env.result(await env.startOrchestration(quick, undefined, { instanceId: "q" })), "done");
});
