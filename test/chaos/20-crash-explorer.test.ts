/**
 * The crash explorer itself: it comes by all places, finds what is wrong about effects, and says where.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, isStetError, orchestration, type ActivityContext, type StorageProvider } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { exploreCrashes, type CrashReport, type CrashWorld } from "@stet/testing";

/** Twenty steps, one after the other. */
function twentySteps(): CrashWorld<number> {
  const add = activity("add", async (_ctx, [a, b]: readonly [number, number]) => a + b);
  const sum = orchestration("sum", async (ctx) => {
    let total = 0;
    for (let i = 1; i <= 20; i++) total = await ctx.activity(add, [total, i]);
    return total;
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [sum],
    activities: [add],
    scenario: async (env) => env.result(await env.startOrchestration(sum, undefined, { instanceId: "s" })),
  };
}

/** A bank, and an orchestration that charges it once. */
function payment(
  charge: (bank: Map<string, number>, ctx: ActivityContext) => void,
  { irreversible = false, storage = sqlite(":memory:") }: { irreversible?: boolean; storage?: StorageProvider } = {},
): CrashWorld<{ readonly said: string; readonly charged: number }> {
  const bank = new Map<string, number>();
  const options = irreversible ? ({ effect: "irreversible" } as const) : {};
  const pay = activity("pay", options, async (ctx) => charge(bank, ctx));
  const checkout = orchestration("checkout", async (ctx) => {
    await ctx.timer("1m");
    await ctx.activity(pay);
    return "paid";
  });
  return {
    storage,
    orchestrations: [checkout],
    activities: [pay],
    scenario: async (env) => {
      const run = await env.startOrchestration(checkout, undefined, { instanceId: "c" });
      const said = await env
        .result(run)
        .catch((error: unknown) => (isStetError(error) && isStetError(error.cause) ? error.cause.code : "?"));
      return { said, charged: [...bank.values()].reduce((a, b) => a + b, 0) };
    },
  };
}

const twice = (bank: Map<string, number>): void => void bank.set(`${bank.size}`, 10);
const once = (bank: Map<string, number>, ctx: ActivityContext): void => void bank.set(ctx.idempotencyKey, 10);

/** The message of what is thrown. */
async function messageOf(exploring: Promise<CrashReport>): Promise<string> {
  const error: unknown = await exploring.then(
    () => assert.fail("Expected the exploration to fail"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Error);
  return error.message;
}

test("exploreCrashes() dies before and after each commit, each claim and each activity", async () => {
  const report = await exploreCrashes(twentySteps);

  for (let step = 1; step <= 20; step++) {
    for (const point of [`before activity add #${step}`, `after activity add #${step}`]) {
      assert.ok(report.points.includes(point), point);
    }
  }
  for (let commit = 1; commit <= 21; commit++) {
    for (const point of [`before commitTurns #${commit}`, `after commitTurns #${commit}`]) {
      assert.ok(report.points.includes(point), point);
    }
  }
  assert.ok(report.points.includes("after claimTurns #1"));
  assert.equal(report.runs, report.points.length);
  assert.equal(report.crashes, report.points.length);
  assert.deepEqual(report.unreached, []);
  assert.deepEqual(report.startedAgain, { add: 40 }); // after each activity, and before the commit of its answer
});

test("exploreCrashes() finds an effect that happens twice, and says where and how to see it again", async () => {
  const message = await messageOf(exploreCrashes(() => payment(twice)));

  assert.equal(
    message,
    "After a crash after activity pay #1: Expected the scenario to answer { said: 'paid', charged: 10 }, got { said: 'paid', charged: 20 }\nTo run just this again: exploreCrashes(world, { only: [\"after activity pay #1\"] })",
  );
  assert.equal(await messageOf(exploreCrashes(() => payment(twice), { only: ["after activity pay #1"] })), message);
});

test("exploreCrashes() is content when the effect heeds its idempotency key", async () => {
  const report = await exploreCrashes(() => payment(once));

  assert.deepEqual(report.startedAgain, { pay: 2 });
  assert.ok(report.points.length >= 10, report.points.join());
});

test("exploreCrashes() finds an irreversible activity whose unknown outcome nobody cares for", async () => {
  const message = await messageOf(exploreCrashes(() => payment(twice, { irreversible: true })));

  assert.match(message, /^After a crash .*: .*got \{ said: 'outcome_unknown', charged: 0 \}/);
});

test("exploreCrashes() accepts what `check` accepts, and never sees an irreversible activity started twice", async () => {
  const seen = new Set<string>();
  const report = await exploreCrashes(() => payment(twice, { irreversible: true }), {
    check: ({ said, charged }) => {
      seen.add(`${said} ${charged}`);
      assert.ok(said === "paid" ? charged === 10 : charged <= 10);
    },
  });

  assert.deepEqual([...seen].sort(), ["outcome_unknown 0", "outcome_unknown 10", "paid 10"]);
  assert.deepEqual(report.startedAgain, {});
});

test("exploreCrashes() finds code that remembers what is not durable", async () => {
  const world = (): CrashWorld<string> => {
    let runs = 0;
    const step = activity("step", async () => "done");
    const other = activity("other", async () => "done");
    const forgetful = orchestration("forgetful", async (ctx) => {
      const first = runs++ === 0;
      return ctx.activity(first ? step : other);
    });
    return {
      storage: sqlite(":memory:"),
      orchestrations: [forgetful],
      activities: [step, other],
      scenario: async (env) => env.result(await env.startOrchestration(forgetful, undefined, { instanceId: "f" })),
    };
  };

  assert.match(await messageOf(exploreCrashes(world)), /Histories do not replay/);
});

test("exploreCrashes() finds a scenario that is not the same twice", async () => {
  let runs = 0;
  const world = (): CrashWorld<number> => ({ ...twentySteps(), scenario: async () => runs++ });

  assert.equal(await messageOf(exploreCrashes(world)), "Without a crash: Expected the scenario to answer 0, got 1");
});

test("exploreCrashes() finds what is recorded otherwise although the result is the same", async () => {
  const world = (): CrashWorld<string> => {
    let starts = 0;
    const moody = activity("moody", async () => ++starts);
    const ignores = orchestration("ignores", async (ctx) => {
      await ctx.activity(moody);
      return "done";
    });
    return {
      storage: sqlite(":memory:"),
      orchestrations: [ignores],
      activities: [moody],
      scenario: async (env) => env.result(await env.startOrchestration(ignores, undefined, { instanceId: "i" })),
    };
  };

  const message = await messageOf(exploreCrashes(world));

  assert.match(
    message,
    /^After a crash after activity moody #1: Expected the same to be recorded as undisturbed, got\n/,
  );
  assert.match(message, /^- i: .*"result":1.*\n\+ i: .*"result":2/m);
});

test("exploreCrashes() finds a store that forgets a commit", async () => {
  const forgetful = (): StorageProvider => {
    let commits = 0;
    const store = sqlite(":memory:");
    return new Proxy(store, {
      get(target, name) {
        if (name !== "commitTurns") return Reflect.get(target, name) as unknown;
        const commitTurns: StorageProvider["commitTurns"] = async (worker, batch) =>
          ++commits === 3 ? batch.map(() => "committed") : store.commitTurns(worker, batch);
        return commitTurns;
      },
    });
  };

  const message = await messageOf(exploreCrashes(() => ({ ...twentySteps(), storage: forgetful() })));

  assert.match(
    message,
    /^Without a crash: Expected activity add .* to be started again only after a failure or a crash/,
  );
});

test("exploreCrashes() finds work that is handed out twice", async () => {
  const generous = (): StorageProvider => {
    const store = sqlite(":memory:");
    return new Proxy(store, {
      get(target, name) {
        if (name !== "claimWork") return Reflect.get(target, name) as unknown;
        const claimWork: StorageProvider["claimWork"] = async (claim) => {
          const items = await store.claimWork(claim);
          return items.flatMap((item) => [item, item]);
        };
        return claimWork;
      },
    });
  };

  assert.match(
    await messageOf(exploreCrashes(() => payment(once, { irreversible: true, storage: generous() }))),
    /Expected the irreversible activity pay \(c\/1\/4\) to be started once, got 2 starts/,
  );
});

test("exploreCrashes() gives up a run that does not end", async () => {
  const world = (): CrashWorld<never> => ({ ...twentySteps(), scenario: () => new Promise(() => undefined) });

  assert.equal(
    await messageOf(exploreCrashes(world, { timeout: 50 })),
    "Without a crash: Expected the run to end, got none after 50 ms",
  );
});

/** A model that never says the same again. */
function talk(): CrashWorld<readonly string[]> {
  const llm = mock().on("generate", "one", "two", "three", "four", "five", "six", "seven", "eight");
  const chat = orchestration("chat", async (ctx) => [await ctx.generate("first"), await ctx.generate("second")]);
  return {
    storage: sqlite(":memory:"),
    orchestrations: [chat],
    llm,
    scenario: async (env) => env.result(await env.startOrchestration(chat, undefined, { instanceId: "t" })),
  };
}

test("exploreCrashes() dies before and after each model call, and a model that is asked again says the same", async () => {
  const { points } = await exploreCrashes(talk);

  assert.deepEqual(
    points.filter((point) => point.includes("model")),
    ["before model generate #1", "after model generate #1", "before model generate #2", "after model generate #2"],
  );
});

test("exploreCrashes() explores pairs: the second crash is in the process that came after the first", async () => {
  const every = await exploreCrashes(talk, { pairs: Infinity });
  const some = await exploreCrashes(talk, { pairs: 10, seed: 3 });

  assert.ok(every.runs > every.points.length * 5, `${every.runs} runs`);
  assert.equal(every.crashes, every.points.length + 2 * (every.runs - every.points.length));
  assert.equal(some.runs, some.points.length + 10);
  assert.equal(some.crashes, some.points.length + 20);
  assert.deepEqual([every.unreached, some.unreached], [[], []]);
});

test("exploreCrashes() says which plans it did not come by", async () => {
  const { unreached, runs } = await exploreCrashes(talk, { only: ["after commitTurns #99"] });

  assert.deepEqual({ unreached, runs }, { unreached: [["after commitTurns #99"]], runs: 1 });
});
