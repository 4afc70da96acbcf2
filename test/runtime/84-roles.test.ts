/**
 * Workers that differ: some run orchestrations only, some activities only, some one version and some another. Each takes
 * what it can run, and what nobody can run waits and is named. On SQLite and on postgres.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { activity, orchestration, type StorageProvider } from "@stet/core";
import { mock } from "@stet/mock";
import { severable } from "@stet/testing";
import { assertOnce, crew, histories } from "./crew.ts";
import { kindsOfStores } from "./stores.ts";

const nothing = { orchestrations: [], activities: [], tags: [], modelCalls: 0 };

for (const [kind, newStore] of Object.entries(kindsOfStores)) {
  test(`${kind}: work travels to whoever may do it and comes back, and nobody takes what is not for it`, async (t) => {
    const { hire, client, store, until } = await crew(t, newStore());
    const taken = new Map<string, Set<string>>();
    const asked = new Map<string, Set<string>>();
    const observed = (name: string): StorageProvider =>
      observe(store, (verb, names) => {
        for (const [what, all] of [[verb, asked], ...names.map((one) => [one, taken] as const)] as const)
          all.set(name, (all.get(name) ?? new Set()).add(what));
      });
    const role = (name: string) => ({ workerName: name, storage: observed(name) });
    const plain = (name: string) => activity("plain", async () => name);
    const heavy = (name: string) => activity("heavy", { tag: "gpu" }, async () => name);
    const child = orchestration("child", async (ctx) => ctx.activity(plain("elsewhere")));
    const order = orchestration("order", async (ctx) => [
      await ctx.activity(plain("elsewhere")),
      await ctx.activity(heavy("elsewhere")),
      await ctx.subOrchestration(child),
      await ctx.generate("Who are you?"),
    ]);
    await hire({ ...role("orders"), orchestrations: [order] });
    await hire({ ...role("children"), orchestrations: [child] });
    await hire({ ...role("hands"), activities: [plain("hands"), heavy("hands")] });
    await hire({ ...role("gpu"), activities: [heavy("gpu")], tags: ["gpu"] });
    await hire({ ...role("models"), llm: mock().otherwise("models") });

    const runs = await Promise.all(Array.from({ length: 20 }, () => client.startOrchestration<string[]>("order")));
    await until(async () => (await client.stats()).instances.completed === 40);

    for (const run of runs) assert.deepEqual(await run.result(), ["hands", "gpu", "hands", "models"]);
    assert.deepEqual(Object.fromEntries([...taken].map(([name, names]) => [name, [...names].toSorted()])), {
      orders: ["order"],
      children: ["child"],
      hands: ["plain"],
      gpu: ["heavy"],
      models: ["model"],
    });
    for (const name of ["hands", "gpu", "models"])
      assert.ok(!asked.get(name)?.has("claimTurns"), `${name} runs no turns`);
    for (const name of ["orders", "children"]) assert.ok(!asked.get(name)?.has("claimWork"), `${name} does no work`);
    assertOnce(await histories(client));
  });

  test(`${kind}: old and new versions side by side; what began on the old one waits for a worker that has it`, async (t) => {
    const { hire, bury, client, store, until, pass } = await crew(t, newStore());
    const version = (name: string) =>
      orchestration("flow", { version: name }, async (ctx) => {
        const said = [name];
        for (let i = 0; i < 2; i++) said.push(`${name} ${await ctx.waitForEvent<string>("go")}`);
        return said;
      });
    const wire = severable(store);
    const old = await hire({ orchestrations: [version("1")], storage: wire.storage, workerName: "old" });
    const first = await client.startOrchestration<string[]>("flow", undefined, { instanceId: "first" });
    await until(() => old.stats().cachedExecutions === 1 && old.isIdle);
    const young = await hire({ orchestrations: [version("2")], workerName: "young" });
    const second = await client.startOrchestration<string[]>("flow", undefined, { instanceId: "second", version: "2" });
    await until(() => young.stats().cachedExecutions === 1 && young.isIdle);
    for (const run of [first, second]) await run.raiseEvent("go", "side by side");
    await pass(1);
    assert.deepEqual((await client.stats()).missingHandlers, nothing);

    bury(old);
    wire.sever();
    for (const run of [first, second]) await run.raiseEvent("go", "without the old one");
    await pass(60);

    assert.deepEqual(await second.result(), ["2", "2 side by side", "2 without the old one"]);
    assert.equal((await first.status()).status, "running");
    assert.deepEqual((await client.stats()).missingHandlers, { ...nothing, orchestrations: ["flow@1"] });
    assert.equal((await client.stats()).blocked, 0);

    await hire({ orchestrations: [version("2"), version("1")], workerName: "both" });
    await until(async () => (await first.status()).status === "completed");
    assert.deepEqual(await first.result(), ["1", "1 side by side", "1 without the old one"]);
    assert.deepEqual((await client.stats()).missingHandlers, nothing);
    assertOnce(await histories(client));
  });

  test(`${kind}: what waits for an activity, a tag or models that no living worker has is named until one has it`, async (t) => {
    const { hire, client, until, pass } = await crew(t, newStore());
    const missing = async () => (await client.stats()).missingHandlers;
    const work = activity("work", async (ctx) => ctx.tag ?? "none");
    const later = activity("later", async () => "later");
    const needs = orchestration("needs", async (ctx) =>
      Promise.all([
        ctx.activity(work),
        ctx.activity(work, undefined, { tag: "gpu" }),
        ctx.activity(work, undefined, { tag: "tpu" }),
        ctx.activity<string>("later", undefined, { tag: "gpu" }),
        ctx.generate("one"),
        ctx.generate("two"),
      ]),
    );
    await hire({ orchestrations: [needs], activities: [work] });
    const run = await client.startOrchestration<string[]>("needs");
    await pass(60);
    const tags = [
      { activity: "work", tag: "gpu" },
      { activity: "work", tag: "tpu" },
    ];
    assert.deepEqual(await missing(), { ...nothing, activities: ["later"], tags, modelCalls: 2 });

    await hire({ activities: [later] });
    assert.deepEqual(await missing(), {
      ...nothing,
      tags: [{ activity: "later", tag: "gpu" }, ...tags],
      modelCalls: 2,
    });
    const gpu = await hire({ activities: [work, later], tags: ["gpu"] });
    await until(() => gpu.isIdle);
    await until(async () => (await missing()).tags.length === 1);
    assert.deepEqual(await missing(), { ...nothing, tags: tags.slice(1), modelCalls: 2 });
    await hire({ llm: mock().otherwise("said") });
    await until(async () => (await missing()).modelCalls === 0);
    await hire({ activities: [work], tags: ["tpu"] });
    await until(async () => (await run.status()).status === "completed");

    assert.deepEqual(await run.result(), ["none", "gpu", "tpu", "later", "said", "said"]);
    assert.deepEqual(await missing(), nothing);
  });
}

/** A store that says which verbs are called, and what the claims of turns and work hand out. */
function observe(store: StorageProvider, see: (verb: string, names: readonly string[]) => void): StorageProvider {
  return new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || name === "onChange") return verb;
      return async (...given: unknown[]): Promise<unknown> => {
        const answer: unknown = await Reflect.apply(verb, target, given);
        const claimed = name === "claimTurns" || name === "claimWork" ? (answer as Claimed[]) : [];
        see(
          String(name),
          claimed.map((one) => (one.kind === "model" ? "model" : one.name)),
        );
        return answer;
      };
    },
  });
}

interface Claimed {
  readonly kind?: "activity" | "model";
  readonly name: string;
}
