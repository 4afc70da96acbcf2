/** The simulation of somebody's own orchestrations: what is sound passes, what is not is found and made small. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, isStetError, orchestration, type AnyActivity } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { simulate, type SimulationOptions } from "@stet/testing";
import fc from "fast-check";

const common = { storage: () => sqlite(":memory:"), seed: 1 } satisfies Partial<SimulationOptions>;

/** A bank that says what it has charged, made afresh for each run. */
function bank(keyOf: (idempotencyKey: string, charges: number) => string, irreversible = false) {
  return (): AnyActivity[] => {
    const charges = new Map<string, number>();
    const options = irreversible ? ({ effect: "irreversible" } as const) : {};
    return [
      activity("charge", options, async (ctx) => void charges.set(keyOf(ctx.idempotencyKey, charges.size), 10)),
      activity("charged", async () => charges.size * 10),
    ];
  };
}

const checkout = orchestration("checkout", async (ctx, { slow }: { slow?: boolean }) => {
  if (slow) await ctx.timer("1h");
  const said = await ctx.activity("charge").then(
    () => "paid",
    (error: unknown) => (isStetError(error) ? error.code : "?"),
  );
  return [said, await ctx.activity<number>("charged")];
});

/** The message of what is thrown. */
async function messageOf(simulating: Promise<unknown>): Promise<string> {
  const error: unknown = await simulating.then(
    () => assert.fail("Expected the simulation to find something"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Error);
  return error.message;
}

test("simulate() plays as many runs as it is told, and says which seed it had", async () => {
  let last = 0;
  const report = await simulate({
    ...common,
    orchestrations: [checkout],
    activities: bank((key) => key),
    inputs: fc.record({ slow: fc.boolean() }),
    runs: 12,
    onRun: (runs) => (last = runs),
  });

  assert.deepEqual(report, { seed: 1, runs: 12 });
  assert.equal(last, 12);
});

test("simulate() finds an effect that happens twice, and makes the schedule small", async () => {
  const twice = bank((_key, charges) => `${charges}`);
  const message = await messageOf(
    simulate({ ...common, orchestrations: [checkout], activities: twice, inputs: [{}], runs: 500 }),
  );

  assert.match(
    message,
    /^Expected every simulated run to be sound, got run \d+ of seed 1: Expected the outcome of the undisturbed run, \{"status":"completed","output":\["paid",10\]\}, got \{"status":"completed","output":\["paid",20\]\}\nMade small: /,
  );
  const smallest = JSON.parse(message.slice(message.indexOf("{", message.indexOf("Made small")))) as {
    schedule: { moves: readonly { move: string }[] };
  };
  const { moves } = smallest.schedule;
  assert.ok(moves.length <= 3, JSON.stringify(moves));
  assert.ok(moves.some(({ move }) => ["crash", "restart", "bury"].includes(move)));
});

test("simulate() holds what is irreversible to one start, and lets `check` accept that nobody knows of it", async () => {
  const seen = new Set<string>();
  const options = {
    ...common,
    orchestrations: [checkout] as const,
    activities: bank((key) => key, true),
    inputs: [{}],
  };
  await simulate({ ...options, runs: 30, check: ({ output }) => void seen.add(JSON.stringify(output)) });

  const possible = ['["outcome_unknown",0]', '["outcome_unknown",10]', '["paid",10]'];
  assert.deepEqual(
    [...seen].filter((output) => !possible.includes(output)),
    [],
  );
  assert.ok(seen.has('["outcome_unknown",10]') && seen.has('["paid",10]'), [...seen].join());
});

test("simulate() finds code that remembers what is not durable", async () => {
  let runs = 0;
  const step = activity("step", async () => "done");
  const other = activity("other", async () => "done");
  const forgetful = orchestration("forgetful", async (ctx) => ctx.activity(runs++ % 2 === 0 ? step : other));

  assert.match(
    await messageOf(simulate({ ...common, orchestrations: [forgetful], activities: [step, other] })),
    /to replay event 2, ActivityScheduled/,
  );
});

test("simulate() gives children what they wait for, and takes an answer that was cut to fit for one answer", async () => {
  const child = orchestration("child", async (ctx) => ctx.waitForEvent<number>("number"));
  const parent = orchestration("parent", async (ctx) => {
    const number = await ctx.subOrchestration(child);
    return [number, await ctx.summarize("a long story", { maxWords: 3 })];
  });
  const llm = mock().otherwise("Short it is. But then it goes on and on.");
  const { runs } = await simulate({
    ...common,
    orchestrations: [parent, child],
    llm,
    answerWait: ({ name }) => (name === "number" ? 7 : undefined),
    check: ({ output }) => assert.deepEqual(output, [7, "Short it is."]),
    runs: 5,
  });

  assert.equal(runs, 5);
});

test("simulate() ends when its time is over, however few runs that makes", async () => {
  const options = { ...common, orchestrations: [checkout] as const, activities: bank((key) => key), inputs: [{}] };

  assert.equal((await simulate({ ...options, time: "100ms" })).seed, 1);
});
