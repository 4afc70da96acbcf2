/** Sub-orchestrations: awaited and detached, by id, with their parent and without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, isStetError, orchestration, type OrchestrationContext, type StetError } from "@stet/core";
import { causes, environment, fails, gate, kinds, ofKind } from "./world.ts";

const double = orchestration("double", async (_ctx, n: number) => n * 2);
const wait = orchestration("wait", async (ctx) => ctx.waitForEvent("end"));

test("a parent awaits its children and gets their outputs in its own order", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    const one = await ctx.subOrchestration(double, 1);
    const more = await Promise.all([2, 3, 4].map((n) => ctx.subOrchestration(double, n)));
    return [one, ...more, await ctx.subOrchestration<number>("double", 5)];
  });
  const env = await environment(t, { orchestrations: [parent, double] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  assert.deepEqual(await env.result(run), [2, 4, 6, 8, 10]);

  const tree = await env.client.tree("p");
  assert.deepEqual(
    tree.map(({ instanceId, parentId, rootId }) => [instanceId, parentId, rootId]),
    [["p", undefined, "p"], ...[1, 2, 3, 4, 5].map((n) => [`p:1:${n}`, "p", "p"])],
  );
});

test("a failed child rejects with its error, which code may catch", async (t) => {
  const fail = orchestration("fail", async () => {
    throw Object.assign(new RangeError("too much"), { code: "E_MUCH", details: { limit: 3 } });
  });
  const parent = orchestration("parent", async (ctx) => {
    try {
      return await ctx.subOrchestration(fail, undefined, { instanceId: "child" });
    } catch (error) {
      assert.ok(isStetError(error, "sub_orchestration_failed"), String(error));
      const cause = error.cause as StetError;
      return [error.message, error.details, cause.name, cause.code, cause.message, cause.details];
    }
  });
  const env = await environment(t, { orchestrations: [parent, fail] });
  assert.deepEqual(await env.result(await env.startOrchestration(parent, undefined, { instanceId: "p" })), [
    "Sub-orchestration fail of instance p (event 2) failed: too much",
    { name: "fail", instanceId: "child" },
    "RangeError",
    "E_MUCH",
    "too much",
    { limit: 3 },
  ]);
});

test("a child that was cancelled or terminated rejects with that as the cause", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    const codes = async (id: string) => {
      try {
        await ctx.subOrchestration(wait, undefined, { instanceId: id });
        return [];
      } catch (error) {
        return [...causes(error as StetError), (error as StetError).message];
      }
    };
    return Promise.all([codes("c1"), codes("c2")]);
  });
  const env = await environment(t, { orchestrations: [parent, wait] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  await env.settle();
  await env.client.instance("c1").cancel("enough");
  await env.client.instance("c2").terminate("at once");
  assert.deepEqual(await env.result(run), [
    ["cancelled", "Sub-orchestration wait of instance p (event 2) failed: enough"],
    [
      "orchestration_terminated",
      "Sub-orchestration wait of instance p (event 3) failed: Orchestration wait (instance c2) was terminated: at once",
    ],
  ]);
});

for (const ended of [false, true]) {
  test(`an explicit id that ${ended ? "has ended" : "is running"} rejects with instance_exists, which code may catch`, async (t) => {
    const parent = orchestration("parent", async (ctx) => {
      try {
        return await ctx.subOrchestration(wait, undefined, { instanceId: "taken" });
      } catch (error) {
        return [(error as StetError).code, ...causes(error as StetError), (error as StetError).message];
      }
    });
    const env = await environment(t, { orchestrations: [parent, wait] });
    const other = await env.startOrchestration(wait, undefined, { instanceId: "taken" });
    if (ended) await other.raiseEvent("end", "long ago");
    await env.settle();
    const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
    assert.deepEqual(await env.result(run), [
      "sub_orchestration_failed",
      "instance_exists",
      "Sub-orchestration wait of instance p (event 2) failed: Expected instance taken not to exist, got one that was started before",
    ]);
    await env.settle();
    assert.equal((await other.status()).status, ended ? "completed" : "running", "the other one is left alone");
    if (!ended) await other.raiseEvent("end");
  });
}

test("a parent cannot be its own child, and waits for nothing when it tries", async (t) => {
  const self = orchestration("self", async (ctx) => {
    try {
      return await ctx.subOrchestration("self", undefined, { instanceId: ctx.instanceId });
    } catch (error) {
      return causes(error as StetError);
    }
  });
  const env = await environment(t, { orchestrations: [self] });
  assert.deepEqual(await env.result(await env.startOrchestration(self)), ["instance_exists"]);
});

test("a detached orchestration lives on its own; an id that exists is left alone", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    const first = ctx.startOrchestration(wait, undefined, { labels: { kind: "detached" } });
    const second = ctx.startOrchestration("wait", undefined, { instanceId: "known" });
    const third = ctx.startOrchestration(wait, undefined, { instanceId: "known" });
    return [first, second, third];
  });
  const env = await environment(t, { orchestrations: [parent, wait] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  assert.deepEqual(await env.result(run), ["p:1:1", "known", "known"]);
  await env.settle();
  const detached = await env.client.instance("p:1:1").status();
  assert.deepEqual(
    [detached.status, detached.parentId, detached.rootId, detached.labels],
    ["running", undefined, "p:1:1", { kind: "detached" }],
  );
  assert.equal((await env.client.tree("p")).length, 1);
  for (const id of ["p:1:1", "known"]) await env.client.instance(id).raiseEvent("end", id);
  assert.equal(await env.result(env.client.instance("known")), "known");
});

const endings: { readonly [name: string]: (ctx: OrchestrationContext) => Promise<unknown> } = {
  completes: async () => "done",
  fails: async () => {
    throw new Error("no");
  },
  "continues as new": async (ctx) => (ctx.execution === 1 ? ctx.continueAsNew() : "done"),
};

for (const [how, end] of Object.entries(endings)) {
  test(`a parent that ${how} cancels its children, except those it abandons`, async (t) => {
    const parent = orchestration("parent", async (ctx) => {
      if (ctx.execution === 1) {
        void ctx.subOrchestration(wait, undefined, { instanceId: "cancelled" });
        void ctx.subOrchestration(wait, undefined, { instanceId: "abandoned", parentClosePolicy: "abandon" });
        await ctx.timer("1m");
      }
      return end(ctx);
    });
    const env = await environment(t, { orchestrations: [parent, wait] });
    const run = await env.startOrchestration(parent);
    await env.result(run).catch(() => undefined);
    await env.settle();
    assert.equal((await env.client.instance("cancelled").status()).status, "cancelled");
    assert.equal((await env.client.instance("abandoned").status()).status, "running");
    await env.client.instance("abandoned").raiseEvent("end", "alone");
    assert.equal(await env.result(env.client.instance("abandoned")), "alone");
  });
}

for (const verb of ["cancel", "terminate"] as const) {
  test(`${verb} of a parent cancels the tree below it, except what is abandoned`, async (t) => {
    const cleaned: string[] = [];
    const clean = activity("clean", async (ctx) => {
      cleaned.push(ctx.instanceId);
    });
    const leaf = orchestration("leaf", async (ctx) => {
      try {
        await ctx.waitForEvent("end");
      } catch (error) {
        await ctx.activity(clean);
        throw error;
      }
    });
    const middle = orchestration("middle", async (ctx) =>
      ctx.subOrchestration(leaf, undefined, { instanceId: "leaf" }),
    );
    const top = orchestration("top", async (ctx) => {
      void ctx.subOrchestration(wait, undefined, { instanceId: "free", parentClosePolicy: "abandon" });
      return ctx.subOrchestration(middle, undefined, { instanceId: "middle" });
    });
    const env = await environment(t, { orchestrations: [top, middle, leaf, wait], activities: [clean] });
    const run = await env.startOrchestration(top, undefined, { instanceId: "top" });
    await env.settle();
    await run[verb]("stop it all");
    await env.settle();
    assert.deepEqual(
      Object.fromEntries((await env.client.tree("top")).map(({ instanceId, status }) => [instanceId, status])),
      { top: verb === "cancel" ? "cancelled" : "terminated", middle: "cancelled", leaf: "cancelled", free: "running" },
    );
    assert.deepEqual(cleaned, ["leaf"]);
    await env.client.instance("free").raiseEvent("end");
  });
}

test("a parent that gives up a child cancels it and hears nothing more of it", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    const first = await ctx.race({
      child: ctx.subOrchestration(wait, undefined, { instanceId: "child" }),
      tooLate: ctx.timer("1h"),
    });
    await ctx.timer("1h");
    return first.winner;
  });
  const env = await environment(t, { orchestrations: [parent, wait] });
  const run = await env.startOrchestration(parent);
  assert.equal(await env.result(run), "tooLate");
  assert.equal((await env.client.instance("child").status()).status, "cancelled");
  assert.deepEqual(kinds(await run.history()).slice(-5), [
    "TimerFired",
    "SubOrchestrationCancelled",
    "TimerCreated",
    "TimerFired",
    "OrchestrationCompleted",
  ]);
});

test("a child that continues as new answers its parent when it ends at last", async (t) => {
  const count = orchestration("count", async (ctx, n: number) => (n < 5 ? ctx.continueAsNew(n + 1) : n));
  const parent = orchestration("parent", async (ctx) => ctx.subOrchestration(count, 1, { instanceId: "child" }));
  const env = await environment(t, { orchestrations: [parent, count] });
  assert.equal(await env.result(await env.startOrchestration(parent)), 5);
  assert.equal((await env.client.instance("child").status()).execution, 5);
});

test("children of one execution are not those of the next", async (t) => {
  const parent = orchestration("parent", async (ctx, round: number) => {
    const output = await ctx.subOrchestration(double, round);
    return round < 3 ? ctx.continueAsNew(round + 1) : output;
  });
  const env = await environment(t, { orchestrations: [parent, double] });
  assert.equal(await env.result(await env.startOrchestration(parent, 1, { instanceId: "p" })), 6);
  assert.deepEqual((await env.client.tree("p")).map(({ instanceId }) => instanceId).toSorted(), [
    "p",
    "p:1:1",
    "p:2:1",
    "p:3:1",
  ]);
});

test("a child that ends while its parent's worker is dead answers when the parent is back", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    const output = await ctx.subOrchestration(wait, undefined, { instanceId: "child" });
    return ["child said", output];
  });
  const env = await environment(t, { orchestrations: [parent, wait] });
  const run = await env.startOrchestration(parent);
  await env.settle();
  await env.restart({ orchestrations: [wait] });
  await env.client.instance("child").raiseEvent("end", 7);
  await env.settle();
  assert.equal((await env.client.instance("child").status()).status, "completed");
  assert.equal((await run.status()).status, "running");
  await env.restart({ orchestrations: [parent, wait] });
  assert.deepEqual(await env.result(run), ["child said", 7]);
  assert.equal(ofKind(await run.history(), "SubOrchestrationCompleted").length, 1);
});

test("a crash between parent and child at any moment loses and repeats nothing", async (t) => {
  const door = gate();
  let runs = 0;
  const work = activity("work", async () => {
    if (++runs === 1) await door.opened;
    return runs;
  });
  const child = orchestration("child", async (ctx) => ctx.activity(work));
  const parent = orchestration("parent", async (ctx) => [
    await ctx.subOrchestration(child, undefined, { instanceId: "c" }),
    await ctx.subOrchestration(double, 4),
  ]);
  const env = await environment(t, { orchestrations: [parent, child, double], activities: [work] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  await env.until(() => runs === 1);
  await env.restart();
  assert.deepEqual(await env.result(run), [2, 8]);
  assert.deepEqual(kinds(await run.history()), [
    "OrchestrationStarted",
    "SubOrchestrationScheduled",
    "SubOrchestrationCompleted",
    "SubOrchestrationScheduled",
    "SubOrchestrationCompleted",
    "OrchestrationCompleted",
  ]);
  door.open();
});

test("a child may be of another version and has labels of its own", async (t) => {
  const [one, two] = ["1", "2"].map((version) =>
    orchestration("versioned", { version }, async (ctx) => `${ctx.version} ${ctx.execution}`),
  ) as [typeof wait, typeof wait];
  const parent = orchestration("parent", async (ctx) => [
    await ctx.subOrchestration("versioned", undefined, { version: "1", labels: { a: "1" }, instanceId: "c1" }),
    await ctx.subOrchestration("versioned"),
  ]);
  const env = await environment(t, { orchestrations: [parent, one, two] });
  assert.deepEqual(await env.result(await env.startOrchestration(parent)), ["1 1", "2 1"]);
  assert.deepEqual((await env.client.instance("c1").status()).labels, { a: "1" });
});

test("a tree of 1 + 10 + 100 orchestrations adds up", async (t) => {
  const leaf = orchestration("leaf", async (_ctx, n: number) => n);
  const branch = orchestration("branch", async (ctx, from: number) => {
    const parts = await Promise.all(Array.from({ length: 10 }, (_, i) => ctx.subOrchestration(leaf, from + i)));
    return parts.reduce((a, b) => a + b, 0);
  });
  const root = orchestration("root", async (ctx) => {
    const parts = await Promise.all(Array.from({ length: 10 }, (_, i) => ctx.subOrchestration(branch, i * 10)));
    return parts.reduce((a, b) => a + b, 0);
  });
  const env = await environment(t, { orchestrations: [root, branch, leaf] });
  const run = await env.startOrchestration(root, undefined, { instanceId: "r" });
  assert.equal(await env.result(run), 4950);
  const tree = await env.client.tree("r");
  assert.equal(tree.length, 111);
  assert.ok(tree.every(({ rootId, status }) => rootId === "r" && status === "completed"));
  await assert.rejects(env.client.tree("nobody"), fails("instance_not_found"));
});
