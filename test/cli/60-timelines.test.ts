/** Timelines: what belongs together in a history is one entry, and everything that happens has one. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { activity, type AnyActivity, type AnyOrchestration, isStetError, orchestration, Runtime } from "@stet/core";
import { mock } from "@stet/mock";
import { sqliteStore } from "./stores.ts";
import { json, type } from "./terminal.ts";

interface Entry {
  readonly eventId: number;
  readonly kind: string;
  readonly name?: string;
  readonly outcome?: string;
  readonly result?: unknown;
  readonly reason?: string;
}

/** Runs the first orchestration to its end, and answers its timeline, as `stet show --json` has it. */
async function timeline(
  t: TestContext,
  orchestrations: readonly [AnyOrchestration, ...AnyOrchestration[]],
  activities: readonly AnyActivity[] = [],
  execution?: number,
): Promise<string[]> {
  const { address, open } = sqliteStore();
  const llm = mock().on("generateStructured", "{", "[", "(").on("generate", "yes");
  const runtime = await Runtime.start({ storage: open(), llm, orchestrations, activities });
  t.after(() => runtime.shutdown());
  const run = await runtime.startOrchestration(orchestrations[0].name, undefined, { instanceId: "i-1" });
  await run.result().catch(() => undefined);
  const which = execution === undefined ? [] : ["--execution", String(execution)];
  const shown = json<{ timeline: Entry[] }>(await type(["show", "i-1", "--json", "-s", address, ...which]));
  return shown.timeline.map(({ kind, name, outcome }) => [kind, name, outcome].filter(Boolean).join(" / "));
}

const echo = activity("echo", async (_ctx, text: string) => text);
const broken = activity("broken", async () => {
  throw new Error("out of order");
});

test("requests are told once, with how they came out", async (t) => {
  const never = orchestration("never", async (ctx) => ctx.waitForEvent("never"));
  const failing = orchestration("failing", async (ctx) => ctx.activity(broken, undefined));
  const all = orchestration("all", async (ctx) => {
    await ctx.activity(echo, "a");
    await ctx.activity(broken, undefined).catch(() => undefined);
    await ctx.subOrchestration(failing).catch(() => undefined);
    await ctx.timer(1);
    await ctx.generate("Is it so?");
    await ctx.race({ child: ctx.subOrchestration(never), soon: ctx.timer(1) });
    ctx.timer("1h").cancel("not needed");
    await ctx.waitForEvent("nobody", { timeout: 1 }).catch((error: unknown) => {
      if (!isStetError(error, "timeout")) throw error;
    });
    ctx.setStatus("nearly");
    ctx.state.set("step", 9);
    ctx.state.delete("step");
    ctx.emit("said");
  });

  assert.deepEqual(await timeline(t, [all, never, failing], [echo, broken]), [
    "started",
    "activity / echo / done",
    "activity / broken / failed",
    "sub-orchestration / failing / failed",
    "timer / done",
    "model / generate / done",
    "sub-orchestration / never / cancelled",
    "timer / done",
    "timer / cancelled",
    "event / nobody / timed out",
    "status",
    "state / step",
    "state deleted / step",
    "output",
    "completed",
  ]);
});

test("an event that comes before its wait is told when it comes, and the wait is over at once", async (t) => {
  const early = orchestration("early", async (ctx) => {
    ctx.sendEvent(ctx.instanceId, "go", 1);
    await ctx.timer(50);
    return ctx.waitForEvent("go");
  });

  assert.deepEqual(await timeline(t, [early]), [
    "started",
    "sent event / go",
    "timer / done",
    "event, before anybody waited / go",
    "event / go / done",
    "completed",
  ]);
});

test("an answer of a model that was refused is told so, and an execution that was continued ends so", async (t) => {
  const schema = { type: "object" } as const;
  const picky = orchestration("picky", async (ctx) => ctx.generateStructured("A plan", schema));
  const twice = orchestration("twice", async (ctx, again: boolean | undefined) => {
    if (again !== false) await ctx.continueAsNew(false);
  });

  assert.deepEqual(await timeline(t, [picky]), [
    "started",
    ...["refused", "refused", "refused"].map((outcome) => `model / generateStructured / ${outcome}`),
    "failed",
  ]);
  assert.deepEqual(await timeline(t, [twice], [], 1), ["started", "continued as new"]);
});
