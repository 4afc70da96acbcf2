/** Forks and capsules when processes die: before, in the middle and after, they are there whole or not at all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  activity,
  type Capsule,
  Client,
  type HistoryEvent,
  isStetError,
  orchestration,
  StorageError,
  type StorageProvider,
} from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { type CrashWorld, exploreCrashes, severable, TestEnvironment } from "@stet/testing";
import { environment, fails, journal, ofKind } from "./world.ts";

/** An orchestration with work, a model, a child and a timer outstanding at its second answer, and its environment. */
function world(): Pick<CrashWorld<unknown>, "storage" | "orchestrations" | "activities" | "llm"> {
  const work = activity("work", async (_ctx, what: string) => `${what} done`);
  const pay = activity("pay", { effect: "irreversible" }, async () => "paid");
  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer("1m");
    return ctx.activity(work, `child ${n}`);
  });
  const main = orchestration("main", async (ctx) => {
    const payment = ctx.activity(pay).catch((error: unknown) => assert.ok(isStetError(error, "outcome_unknown")));
    const children = [ctx.subOrchestration(child, 1), ctx.subOrchestration(child, 2)];
    const slept = ctx.timer("5m");
    const note = ctx.waitForEvent<string>("note");
    const first = await ctx.activity(work, "first");
    const isSo = await ctx.ifTrue("so?");
    ctx.state.set("so", isSo);
    const second = isSo ? await ctx.activity(work, "x".repeat(700)) : "nothing";
    await slept;
    return [first, second.length, await Promise.all(children), await note, (await payment, "settled")];
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [main, child],
    activities: [work, pay],
    llm: mock().on("ifTrue", true),
  };
}

const deliveryOf = (history: readonly HistoryEvent[], kind: "ActivityCompleted" | "LlmCompleted"): number => {
  const event = ofKind(history, kind).find((each) => !("result" in each) || each.result !== "paid");
  assert.ok(event);
  return event.id;
};

/** Runs the origin to its end. */
async function origin(env: TestEnvironment): Promise<readonly HistoryEvent[]> {
  const run = await env.startOrchestration("main", undefined, { instanceId: "origin" });
  await env.settle();
  await run.raiseEvent("note", "theirs");
  await env.result(run);
  return run.history();
}

/** The origin as a capsule, from the middle of its run or from its end. */
async function recorded(at: "middle" | "end"): Promise<Capsule> {
  const env = await TestEnvironment.start({ ...world(), logger: journal() });
  if (at === "end") await origin(env);
  else await env.startOrchestration("main", undefined, { instanceId: "origin" });
  await env.settle();
  const capsule = await env.client.export("origin");
  await env.client.delete("origin", { force: true });
  await env.close();
  return capsule;
}

test("a fork goes on whatever dies while it does, and so does one in which the model said no", async () => {
  const capsule = await recorded("end");
  const scenario = async (env: TestEnvironment) => {
    const history = await (await env.client.import(capsule)).history();
    const [first, said] = [deliveryOf(history, "ActivityCompleted"), deliveryOf(history, "LlmCompleted")];
    const replaceResult = { eventId: said, result: false };
    const same = await env.client.fork("origin", { atEvent: first, newInstanceId: "same" });
    const other = await env.client.fork("origin", { atEvent: said, newInstanceId: "other", replaceResult });
    for (const each of [same, other]) await each.raiseEvent("note", "ours");
    return [await env.result(same), await env.result(other)];
  };

  const { points, runs, unreached } = await exploreCrashes(() => ({ ...world(), scenario }));

  assert.ok(
    runs === points.length && unreached.length < runs / 10 && runs > 30,
    `${runs} runs, not reached: ${unreached.join(", ")}`,
  );
});

test("a tree that was carried away in the middle of its run goes on whatever dies while it does", async () => {
  const capsule = await recorded("middle");
  const scenario = async (env: TestEnvironment) => {
    const run = await env.client.import(capsule);
    await run.raiseEvent("note", "after the move");
    return env.result(run);
  };

  const { points, runs, unreached } = await exploreCrashes(() => ({ ...world(), scenario }));

  assert.ok(
    runs === points.length && unreached.length < runs / 10 && runs > 15,
    `${runs} runs, not reached: ${unreached.join(", ")}`,
  );
});

/** A store of which one verb of the admin side goes through `through`. */
function through(
  store: StorageProvider,
  verb: "importTree" | "exportTree" | "readHistory" | "getInstances",
  pass: (call: () => Promise<unknown>) => Promise<unknown>,
): StorageProvider {
  const admin = new Proxy(store.admin, {
    get(target, name) {
      const original = Reflect.get(target, name) as (...given: unknown[]) => Promise<unknown>;
      return name === verb ? (...given: unknown[]) => pass(() => original(...given)) : original;
    },
  });
  return new Proxy(store, {
    get: (target, name) => (name === "admin" ? admin : (Reflect.get(target, name) as unknown)),
  });
}

for (const when of ["before", "after"] as const) {
  test(`a client that dies right ${when} the fork is put in leaves ${when === "before" ? "nothing" : "all of it"}`, async (t) => {
    const options = world();
    const env = await environment(t, options);
    const atEvent = deliveryOf(await origin(env), "ActivityCompleted");
    const stood = await env.client.list();
    const wire = severable(options.storage);
    const dying = await Client.connect({
      storage: through(wire.storage, "importTree", (call) => {
        if (when === "before") wire.sever();
        const answer = call();
        wire.sever();
        return answer;
      }),
      clock: env.clock,
    });
    let answered = false;
    const forking = { atEvent, newInstanceId: "fork" };
    void dying.fork("origin", forking).finally(() => (answered = true));
    await env.settle();
    assert.equal(answered, false);

    if (when === "before") {
      assert.deepEqual(await env.client.list(), stood);
      await env.client.fork("origin", forking);
    } else {
      await assert.rejects(env.client.fork("origin", forking), fails("instance_exists"));
    }

    const fork = env.client.instance("fork");
    await fork.raiseEvent("note", "ours");
    assert.deepEqual(((await env.result(fork)) as unknown[]).slice(3), ["ours", "settled"]);
    assert.equal((await env.client.tree("fork")).length, 3);
  });
}

for (const verb of ["getInstances", "readHistory", "importTree"] as const) {
  test(`a store in trouble at ${verb} fails the fork, and the next try makes it`, async (t) => {
    const options = world();
    const env = await environment(t, options);
    const atEvent = deliveryOf(await origin(env), "ActivityCompleted");
    let trouble = true;
    const storage = through(options.storage, verb, (call) =>
      trouble ? Promise.reject(new StorageError("Expected a disk with room, got a full one", true)) : call(),
    );
    const client = await Client.connect({ storage, clock: env.clock });
    t.after(() => client.close());

    await assert.rejects(client.fork("origin", { atEvent, newInstanceId: "fork" }), fails("storage_failed"));
    assert.equal((await env.client.list({ idPrefix: "fork" })).instances.length, 0);
    trouble = false;
    const fork = await client.fork("origin", { atEvent, newInstanceId: "fork" });
    await fork.raiseEvent("note", "ours");

    assert.ok(await env.result(fork));
  });
}
