/** Stores that take several commits at once: code of other instances runs while one is on its way, and nothing else does. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, orchestration, type StorageProvider, type TurnCommit } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import type { TestEnvironment, TestEnvironmentOptions } from "@stet/testing";
import { environment, gate, kinds, type Gate } from "./world.ts";

/** A store that takes two commits at once, and those that bring `halts` an event of a kind only when its gate opens. */
class Wire {
  readonly halts: { readonly kind: string; readonly gate: Gate; readonly reached: Gate }[] = [];
  readonly calls: string[] = [];
  most = 0;
  #underWay = 0;

  readonly through = (store: StorageProvider): StorageProvider =>
    new Proxy(store, {
      get: (target, name) => {
        const verb: unknown = Reflect.get(target, name);
        if (name === "commitsAtOnce") return 2;
        if (name === "claimTurns") {
          return (...given: unknown[]): unknown => {
            assert.equal(this.#underWay, 0, "a claim while commits are under way");
            this.calls.push("claim");
            return Reflect.apply(verb as () => unknown, target, given);
          };
        }
        if (name !== "commitTurns") return verb;
        return (...given: [unknown, readonly TurnCommit[]]) =>
          this.#commit(given[1], () => Reflect.apply(verb as () => unknown, target, given) as Promise<unknown>);
      },
    });

  /** The next commit with such an event waits. */
  halt(kind: string): { readonly gate: Gate; readonly reached: Gate } {
    const halt = { kind, gate: gate(), reached: gate() };
    this.halts.push(halt);
    return halt;
  }

  async #commit(commits: readonly TurnCommit[], call: () => Promise<unknown>): Promise<unknown> {
    this.most = Math.max(this.most, ++this.#underWay);
    const at = this.halts.findIndex(({ kind }) =>
      commits.some(({ history }) => history.some(({ body }) => body.includes(`"${kind}"`))),
    );
    const [halt] = at < 0 ? [] : this.halts.splice(at, 1);
    halt?.reached.open();
    await halt?.gate.opened;
    this.calls.push("commit");
    return call().finally(() => this.#underWay--);
  }
}

async function wired(
  t: TestContext,
  options: Partial<TestEnvironmentOptions>,
): Promise<{ env: TestEnvironment; wire: Wire }> {
  const wire = new Wire();
  const env = await environment(t, { storage: sqlite(":memory:"), ...options, wire: wire.through });
  return { env, wire };
}

test("while the commit of one instance is on its way, others run and are committed", async (t) => {
  const door = gate();
  const first = activity("first", async () => "first");
  const second = activity("second", async () => door.opened);
  const early = orchestration("early", async (ctx) => ctx.activity(first));
  const late = orchestration("late", async (ctx) => ctx.activity(second));
  const { env, wire } = await wired(t, { orchestrations: [early, late], activities: [first, second] });
  const halt = wire.halt("OrchestrationCompleted");
  const waiting = await env.startOrchestration(late);
  const run = await env.startOrchestration(early);

  await halt.reached.opened;
  door.open();
  await waiting.result();
  assert.equal((await run.status()).status, "running");
  halt.gate.open();
  assert.equal(await run.result(), "first");
  assert.equal(wire.most, 2);
});

test("answers that come while a commit is on its way are for the next turn", async (t) => {
  const doors = [gate(), gate(), gate()];
  const answer = activity("answer", async (_ctx, n: number) => {
    await doors[n]?.opened;
    return n;
  });
  const seen: number[] = [];
  const all = orchestration("all", async (ctx) => {
    const note = async (n: number): Promise<void> => {
      seen.push(await ctx.activity(answer, n));
    };
    await Promise.all([0, 1, 2].map(note));
    return "all";
  });
  const { env, wire } = await wired(t, { orchestrations: [all], activities: [answer] });
  const run = await env.startOrchestration(all);
  const halt = wire.halt("ActivityCompleted");
  doors[1]?.open();
  await halt.reached.opened;
  doors[2]?.open();
  doors[0]?.open();
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(seen, [1]);
  halt.gate.open();
  assert.equal(await run.result(), "all");
  assert.deepEqual(new Set(seen), new Set([0, 1, 2]));
});

test("a message that comes while a commit is on its way is taken once, and after it", async (t) => {
  const collect = orchestration("collect", async (ctx) => {
    const first = await ctx.waitForEvent<number>("number");
    const second = await ctx.waitForEvent<number>("number");
    return [first, second];
  });
  const { env, wire } = await wired(t, { orchestrations: [collect] });
  const run = await env.startOrchestration(collect);
  await env.settle();
  const halt = wire.halt("EventReceived");
  await run.raiseEvent("number", 1);
  await halt.reached.opened;
  await run.raiseEvent("number", 2);
  halt.gate.open();
  assert.deepEqual(await run.result(), [1, 2]);
  const received = (await run.history()).filter(({ kind }) => kind === "EventReceived");
  assert.equal(received.length, 2);
});

test("an eviction and a shutdown wait for commits that are on their way", async (t) => {
  const wait = orchestration("wait", async (ctx) => ctx.waitForEvent("never"));
  const { env, wire } = await wired(t, { orchestrations: [wait] });
  const halt = wire.halt("EventAwaited");
  const run = await env.startOrchestration(wait);
  await halt.reached.opened;
  const evicted = env.runtime.evictCache();
  const shutDown = env.runtime.shutdown();
  assert.equal(env.runtime.isIdle, false);
  halt.gate.open();
  await evicted;
  await shutDown;
  assert.deepEqual(kinds(await run.history()), ["OrchestrationStarted", "EventAwaited"]);
  await env.restart();
});

test("a worker that dies with two commits on their way leaves nothing undone", async (t) => {
  const doors = { a: gate(), b: gate() };
  const started = { a: gate(), b: gate() };
  const slow = activity("slow", async (_ctx, name: "a" | "b") => {
    started[name].open();
    await doors[name].opened;
    return name;
  });
  const chain = orchestration("chain", async (ctx, name: "a" | "b") => {
    const first = await ctx.activity(slow, name);
    return first + (await ctx.activity(slow, name));
  });
  const { env, wire } = await wired(t, { orchestrations: [chain], activities: [slow] });
  const runs = [await env.startOrchestration(chain, "a"), await env.startOrchestration(chain, "b")];
  await Promise.all([started.a.opened, started.b.opened]);
  const halts = [wire.halt("ActivityCompleted"), wire.halt("ActivityCompleted")];
  doors.a.open();
  await halts[0]?.reached.opened;
  doors.b.open();
  await halts[1]?.reached.opened;
  await env.crash();
  for (const halt of halts) halt.gate.open();
  await env.restart();
  assert.deepEqual(await Promise.all(runs.map((run) => env.result(run))), ["aa", "bb"]);
});
