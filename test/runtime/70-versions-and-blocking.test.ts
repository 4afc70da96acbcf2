/** Versions, and instances whose code and history no longer fit: they wait, they say why, and nothing of them is lost. */
import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { join } from "node:path";
import { test } from "node:test";
import Database from "better-sqlite3";
import {
  activity,
  isStetError,
  orchestration,
  type Orchestration,
  type StetError,
  type TurnDiagnostic,
} from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { causes, environment, fails, gate, journal, kinds, newFolder, ofKind } from "./world.ts";

/** A file of its own for one test. */
function file(): string {
  return join(newFolder(), "store.db");
}

const one = activity("one", async (_ctx, n: number) => n);
const two = activity("two", async (_ctx, n: number) => n * 2);

/** Waits, then calls `one`, as deployed first. */
const before = orchestration("deployed", async (ctx, n: number) => {
  const first = await ctx.activity(one, n);
  const event = await ctx.waitForEvent<number>("go");
  return [first, event];
});

/** The same, deployed with a change that the history of running instances does not fit. */
const changed = orchestration("deployed", async (ctx, n: number) => {
  const first = await ctx.activity(two, n);
  const event = await ctx.waitForEvent<number>("go");
  return [first, event];
});

function version(number: string): Orchestration<void, string> {
  return orchestration("versioned", { version: number }, async (ctx) => {
    await ctx.waitForEvent("go");
    return `version ${ctx.version}`;
  });
}

test("new instances run the newest version, or the one they were pinned to", async (t) => {
  const env = await environment(t, { orchestrations: ["2", "10", "9.9"].map(version) });
  const newest = await env.startOrchestration("versioned");
  const pinned = await env.startOrchestration("versioned", undefined, { version: "9.9" });
  for (const run of [newest, pinned]) await run.raiseEvent("go");
  assert.equal(await env.result(newest), "version 10");
  assert.equal(await env.result(pinned), "version 9.9");
  assert.equal((await pinned.status()).version, "9.9");
});

test("a running instance stays on its version when a newer one is deployed", async (t) => {
  const env = await environment(t, { orchestrations: [version("1")] });
  const run = await env.startOrchestration(version("1"));
  await env.settle();
  await env.restart({ orchestrations: [version("1"), version("2")] });
  await run.raiseEvent("go");
  assert.equal(await env.result(run), "version 1");
});

test("a worker without the version leaves the instance waiting, unharmed, and the stats say what is missing", async (t) => {
  const env = await environment(t, { orchestrations: [version("1")] });
  const running = await env.startOrchestration("versioned");
  await env.settle();
  await env.restart({ orchestrations: [version("2")] });
  const pinned = await env.startOrchestration("versioned", undefined, { version: "3" });
  await running.raiseEvent("go");
  await env.advance("30d");
  assert.deepEqual([(await running.status()).status, (await pinned.status()).status], ["running", "pending"]);
  assert.deepEqual((await env.client.stats()).missingHandlers.orchestrations.toSorted(), [
    "versioned@1",
    "versioned@3",
  ]);
  await env.restart({ orchestrations: [version("1"), version("2"), version("3")] });
  await pinned.raiseEvent("go");
  assert.equal(await env.result(running), "version 1");
  assert.equal(await env.result(pinned), "version 3");
  assert.deepEqual((await env.client.stats()).missingHandlers.orchestrations, []);
});

test("an orchestration that no worker has waits, and is shown as missing", async (t) => {
  const env = await environment(t);
  const run = await env.startOrchestration("unknown", { a: 1 });
  await env.advance("1d");
  assert.equal((await run.status()).status, "pending");
  assert.deepEqual((await env.client.stats()).missingHandlers, {
    orchestrations: ["unknown"],
    activities: [],
    tags: [],
    modelCalls: 0,
  });
  const late = orchestration("unknown", async (_ctx, input: object) => input);
  await env.restart({ orchestrations: [late] });
  assert.deepEqual(await env.result(run), { a: 1 });
});

test("code that does not fit its history blocks the instance and says where and why", async (t) => {
  const log = journal();
  const options = { activities: [one, two], logger: log };
  const env = await environment(t, { ...options, orchestrations: [before] });
  const run = await env.startOrchestration(before, 7, { instanceId: "d" });
  await env.settle();
  const history = await run.history();

  await env.restart({ orchestrations: [changed] });
  await run.raiseEvent("go", 1);
  await env.settle();
  const { status, error } = await run.status();
  assert.equal(status, "blocked");
  assert.ok(isStetError(error, "nondeterminism"));
  assert.match(
    error.message,
    /^Expected orchestration deployed version 1 \(instance d, execution 1\) to replay event 2, ActivityScheduled\(name one, input 7\); got ActivityScheduled\(name two, input 7\) at .*70-versions-and-blocking\.test\.ts:\d+:\d+\)?: name differs\. Guard the change with ctx\.patched, register it as a new version, or bring the old code back$/,
  );
  assert.deepEqual(await run.history(), history, "nothing is added");
  assert.deepEqual(
    (await env.client.list({ status: "blocked" })).instances.map(({ instanceId }) => instanceId),
    ["d"],
  );
  assert.deepEqual((await env.client.list({ status: ["running", "pending"] })).instances, []);
  assert.equal((await env.client.stats()).blocked, 1);
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 1, "once, not in a loop");

  await env.restart({ orchestrations: [before] });
  assert.deepEqual(await env.result(run), [7, 1]);
});

test("another build tries a blocked instance again by itself, the same one only after resume()", async (t) => {
  const env = await environment(t, { orchestrations: [before], activities: [one, two], buildId: "a" });
  const run = await env.startOrchestration(before, 7);
  await env.settle();
  await env.restart({ orchestrations: [changed] });
  await run.raiseEvent("go", 1);
  await env.settle();
  assert.equal((await run.status()).status, "blocked");

  await env.restart({ orchestrations: [before] });
  await env.settle();
  assert.equal((await run.status()).status, "blocked", "the build says that it is the same code");
  assert.equal(await env.client.resume(run.instanceId), true);
  assert.deepEqual(await env.result(run), [7, 1]);
  assert.equal(await env.client.resume(run.instanceId), false);
  await assert.rejects(env.client.resume("nobody"), fails("instance_not_found"));

  const next = await env.startOrchestration(before, 8);
  await env.settle();
  await env.restart({ orchestrations: [changed], buildId: "b" });
  await next.raiseEvent("go", 2);
  await env.settle();
  assert.equal((await next.status()).status, "blocked");
  await env.restart({ orchestrations: [before], buildId: "c" });
  assert.deepEqual(await env.result(next), [8, 2]);
});

test("a blocked instance keeps the messages and answers that come meanwhile", async (t) => {
  const door = gate();
  let runs = 0;
  const slow = activity("slow", async (ctx) => {
    if (++runs === 1) await door.opened;
    return `attempt ${ctx.attempt}`;
  });
  const make = (callee: typeof one) =>
    orchestration("keeps", async (ctx) => {
      const pending = ctx.activity(slow, undefined, { session: "s" });
      await ctx.activity(callee, 1);
      const events = [await ctx.waitForEvent("e"), await ctx.waitForEvent("e")];
      await ctx.timer("1h");
      return [await pending, ...events];
    });
  const env = await environment(t, { orchestrations: [make(one)], activities: [one, two, slow], buildId: "a" });
  const run = await env.startOrchestration(make(one));
  await env.until(async () => runs === 1 && (await run.status()).waitingFor.length === 2);
  await env.restart({ orchestrations: [make(two)], buildId: "b" });
  await run.raiseEvent("e", 1);
  await env.settle();
  assert.equal((await run.status()).status, "blocked");
  assert.equal(runs, 2, "its work goes on");
  await run.raiseEvent("e", 2);
  await env.advance("2h");
  assert.equal((await run.status()).status, "blocked");
  await env.restart({ orchestrations: [make(one)], buildId: "c" });
  assert.deepEqual(await env.result(run), ["attempt 2", 1, 2]);
  door.open();
});

test("a blocked instance can be terminated, and its children are cancelled", async (t) => {
  const child = orchestration("child", async (ctx) => ctx.waitForEvent("never"));
  const make = (callee: typeof one) =>
    orchestration("parent", async (ctx) => {
      const pending = ctx.subOrchestration(child, undefined, { instanceId: "c" });
      await ctx.activity(callee, 1);
      await ctx.waitForEvent("go");
      return pending;
    });
  const env = await environment(t, { orchestrations: [make(one), child], activities: [one, two] });
  const run = await env.startOrchestration(make(one), undefined, { instanceId: "p" });
  await env.settle();
  await env.restart({ orchestrations: [make(two), child] });
  await run.raiseEvent("go");
  await env.settle();
  assert.equal((await run.status()).status, "blocked");
  await run.terminate("no longer needed");
  await assert.rejects(
    env.result(run),
    fails("orchestration_terminated", "Orchestration parent (instance p) was terminated: no longer needed"),
  );
  await env.settle();
  assert.equal((await env.client.instance("c").status()).status, "cancelled");
  assert.equal(kinds(await run.history()).at(-1), "OrchestrationTerminated");
  await env.restart({ orchestrations: [make(one), child] });
});

test("onNondeterminism: fail ends the instance and tells its parent and its children", async (t) => {
  const grandchild = orchestration("grandchild", async (ctx) => ctx.waitForEvent("never"));
  const make = (callee: typeof one) =>
    orchestration("child", async (ctx) => {
      void ctx.subOrchestration(grandchild, undefined, { instanceId: "g" });
      await ctx.activity(callee, 1);
      await ctx.waitForEvent("go");
    });
  const parent = orchestration("parent", async (ctx) => {
    try {
      await ctx.subOrchestration("child", undefined, { instanceId: "c" });
      return [];
    } catch (error) {
      return causes(error as StetError);
    }
  });
  const env = await environment(t, {
    orchestrations: [parent, make(one), grandchild],
    activities: [one, two],
    onNondeterminism: "fail",
    replayOnClose: false,
  });
  const run = await env.startOrchestration(parent);
  await env.settle();
  await env.restart({ orchestrations: [parent, make(two), grandchild] });
  await env.client.instance("c").raiseEvent("go");
  assert.deepEqual(await env.result(run), ["nondeterminism"]);
  await env.settle();
  assert.equal((await env.client.instance("c").status()).status, "failed");
  assert.equal((await env.client.instance("g").status()).status, "cancelled");
});

test("ctx.patched keeps old instances on the old way and sends new ones the new way", async (t) => {
  const patched = orchestration("deployed", async (ctx, n: number) => {
    const first = ctx.patched("use-two") ? await ctx.activity(two, n) : await ctx.activity(one, n);
    const event = await ctx.waitForEvent<number>("go");
    return [first, event];
  });
  const env = await environment(t, { orchestrations: [before], activities: [one, two] });
  const old = await env.startOrchestration(before, 7);
  await env.settle();
  await env.restart({ orchestrations: [patched] });
  const young = await env.startOrchestration(patched, 7);
  for (const run of [old, young]) await run.raiseEvent("go", 1);
  assert.deepEqual(await env.result(old), [7, 1]);
  assert.deepEqual(await env.result(young), [14, 1]);
  assert.deepEqual(
    [ofKind(await old.history(), "ChangeMarked").length, ofKind(await young.history(), "ChangeMarked").length],
    [0, 1],
  );
});

const violations: { readonly [what: string]: { code: Orchestration; message: RegExp } } = {
  "awaits a promise that is not durable": {
    code: orchestration("awaits", async () => new Promise(() => undefined)),
    message: /to wait for a durable promise after event 1, got a wait for something else/,
  },
  "sets a timer of Node": {
    code: orchestration("sets", async () => void setTimeout(() => undefined, 1)),
    message: /to be deterministic, got a call of setTimeout: use ctx\.timer\(duration\)$/,
  },
  fetches: {
    code: orchestration("fetches", async () => fetch("http://127.0.0.1:1/")),
    message: /to be deterministic, got a call of fetch: use an activity that fetches$/,
  },
};

for (const [what, { code, message }] of Object.entries(violations)) {
  test(`code that ${what} blocks its instance, and others go on`, async (t) => {
    const fine = orchestration("fine", async (ctx) => ctx.waitForEvent("go"));
    const env = await environment(t, { orchestrations: [code, fine] });
    const [bad, good] = [await env.startOrchestration(code), await env.startOrchestration(fine)];
    await env.settle();
    const { status, error } = await bad.status();
    assert.equal(status, "blocked");
    assert.ok(isStetError(error, "determinism_violated"));
    assert.match(error.message, message);
    await good.raiseEvent("go", 1);
    assert.equal(await env.result(good), 1);
  });
}

test("code that ends its worker again and again is left alone, until other code or resume() comes", async (t) => {
  let deadly = true;
  let deaths = 0;
  const make = () =>
    orchestration("deadly", async (ctx) => {
      await ctx.waitForEvent("go");
      if (deadly) {
        deaths++;
        void env.crash();
      }
      await ctx.timer(1);
      return "alive";
    });
  const fine = orchestration("fine", async (ctx) => ctx.waitForEvent("go"));
  const env = await environment(t, { orchestrations: [make(), fine], buildId: "a" });
  const run = await env.startOrchestration("deadly", undefined, { instanceId: "d" });
  await env.settle();
  await run.raiseEvent("go");
  await env.until(() => deaths === 1);
  for (let i = 2; i <= 11; i++) {
    await env.restart();
    await env.until(() => deaths === i);
  }
  await env.restart();
  await env.settle();
  assert.equal(deaths, 11, "the one that owned it, and ten that took it over");
  const { status, error } = await run.status();
  assert.equal(status, "blocked");
  assert.match(
    error?.message ?? "",
    /^Expected the turn of instance d after event 2 to end, got 10 workers that died in it: its code blocks or ends the process$/,
  );
  const other = await env.startOrchestration(fine);
  await other.raiseEvent("go", "well");
  assert.equal(await env.result(other), "well");

  deadly = false;
  await env.restart({ buildId: "b" });
  assert.equal(await env.result(run), "alive");
});

test("code that ends its worker takes no instance down that was only claimed with it", async (t) => {
  let deaths = 0;
  const deadly = orchestration("deadly", async (ctx) => {
    deaths++;
    void env.crash();
    await ctx.timer(1);
  });
  const fine = orchestration("fine", async (_ctx, n: number) => n);
  const env = await environment(t, { orchestrations: [deadly, fine] });
  await env.crash(); // they find their inboxes full
  for (let n = 0; n < 100; n++) {
    if (n === 10) await env.startOrchestration(deadly, undefined, { instanceId: "d" });
    await env.startOrchestration(fine, n);
  }

  const running = async () => {
    const { instances, blocked } = await env.client.stats();
    return 101 - instances.completed - blocked;
  };
  while ((await running()) > 0) {
    const before = deaths;
    await env.restart();
    await env.until(async () => deaths > before || (await running()) === 0);
  }

  assert.equal(deaths, 10);
  assert.equal((await env.client.instance("d").status()).status, "blocked");
  assert.equal((await env.client.stats()).blocked, 1);
});

test("of those that workers may have died of, the one that saw most of them die runs first", async (t) => {
  const storage = sqlite(":memory:");
  const [older, worse] = ["older", "worse"].map((name) => orchestration(name, async () => name));
  const env = await environment(t, { storage, orchestrations: [older!, worse!] });
  await env.crash();
  for (const { name } of [older!, worse!]) await env.startOrchestration(name, undefined, { instanceId: name });
  const dies = async (orchestrations: readonly string[]): Promise<void> => {
    const now = env.clock.now();
    const capabilities = { orchestrations, activities: [], models: false, tags: [] };
    const worker = await storage.registerWorker({ name: "dies", host: "h", pid: 1, capabilities, now });
    await storage.claimTurns({ worker, now, max: 10, orchestrations, buildId: "b" });
    await storage.releaseWorker(worker);
  };
  for (let i = 0; i < 6; i++) await dies(["older", "worse"]);
  await dies(["worse"]);

  const ran: string[] = [];
  const listener = (message: unknown): void => void ran.push((message as TurnDiagnostic).instanceId);
  subscribe("stet:turn", listener);
  t.after(() => unsubscribe("stet:turn", listener));
  await env.restart();
  await env.settle();

  assert.deepEqual(ran, ["worse", "older"]);
});

test("a history that cannot be read blocks its instance while others go on, and is read when it is whole again", async (t) => {
  const path = file();
  const waits = orchestration("waits", async (ctx, n: number) => [n, await ctx.waitForEvent("go")]);
  const env = await environment(t, { storage: sqlite(path), orchestrations: [waits] });
  const runs = [await env.startOrchestration(waits, 1), await env.startOrchestration(waits, 2)] as const;
  await env.settle();
  await env.crash();

  const id = runs[0].instanceId;
  const damaged = edit(path, id, (body) => body.slice(0, -10));
  await env.restart();
  for (const run of runs) await run.raiseEvent("go", "there");
  assert.deepEqual(await env.result(runs[1]), [2, "there"]);
  const { status, error } = await env.client.instance(id).status();
  assert.equal(status, "blocked");
  assert.ok(isStetError(error, "history_corrupt"));
  assert.match(error.message, /^Expected the history of instance .*, execution 1 to be JSON, got "\[\{/);

  edit(path, id, () => damaged);
  await env.client.resume(id);
  assert.deepEqual(await env.result(runs[0]), [1, "there"]);
});

/** Changes the history of an instance behind everybody's back. Answers what it was. */
function edit(path: string, instanceId: string, change: (body: string) => string): string {
  const db = new Database(path);
  try {
    const where = "instance = (SELECT key FROM instances WHERE id = ?)";
    const body = db.prepare<[string], string>(`SELECT body FROM history WHERE ${where}`).pluck().get(instanceId) ?? "";
    db.prepare(`UPDATE history SET body = ? WHERE ${where}`).run(change(body), instanceId);
    return body;
  } finally {
    db.close();
  }
}

test("a history that lacks an event blocks its instance", async (t) => {
  const path = file();
  const waits = orchestration("waits", async (ctx) => ctx.waitForEvent("go"));
  const env = await environment(t, { storage: sqlite(path), orchestrations: [waits] });
  const run = await env.startOrchestration(waits, undefined, { instanceId: "w" });
  await env.settle();
  await env.crash();
  const whole = edit(path, "w", (body) => JSON.stringify((JSON.parse(body) as unknown[]).slice(0, 1)));
  await env.restart();
  await run.raiseEvent("go", 1);
  await env.settle();
  const { status, error } = await run.status();
  assert.equal(status, "blocked");
  assert.equal(
    error?.message,
    "Expected the history of instance w, execution 1 to begin with OrchestrationStarted and have 2 events, got 1 beginning with OrchestrationStarted",
  );
  edit(path, "w", () => whole);
  await env.client.resume("w");
  assert.equal(await env.result(run), 1);
});
