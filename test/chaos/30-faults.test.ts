/**
 * A store in trouble: it fails no instance, and no result that was found is lost.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import {
  activity,
  isStetError,
  orchestration,
  StorageError,
  type HistoryEvent,
  type StorageProvider,
} from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { faulty, TestEnvironment, VirtualClock, type Fault, type FaultyStorage, type StorageVerb } from "@stet/testing";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const alive = setInterval(() => undefined, 60_000);
test.after(() => clearInterval(alive)); // virtual time keeps no process alive

/** Something of everything that goes through the store, and what its activities were seen to do. */
function mixed() {
  const starts = new Map<string, number>();
  const count = (key: string): number => {
    starts.set(key, (starts.get(key) ?? 0) + 1);
    return starts.get(key) as number;
  };
  const add = activity("add", async (ctx, numbers: readonly number[]) => {
    count(ctx.idempotencyKey);
    return numbers.reduce((a, b) => a + b, 0);
  });
  const flaky = activity("flaky", { retry: { maxAttempts: 20, initialInterval: "1s" } }, async (ctx, n: number) => {
    ctx.heartbeat({ attempt: ctx.attempt });
    if (count(ctx.idempotencyKey) === 1) throw new Error("not yet");
    return n;
  });
  const pay = activity("pay", { effect: "irreversible" }, async (ctx) => void count(ctx.idempotencyKey));
  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer("1m");
    return ctx.activity(add, [n, 1]);
  });
  const main = orchestration("main", async (ctx, sum: number): Promise<number> => {
    ctx.state.set("sum", sum);
    ctx.emit(`round ${ctx.execution}`);
    const [first, second] = await Promise.all([ctx.activity(add, [sum, 1]), ctx.activity(flaky, 2)]);
    const sticky = await ctx.activity(add, [first, second], { session: "s" });
    await ctx.activity(pay);
    ctx.sendEvent(ctx.instanceId, "note", "x".repeat(600));
    const note = await ctx.waitForEvent<string>("note");
    const third = await ctx.subOrchestration(child, sticky);
    await ctx.generate("Say something");
    await ctx.race({ timer: ctx.timer("1h"), never: ctx.waitForEvent("never", { timeout: "1d" }) });
    const next = third + note.length;
    return ctx.execution < 2 ? ctx.continueAsNew(next) : next;
  });
  const llm = mock().otherwise("something");
  return { starts, llm, orchestrations: [main, child], activities: [add, flaky, pay], main };
}

const expected = 2 * (1 + 2 + 1 + 600);

interface Troubled {
  readonly store: FaultyStorage;
  readonly histories: readonly (readonly HistoryEvent[])[];
  readonly starts: ReadonlyMap<string, number>;
  readonly modelCalls: number;
}

/** Runs the mixture over a store in trouble; its result is what it must be, and nothing was recorded twice. */
async function runMixed(faults: readonly Fault[], seed = 1): Promise<Troubled> {
  const { starts, llm, orchestrations, activities, main } = mixed();
  let store: FaultyStorage | undefined;
  const env = await TestEnvironment.start({
    storage: sqlite(":memory:"),
    wire: (storage, clock) => (store = faulty(storage, { clock, seed, faults })),
    orchestrations,
    activities,
    llm,
    logger: silent,
  });
  const run = await env.startOrchestration(main, 0, { instanceId: "m" });
  assert.equal(await env.result(run), expected);
  const tree = await env.client.tree("m");
  assert.deepEqual(
    tree.map(({ status }) => status),
    ["completed", "completed", "completed"],
  );
  const histories: HistoryEvent[][] = [];
  for (const { instanceId } of tree) {
    for (const { execution } of await env.client.executions(instanceId)) {
      const events = await env.client.instance(instanceId).history(execution);
      const answered = events.flatMap((event) => ("source" in event ? [event.source] : []));
      assert.equal(new Set(answered).size, answered.length, "each request is answered once");
      histories.push(events);
    }
  }
  await env.close();
  assert.ok(store !== undefined);
  return { store, histories, starts, modelCalls: llm.calls.length };
}

for (const when of ["before", "after"] as const) {
  for (const every of [2, 3, 4, 5, 6, 7, 11, 13]) {
    test(`a store that fails every call number ${every} ${when} it was done harms no instance`, async () => {
      const { store } = await runMixed([{ kind: "fail", when, every }]);
      assert.ok(store.injected.length > 5, `${store.injected.length} faults`);
    });
  }
}

for (let seed = 1; seed <= 20; seed++) {
  test(`calls that fail before or after by chance, are late or come twice harm no instance (seed ${seed})`, async () => {
    const faults: Fault[] = [
      { kind: "fail", when: "before", share: 0.1 },
      { kind: "fail", when: "after", share: 0.1 },
      { kind: "delay", by: "50ms", share: 0.1 },
      { kind: "duplicate", verbs: [...unharmed], share: 0.1 },
      { kind: "late", by: "30s", share: 0.1 },
    ];
    const { store } = await runMixed(faults, seed);
    assert.ok(store.injected.length > 5, `${store.injected.length} faults`);
  });
}

/** Verbs whose second call changes nothing, by the promises of the seam. */
const unharmed: readonly StorageVerb[] = [
  "commitTurns",
  "completeWork",
  "retryWork",
  "releaseInstances",
  "saveHeartbeats",
  "startInstances",
];

test("each call that comes twice changes nothing twice", async () => {
  const undisturbed = await runMixed([]);
  const { store, histories, starts, modelCalls } = await runMixed([{ kind: "duplicate", verbs: unharmed }]);

  assert.deepEqual(
    new Set(store.injected.map(({ verb }) => verb)),
    new Set(["commitTurns", "completeWork", "retryWork", "saveHeartbeats"]),
  );
  assert.deepEqual(histories.map(withoutTimes), undisturbed.histories.map(withoutTimes));
  assert.deepEqual(starts, undisturbed.starts);
  assert.equal(modelCalls, undisturbed.modelCalls);
});

test("answers that are sent twice are recorded once", async () => {
  const { store } = await runMixed([
    { kind: "fail", when: "after", verbs: ["commitTurns"], every: 2 }, // then answers go through sendMessages
    { kind: "duplicate", verbs: ["sendMessages"] },
  ]);

  assert.ok(store.injected.some(({ kind }) => kind === "duplicate"));
});

test("calls that take their time harm nobody", async () => {
  const undisturbed = await runMixed([]);
  const { histories, starts } = await runMixed([{ kind: "delay", by: "300ms" }]);

  assert.deepEqual(histories.map(withoutTimes), undisturbed.histories.map(withoutTimes));
  assert.deepEqual(starts, undisturbed.starts);
});

for (const every of [1, 2, 3] as const) {
  test(`a store that tells of every change number ${every} half a minute late harms no instance`, async () => {
    const undisturbed = await runMixed([]);
    const { store, histories, starts } = await runMixed([{ kind: "late", by: "30s", every }]);

    assert.ok(store.injected.length > 5, `${store.injected.length} faults`);
    assert.deepEqual(histories.map(withoutTimes), undisturbed.histories.map(withoutTimes));
    assert.deepEqual(starts, undisturbed.starts);
  });
}

test("faults are the same for the same seed, and others for another", async () => {
  const faults: Fault[] = [{ kind: "fail", when: "before", verbs: ["commitTurns", "claimTurns"], share: 0.3 }];
  const verbs = async (seed: number): Promise<string[]> =>
    (await runMixed(faults, seed)).store.injected.map(({ verb }) => verb);
  const first = await verbs(1);

  assert.deepEqual(await verbs(1), first);
  assert.notDeepEqual(await verbs(2), first);
});

test("faulty() says what is wrong about its plan", () => {
  const wrong = (fault: Fault, message: RegExp) =>
    assert.throws(
      () => faulty(sqlite(":memory:"), { clock: new VirtualClock(), faults: [fault] }),
      (error) => isStetError(error, "configuration_invalid") && message.test(error.message),
    );

  wrong({ kind: "duplicate", every: 0 }, /Expected every of faulty\(\) to be a whole number from 1, got 0/);
  wrong({ kind: "duplicate", share: 2 }, /Expected share of a fault to be above 0 and at most 1, got 2/);
  wrong({ kind: "delay", by: -1 }, /Expected the delay of a fault/);
  wrong({ kind: "away", lasts: -1 }, /Expected the length of an absence/);
});

for (const after of ["1ms", "59s", "3659s"] as const) {
  test(`a store that is away for 5 s, ${after} after the start, fails no instance and loses no result`, async () => {
    const undisturbed = await runMixed([]);
    const { store, starts, histories } = await runMixed([{ kind: "away", after, lasts: "5s" }]);

    assert.ok(store.injected.length > 0);
    assert.deepEqual(starts, undisturbed.starts);
    assert.deepEqual(histories.map(withoutTimes), undisturbed.histories.map(withoutTimes));
  });
}

/** A history without what a delay changes. */
function withoutTimes(events: readonly HistoryEvent[]): unknown[] {
  return events.map((event) => ({ ...event, at: 0, fireAt: 0, timeoutAt: 0 }));
}

test("while the store is away, what activities found is kept, and recorded when it is back", async (t: TestContext) => {
  let runs = 0;
  const work = activity("work", async (_ctx, n: number) => {
    runs++;
    return n;
  });
  const calls = orchestration("calls", async (ctx, n: number) => {
    await ctx.timer("1s");
    const first = await ctx.activity(work, n);
    const second = await ctx.activity(work, n, { session: `s${n}` });
    return first + second;
  });
  let store: FaultyStorage | undefined;
  const env = await TestEnvironment.start({
    storage: sqlite(":memory:"),
    wire: (storage, clock) =>
      (store = faulty(storage, {
        clock,
        faults: [
          { kind: "fail", verbs: ["commitTurns", "completeWork"], when: "before", share: 0.7 },
          { kind: "away", after: 1_001, lasts: "5s" },
        ],
      })),
    orchestrations: [calls],
    activities: [work],
    logger: silent,
  });
  t.after(() => env.close());
  const handles = await Promise.all(Array.from({ length: 20 }, (_, n) => env.startOrchestration(calls, n)));
  await env.advance("3s");
  assert.ok(store?.injected.some(({ kind }) => kind === "away"));
  for (const run of handles) assert.equal((await run.status()).status, "running");

  for (const [n, run] of handles.entries()) assert.equal(await env.result(run), 2 * n);
  assert.equal(runs, 40);
});

test("work whose row is just being written is not taken again by a claim that is made again", async (t: TestContext) => {
  let starts = 0;
  let saved = false;
  let failsNext = false;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const beating = activity("beating", async (ctx) => {
    starts++;
    ctx.heartbeat("alive"); // gives it a row
    await finished;
    return starts;
  });
  const other = activity("other", async () => "done");
  const beats = orchestration("beats", async (ctx) => ctx.activity(beating));
  const calls = orchestration("calls", async (ctx) => ctx.activity(other, undefined, { session: "s" }));
  const wire = (storage: StorageProvider): StorageProvider =>
    new Proxy(storage, {
      get(target, name) {
        if (name === "saveWork") {
          const saveWork: StorageProvider["saveWork"] = async (...given) => {
            const keys = await target.saveWork(...given);
            saved = true;
            await finished;
            return keys;
          };
          return saveWork;
        }
        if (name !== "claimWork" || !failsNext) return Reflect.get(target, name) as unknown;
        failsNext = false;
        return () => Promise.reject(new StorageError("Expected an answer to claimWork, got none", true));
      },
    });
  const env = await TestEnvironment.start({
    storage: sqlite(":memory:"),
    wire,
    orchestrations: [beats, calls],
    activities: [beating, other],
    logger: silent,
  });
  t.after(() => env.close());
  const first = await env.startOrchestration(beats);
  await env.until(() => saved);

  failsNext = true;
  const second = await env.startOrchestration(calls);
  await env.until(() => !failsNext);
  await env.until(async () => {
    env.clock.jumpTo(env.clock.now() + 20);
    return (await second.status()).status === "completed";
  });

  finish();
  assert.equal(await env.result(first), 1);
  assert.equal(starts, 1);
});

test("work whose answer overtakes that of a claim that is made again is not started by it", async (t: TestContext) => {
  let starts = 0;
  let saved = false;
  let failsNext = false;
  let claimedAgain = false;
  const [learned, finished, answered] = [gate(), gate(), gate()];
  const beating = activity("beating", async (ctx) => {
    starts++;
    ctx.heartbeat("alive"); // gives it a row
    await finished.passed;
    return starts;
  });
  const other = activity("other", async () => "done");
  const beats = orchestration("beats", async (ctx) => ctx.activity(beating));
  const calls = orchestration("calls", async (ctx) => ctx.activity(other, undefined, { session: "s" }));
  const wire = (storage: StorageProvider): StorageProvider => ({
    ...storage,
    async saveWork(...given) {
      const keys = await storage.saveWork(...given);
      saved = true;
      await learned.passed;
      return keys;
    },
    async claimWork(claim) {
      if (failsNext) {
        failsNext = false;
        throw new StorageError("Expected an answer to claimWork, got none", true);
      }
      const claimed = await storage.claimWork(claim);
      if (claim.held !== undefined && !claimedAgain) {
        claimedAgain = true;
        await answered.passed;
      }
      return claimed;
    },
  });
  const options = { orchestrations: [beats, calls], activities: [beating, other], logger: silent };
  const env = await TestEnvironment.start({ storage: sqlite(":memory:"), wire, ...options });
  t.after(() => env.close());
  const first = await env.startOrchestration(beats);
  await env.until(() => saved);
  failsNext = true;
  const second = await env.startOrchestration(calls);
  await env.until(() => {
    env.clock.jumpTo(env.clock.now() + 20);
    return claimedAgain;
  });

  learned.open();
  finished.open();
  await env.until(async () => (await first.status()).status === "completed");
  answered.open();

  assert.equal(await env.result(second), "done");
  assert.equal(await env.result(first), 1);
  assert.equal(starts, 1);
});

test("a heartbeat that is answered late takes nothing from an attempt that began meanwhile", async (t: TestContext) => {
  const retry = { maxAttempts: 2, initialInterval: 10_000, jitter: 0 };
  const [putOff, beaten, finished] = [gate(), gate(), gate()];
  const seen = { beats: 0, putOff: false, lost: false, second: undefined as AbortSignal | undefined };
  const flaky = activity("flaky", { retry }, async (ctx) => {
    ctx.heartbeat();
    if (ctx.attempt === 1) throw new Error("not yet");
    seen.second = ctx.signal;
    await finished.passed;
    return ctx.attempt;
  });
  const once = orchestration("once", async (ctx) => ctx.activity(flaky));
  const wire = (storage: StorageProvider): StorageProvider => ({
    ...storage,
    async retryWork(...given) {
      const outcomes = await storage.retryWork(...given);
      seen.putOff = true;
      await putOff.passed;
      return outcomes;
    },
    async heartbeat(beat) {
      seen.beats++;
      const answer = await storage.heartbeat(beat);
      if (answer.lost.length > 0) {
        seen.lost = true;
        await beaten.passed;
      }
      return answer;
    },
  });
  const options = { orchestrations: [once], activities: [flaky], logger: silent };
  const env = await TestEnvironment.start({ storage: sqlite(":memory:"), wire, ...options });
  t.after(() => env.close());
  const run = await env.startOrchestration(once);
  await env.until(() => seen.putOff);
  await env.until(() => {
    env.clock.jumpTo(env.clock.now() + 100);
    return seen.lost;
  });
  putOff.open();
  await env.until(() => {
    env.clock.jumpTo(env.clock.now() + 100);
    return seen.second !== undefined;
  });

  const before = seen.beats;
  beaten.open();
  await env.until(() => {
    env.clock.jumpTo(env.clock.now() + 100);
    return seen.beats > before;
  });

  const wasAborted = seen.second?.aborted;
  finished.open();
  assert.equal(wasAborted, false);
  assert.equal(await env.result(run), 2);
});

/** What is passed once it is opened. */
function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}
