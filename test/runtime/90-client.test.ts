/** The client: what services ask of instances and of the store, with a runtime in the process and without one. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  activity,
  Client,
  orchestration,
  Runtime,
  type InstanceHandle,
  type InstanceState,
  type OutputRow,
  type StetError,
  type StorageChange,
} from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";
import { all, environment, fails, gate, journal, kinds, newFolder } from "./world.ts";

const hop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const wait = orchestration("wait", async (ctx, _input?: unknown) => ctx.waitForEvent("end"));
const quick = orchestration("quick", async (_ctx, n: number) => n);

// Results

test("result() answers the output, or throws how it ended, with the cause", async (t) => {
  const end = orchestration("end", async (ctx, how: string) => {
    if (how === "fails") throw Object.assign(new Error("no paper"), { code: "E_PAPER" });
    return ctx.waitForEvent("x");
  });
  const env = await environment(t, { orchestrations: [end, quick] });
  assert.equal(await env.result(await env.startOrchestration(quick, 0)), 0);
  const failed = await env.startOrchestration(end, "fails", { instanceId: "f" });
  await assert.rejects(env.result(failed), (error: StetError) => {
    fails("orchestration_failed", "Orchestration end (instance f) failed: no paper")(error);
    assert.equal((error.cause as StetError).code, "E_PAPER");
    return true;
  });
  const terminated = await env.startOrchestration(end, "waits", { instanceId: "t" });
  await terminated.terminate("no need");
  await assert.rejects(
    env.result(terminated),
    fails("orchestration_terminated", "Orchestration end (instance t) was terminated: no need"),
  );
});

test("result() with a timeout gives up in time, and the instance goes on", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  const run = await env.startOrchestration(wait, undefined, { instanceId: "w" });
  await env.settle();
  const rejected = assert.rejects(
    run.result({ timeout: "1h" }),
    fails("timeout", "Expected instance w to end within 3600000 ms, got status running; it goes on"),
  );
  await env.advance("59m");
  const inTime = run.result({ timeout: "10m" });
  await env.advance("1m");
  await rejected;
  await run.raiseEvent("end", "well");
  assert.equal(await inTime, "well");
  assert.equal(await run.result({ timeout: 0 }), "well", "what has ended needs no time");
});

test("result() of an instance that is not there, or is deleted while it is awaited, is an error", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  await assert.rejects(env.client.instance("nobody").result(), fails("instance_not_found"));
  const run = await env.startOrchestration(wait);
  await env.settle();
  const rejected = assert.rejects(run.result(), fails("instance_not_found"));
  await env.client.delete(run.instanceId, { force: true });
  await rejected;
});

test("many may wait for one instance", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  const run = await env.startOrchestration(wait);
  const results = Promise.all(Array.from({ length: 100 }, () => env.client.instance(run.instanceId).result()));
  await env.settle();
  await run.raiseEvent("end", 7);
  assert.deepEqual(await results, Array<number>(100).fill(7));
});

// Starts

test("an id is started once; attach answers the one that is there", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  const run = await env.startOrchestration(wait, 1, { instanceId: "w" });
  await assert.rejects(
    env.startOrchestration(wait, 2, { instanceId: "w" }),
    fails(
      "instance_exists",
      'Expected instance w not to exist, got one: choose another id, or start with ifExists "attach"',
    ),
  );
  const same = await env.startOrchestration(wait, 3, { instanceId: "w", ifExists: "attach" });
  await same.raiseEvent("end", "attached");
  assert.equal(await env.result(run), "attached");
  assert.equal((await run.history())[0]?.kind === "OrchestrationStarted" && (await run.history()).length, 4);
});

test("of many starts with one id side by side one wins", async (t) => {
  const env = await environment(t, { orchestrations: [quick] });
  const starts = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) => env.startOrchestration(quick, n, { instanceId: "one" })),
  );
  assert.equal(starts.filter(({ status }) => status === "fulfilled").length, 1);
  assert.equal(await env.result(env.client.instance("one")), 0);
});

// Listing

test("pages show each instance once, newest first, while others are added and end", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  const started: string[] = [];
  for (let i = 0; i < 50; i++) started.push((await env.startOrchestration(wait, i)).instanceId);
  await env.settle();
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await env.client.list({ limit: 7, ...(cursor !== undefined && { cursor }) });
    seen.push(...page.instances.map(({ instanceId }) => instanceId));
    cursor = page.cursor;
    await env.startOrchestration(wait);
    await env.client.instance(started[seen.length % 50] ?? "").raiseEvent("end");
    await env.settle();
  } while (cursor !== undefined);
  assert.deepEqual(seen, started.toReversed());
});

test("instances are found by name, version, labels, id, parent, time and status", async (t) => {
  const parent = orchestration("parent", async (ctx) => ctx.subOrchestration(wait, undefined, { instanceId: "child" }));
  const stuck = orchestration("stuck", { version: "2" }, async () => new Promise(() => undefined));
  const env = await environment(t, { orchestrations: [wait, quick, parent, stuck] });
  const began = env.clock.now();
  await env.startOrchestration(quick, 1, { instanceId: "a-1", labels: { team: "blue", tier: "1" } });
  await env.startOrchestration(wait, 1, { instanceId: "a-2", labels: { team: "blue" } });
  await env.settle();
  env.clock.jumpTo(began + 60_000);
  await env.startOrchestration(parent, undefined, { instanceId: "b-1" });
  await env.startOrchestration(stuck, undefined, { instanceId: "b-2", version: "2", labels: { team: "red" } });
  await env.startOrchestration("nobodyHasIt", undefined, { instanceId: "c" });
  await env.settle();

  const ids = async (options: Parameters<Client["list"]>[0]): Promise<string[]> =>
    (await env.client.list(options)).instances.map(({ instanceId }) => instanceId).toSorted();
  assert.deepEqual(await ids({}), ["a-1", "a-2", "b-1", "b-2", "c", "child"]);
  assert.deepEqual(await ids({ name: "wait" }), ["a-2", "child"]);
  assert.deepEqual(await ids({ version: "2" }), ["b-2"]);
  assert.deepEqual(await ids({ labels: { team: "blue" } }), ["a-1", "a-2"]);
  assert.deepEqual(await ids({ labels: { team: "blue", tier: "1" } }), ["a-1"]);
  assert.deepEqual(await ids({ labels: { team: "green" } }), []);
  assert.deepEqual(await ids({ idPrefix: "a-" }), ["a-1", "a-2"]);
  assert.deepEqual(await ids({ idPrefix: "%" }), []);
  assert.deepEqual(await ids({ parentId: "b-1" }), ["child"]);
  assert.deepEqual(await ids({ createdBefore: began + 1 }), ["a-1", "a-2"]);
  assert.deepEqual(await ids({ createdAfter: new Date(began + 1) }), ["b-1", "b-2", "c", "child"]);
  assert.deepEqual(await ids({ status: "completed" }), ["a-1"]);
  assert.deepEqual(await ids({ status: "running" }), ["a-2", "b-1", "child"]);
  assert.deepEqual(await ids({ status: "pending" }), ["c"]);
  assert.deepEqual(await ids({ status: "blocked" }), ["b-2"]);
  assert.deepEqual(await ids({ status: ["completed", "blocked"] }), ["a-1", "b-2"]);
  assert.deepEqual(await ids({ status: ["running", "pending"] }), ["a-2", "b-1", "c", "child"]);
  assert.deepEqual(await ids({ status: ["running", "blocked"], labels: { team: "red" } }), ["b-2"]);
});

test("the tree of an instance, and its executions", async (t) => {
  const leaf = orchestration("leaf", async (ctx) => ctx.waitForEvent("x"));
  const middle = orchestration("middle", async (ctx) => ctx.subOrchestration(leaf, undefined, { instanceId: "l" }));
  const top = orchestration("top", async (ctx, n: number): Promise<unknown> => {
    if (n < 3) return ctx.continueAsNew(n + 1);
    return ctx.subOrchestration(middle, undefined, { instanceId: "m" });
  });
  const env = await environment(t, { orchestrations: [top, middle, leaf] });
  await env.startOrchestration(top, 1, { instanceId: "t" });
  await env.settle();
  const shape = (states: readonly InstanceState[]) =>
    states.map(({ instanceId, parentId, rootId, execution }) => ({ instanceId, parentId, rootId, execution }));
  assert.deepEqual(shape(await env.client.tree("t")), [
    { instanceId: "t", parentId: undefined, rootId: "t", execution: 3 },
    { instanceId: "m", parentId: "t", rootId: "t", execution: 1 },
    { instanceId: "l", parentId: "m", rootId: "t", execution: 1 },
  ]);
  assert.equal((await env.client.tree("m")).length, 2);
  const executions = await env.client.executions("t");
  assert.deepEqual(executions.map(({ execution, eventCount }) => `${execution}: ${eventCount}`).toSorted(), [
    "1: 2",
    "2: 2",
    "3: 2",
  ]);
});

// Streams

const emitter = orchestration("emitter", async (ctx, round: number): Promise<string> => {
  ctx.emit({ round });
  ctx.setStatus(`round ${round}`);
  await ctx.timer("1m");
  ctx.emit(null);
  return round < 3 ? ctx.continueAsNew(round + 1) : "done";
});

test("outputs() goes along live, across executions, and ends with the instance", async (t) => {
  const env = await environment(t, { orchestrations: [emitter] });
  const run = await env.startOrchestration(emitter, 1);
  const live: OutputRow[] = [];
  const reading = (async () => {
    for await (const row of run.outputs()) live.push(row);
  })();
  const began = env.clock.now();
  await env.settle();
  await env.until(() => live.length === 1);
  await env.advance("1m");
  await env.until(() => live.length === 3);
  await env.result(run);
  await reading;
  assert.deepEqual(
    live.map(({ data, at }) => [data, (at - began) / 60_000]),
    [
      [{ round: 1 }, 0],
      [null, 1],
      [{ round: 2 }, 1],
      [null, 2],
      [{ round: 3 }, 2],
      [null, 3],
    ],
  );
  assert.deepEqual(await all(run.outputs()), live);
  assert.deepEqual(await all(run.outputs({ from: live[3]?.offset ?? 0 })), live.slice(4));
});

test("1,000 outputs of one turn are read page by page, none twice", async (t) => {
  const burst = orchestration("burst", async (ctx) => {
    for (let i = 0; i < 1_000; i++) ctx.emit(i);
  });
  const env = await environment(t, { orchestrations: [burst] });
  const run = await env.startOrchestration(burst);
  assert.deepEqual(
    (await all(run.outputs())).map(({ data }) => data),
    Array.from({ length: 1_000 }, (_, i) => i),
  );
});

test("changes() tells the standing now and each time it changed, across executions, until the end", async (t) => {
  const env = await environment(t, { orchestrations: [emitter] });
  await env.crash();
  const run = await env.startOrchestration(emitter, 1);
  const told: string[] = [];
  const watching = (async () => {
    for await (const { status, execution, customStatus } of run.changes()) {
      told.push(`${status} ${execution} ${String(customStatus ?? "-")}`);
    }
  })();
  await env.until(() => told.length === 1);
  await env.restart();
  await env.until(() => told.length === 2);
  await env.result(run);
  await watching;
  assert.deepEqual(
    told.filter((line, i) => i < 2 || /completed/.test(line)),
    ["pending 1 -", "running 1 round 1", "completed 3 round 3"],
  );
  assert.ok(told.includes("running 2 round 2") && told.includes("running 3 round 3"), told.join(", "));
  assert.deepEqual(
    (await all(run.changes())).map(({ status }) => status),
    ["completed"],
    "one that has ended is told once",
  );
});

for (const what of ["outputs", "changes"] as const) {
  test(`${what}() ends when its signal is aborted, at once when it was before`, async (t) => {
    const env = await environment(t, { orchestrations: [wait] });
    const run = await env.startOrchestration(wait);
    await env.settle();
    const controller = new AbortController();
    const reading = all<unknown>(run[what]({ signal: controller.signal }));
    await hop();
    controller.abort();
    assert.equal((await reading).length, what === "outputs" ? 0 : 1);
    assert.deepEqual(await all<unknown>(run[what]({ signal: AbortSignal.abort() })), []);
    await run.raiseEvent("end");
  });
}

test("what waits ends when the client is closed", async (t) => {
  const env = await environment(t, { orchestrations: [wait] });
  const client = await Client.connect({ storage: sqlite(":memory:"), clock: env.clock });
  const run = await client.startOrchestration(wait, undefined, { instanceId: "w" });
  const reading = [all<unknown>(run.outputs()), all<unknown>(run.changes())];
  const rejected = assert.rejects(run.result(), fails("runtime_stopped", /^Expected the client to stay open/));
  await hop();
  await client.close();
  await client.close();
  assert.deepEqual(
    (await Promise.all(reading)).map(({ length }) => length),
    [0, 1],
  );
  await rejected;
});

// Operations

test("stats() counts instances, messages, work and workers", async (t) => {
  const call = orchestration("call", async (ctx) => ctx.activity("nobodyHasIt"));
  const fail = orchestration("fail", async () => {
    throw new Error("no");
  });
  const env = await environment(t, { orchestrations: [wait, quick, call, fail], workerName: "ada" });
  const began = env.clock.now();
  for (const each of [wait, quick, call, fail]) await env.startOrchestration(each.name, 1);
  await env.startOrchestration("unknownToAll");
  await env.settle();
  env.clock.jumpTo(began + 3_000);
  await env.settle();
  const { workers, ...stats } = await env.client.stats();
  assert.deepEqual(stats, {
    instances: { pending: 1, running: 2, completed: 1, failed: 1, cancelled: 0, terminated: 0 },
    blocked: 0,
    messages: { ready: 1, delayed: 0 },
    work: { ready: 1, delayed: 0, running: 0 },
    missingHandlers: { orchestrations: ["unknownToAll"], activities: ["nobodyHasIt"], tags: [], modelCalls: 0 },
  });
  assert.deepEqual(
    workers.map(({ host: _host, ...worker }) => worker),
    [{ name: "ada", pid: process.pid, registeredAt: began, silentForMs: 0, busy: 0, instances: 2, work: 0 }],
  );
});

test("a failed instance is run again with its input, labels, state and status, by the newest version", async (t) => {
  const make = (version: string, works: boolean) =>
    orchestration("job", { version }, async (ctx, input: { n: number }) => {
      const tries = (ctx.state.get<number>("tries") ?? 0) + 1;
      ctx.state.set("tries", tries);
      ctx.setStatus(`try ${tries}`);
      if (!works) throw new Error("broken");
      await ctx.waitForEvent("go");
      return [ctx.version, ctx.execution, input.n, tries];
    });
  const env = await environment(t, { orchestrations: [make("1", false)] });
  const run = await env.startOrchestration("job", { n: 5 }, { instanceId: "j", labels: { team: "blue" } });
  await assert.rejects(env.result(run), fails("orchestration_failed"));
  await env.client.retry("j");
  await assert.rejects(env.result(run), fails("orchestration_failed"));
  await env.restart({ orchestrations: [make("1", false), make("2", true)] });
  await env.client.retry("j");
  await env.settle();
  const { status, labels, execution, customStatus, error } = await run.status();
  assert.deepEqual(
    [status, labels, execution, customStatus, error],
    ["running", { team: "blue" }, 3, "try 3", undefined],
  );
  await assert.rejects(
    env.client.retry("j"),
    fails("instance_running", "Expected instance j to have ended to be tried again, got one that is running"),
  );
  await run.raiseEvent("go");
  assert.deepEqual(await env.result(run), ["2", 3, 5, 3]);
  assert.deepEqual(await run.state(), { tries: 3 });
  assert.equal((await env.client.executions("j")).length, 3);
  await assert.rejects(env.client.retry("nobody"), fails("instance_not_found"));
});

test("deleting removes an instance with its tree, and its id is free again", async (t) => {
  const parent = orchestration("parent", async (ctx) => {
    ctx.state.set("key", "x".repeat(1_000));
    ctx.emit(1);
    return ctx.subOrchestration(wait, undefined, { instanceId: "child" });
  });
  const env = await environment(t, { orchestrations: [parent, wait] });
  const run = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  await env.settle();
  await assert.rejects(
    env.client.delete("p"),
    fails("instance_running", "Expected instance p to have ended to be deleted without force, got one that is running"),
  );
  await assert.rejects(
    env.client.delete("child"),
    fails(
      "configuration_invalid",
      "Expected instance child to be the root of its tree to be deleted, got one with a parent",
    ),
  );
  await env.client.instance("child").raiseEvent("end", 1);
  assert.equal(await env.result(run), 1);
  await env.client.delete("p");
  for (const id of ["p", "child"]) {
    await assert.rejects(env.client.instance(id).status(), fails("instance_not_found"));
    await assert.rejects(env.client.instance(id).history(), fails("instance_not_found"));
  }
  await assert.rejects(env.client.delete("p"), fails("instance_not_found"));
  const again = await env.startOrchestration(parent, undefined, { instanceId: "p" });
  await env.settle();
  assert.deepEqual(kinds(await again.history()).slice(0, 2), ["OrchestrationStarted", "StateSet"]);
  assert.equal((await again.status()).execution, 1);
  await env.client.instance("child").raiseEvent("end", 2);
  assert.equal(await env.result(again), 2);
});

test("force deletes what is running; nothing that is still on its way brings it back", async (t) => {
  let aborts = 0;
  let running = 0;
  const work = activity("work", async (ctx) => {
    running++;
    await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
    aborts++;
    return "late";
  });
  const parent = orchestration("parent", async (ctx) => {
    void ctx.timer("1m");
    void ctx.subOrchestration(wait, undefined, { instanceId: "child" });
    ctx.activity(work, undefined, { session: "s" }).catch(() => undefined);
    return ctx.activity(work);
  });
  const env = await environment(t, { orchestrations: [parent, wait], activities: [work] });
  await env.startOrchestration(parent, undefined, { instanceId: "p" });
  await env.until(() => running === 2);
  await env.client.delete("p", { force: true });
  for (let i = 0; i < 5; i++) {
    env.clock.jumpTo(env.clock.now() + 30_000);
    for (let j = 0; j < 10; j++) await hop();
  }
  assert.deepEqual((await env.client.list()).instances, []);
  assert.ok(aborts >= 1, "the work that has a row is noticed as lost");
  await env.restart();
  const { instances, messages, work: rows } = await env.client.stats();
  assert.equal(
    Object.values(instances).reduce((a, b) => a + b, 0),
    0,
  );
  assert.deepEqual(
    [messages, rows],
    [
      { ready: 0, delayed: 0 },
      { ready: 0, delayed: 0, running: 0 },
    ],
  );
});

test("an instance made anew under the same id gets no answer of the one before it", async (t) => {
  const gates = [gate(), gate(), gate()];
  let starts = 0;
  const work = activity("work", async (_ctx, input: string) => {
    await gates[starts++]!.opened;
    return input;
  });
  const twice = orchestration("twice", async (ctx, input: string) => [await ctx.activity(work, input)]);
  const env = await environment(t, { orchestrations: [twice], activities: [work] });
  for (const [i, input] of ["first", "second", "third"].entries()) {
    if (i > 0) await env.client.delete("again", { force: true });
    await env.startOrchestration(twice, input, { instanceId: "again" });
    await env.until(() => starts === i + 1);
  }
  gates[0]!.open(); // the new instance runs here and waits for the same request
  for (let i = 0; i < 10; i++) await hop();
  await env.runtime.evictCache();
  gates[1]!.open();
  for (let i = 0; i < 10; i++) await hop();
  assert.equal((await env.client.instance("again").status()).status, "running");
  gates[2]!.open();
  assert.deepEqual(await env.result(env.client.instance("again", twice)), ["third"]);
});

test("pruning removes what ended long ago, and old executions, and asks for a limit of some kind", async (t) => {
  const rounds = orchestration("rounds", async (ctx, n: number): Promise<unknown> =>
    n < 5 ? ctx.continueAsNew(n + 1) : ctx.waitForEvent("end"),
  );
  const env = await environment(t, { orchestrations: [quick, wait, rounds] });
  for (let i = 0; i < 3; i++) await env.result(await env.startOrchestration(quick, i, { instanceId: `old-${i}` }));
  await env.startOrchestration(rounds, 1, { instanceId: "rounds" });
  await env.advance("40d");
  await env.result(await env.startOrchestration(quick, 1, { instanceId: "new" }));
  const ids = async () => (await env.client.list()).instances.map(({ instanceId }) => instanceId).toSorted();

  assert.deepEqual(await env.client.prune({ olderThan: "30d", limit: 2 }), { trees: 2, executions: 0 });
  assert.deepEqual(await env.client.prune({ endedBefore: new Date(env.clock.now() - 86_400_000) }), {
    trees: 1,
    executions: 0,
  });
  assert.deepEqual(await ids(), ["new", "rounds"]);
  assert.deepEqual(await env.client.prune({ keepExecutions: 2 }), { trees: 0, executions: 3 });
  assert.deepEqual(
    (await env.client.executions("rounds")).map(({ execution }) => execution).toSorted((a, b) => a - b),
    [4, 5],
  );
  assert.deepEqual(await env.client.prune({ olderThan: "30d" }), { trees: 0, executions: 0 });
  await assert.rejects(
    env.client.prune({}),
    fails(
      "configuration_invalid",
      "Expected prune to be given endedBefore, olderThan or keepExecutions, got none of them",
    ),
  );
});

// Without a runtime

function file(): string {
  return join(newFolder(), "store.db");
}

test("a client beside the runtime, on a connection of its own, sees all and is told at once", async (t) => {
  const path = file();
  const runtime = await Runtime.start({ storage: sqlite(path), orchestrations: [wait], logger: journal() });
  t.after(() => runtime.shutdown());
  const client = await Client.connect({ storage: sqlite(path) });
  t.after(() => client.close());
  const run = await client.startOrchestration(wait, undefined, { instanceId: "w" });
  const result = run.result({ timeout: "10s" });
  await run.raiseEvent("end", "heard");
  assert.equal(await result, "heard");
  assert.deepEqual(await runtime.instance("w").status(), await run.status());
});

test("a process that has only a client waits for the result, however little else keeps it alive", async (t) => {
  const path = file();
  const runtime = await Runtime.start({ storage: sqlite(path), orchestrations: [wait], logger: journal() });
  t.after(() => runtime.shutdown());
  const script = fileURLToPath(new URL("./client-process.ts", import.meta.url));
  const other = promisify(execFile)(process.execPath, [...process.execArgv, script, path], { timeout: 20_000 });
  const run = runtime.client.instance("w");
  for (;;) {
    const found = await run.status().catch(() => undefined);
    if (found?.status === "running") break;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  await run.raiseEvent("end", "heard afar");
  assert.equal((await other).stdout, "heard afar\n");
});

test("types flow from the definition to the result without casts", async (t) => {
  const order = z.object({ id: z.string(), count: z.number() });
  const price = activity("price", { input: order }, async (_ctx, { count }) => ({ cents: count * 100 }));
  const buy = orchestration("buy", { input: order }, async (ctx, input) => {
    const { cents } = await ctx.activity(price, input);
    const child: number = await ctx.subOrchestration(quick, cents);
    return { id: input.id, total: child };
  });
  const env = await environment(t, { orchestrations: [buy, quick], activities: [price] });
  const run: InstanceHandle<{ id: string; total: number }> = await env.startOrchestration(buy, { id: "o", count: 3 });
  const { id, total } = await env.result(run);
  const upper: string = id.toUpperCase();
  const fixed: string = total.toFixed(2);
  assert.deepEqual([upper, fixed], ["O", "300.00"]);
  // @ts-expect-error the input must be an order
  await assert.rejects(env.startOrchestration(buy, { id: 5 }), fails("input_invalid"));
  // @ts-expect-error the input is needed
  await assert.rejects(env.startOrchestration(buy), fails("input_invalid"));
});

test("whoever starts many and waits for them afterwards reads only those that may have ended meanwhile", async (t) => {
  const wait = orchestration("wait", async (ctx) => ctx.waitForEvent<number>("go"));
  const store = sqlite(":memory:");
  const read: string[][] = [];
  const listeners: ((change: StorageChange) => void)[] = [];
  const admin = new Proxy(store.admin, {
    get(target, name) {
      if (name !== "getInstances") return Reflect.get(target, name) as unknown;
      return (ids: readonly string[]) => {
        read.push([...ids]);
        return target.getInstances(ids);
      };
    },
  });
  const storage = new Proxy(store, {
    get(target, name) {
      if (name === "admin") return admin;
      if (name !== "onChange") return Reflect.get(target, name) as unknown;
      return (listener: (change: StorageChange) => void) => {
        listeners.push(listener);
        return target.onChange(listener);
      };
    },
  });
  const env = await environment(t, { storage: store, orchestrations: [wait] });
  const client = await Client.connect({ storage, clock: env.clock });
  t.after(() => client.close());
  const start = async (instanceId: string) => client.startOrchestration(wait, undefined, { instanceId });
  const tell = (change: Partial<StorageChange>): void => {
    for (const listener of listeners) listener({ turns: false, work: false, ...change });
  };
  const others = (from: number) => Array.from({ length: 10_000 }, (_, i) => `other-${from + i}`);

  const first = await start("first");
  const second = await start("second");
  await first.raiseEvent("go", 1);
  await env.settle();
  const results = [first.result(), second.result()];
  assert.equal(await results[0], 1);
  assert.deepEqual(read, [["first"]]);

  const third = await start("third");
  tell({ instances: others(0), ended: others(0) }); // remembered, and none of them is it
  void third.result();
  await env.settle();
  assert.deepEqual(read, [["first"]]);

  const fourth = await start("fourth");
  for (const from of [10_000, 20_000]) tell({ instances: others(from), ended: others(from) }); // more than is remembered
  void fourth.result();
  await env.settle();
  assert.deepEqual(read, [["first"], ["fourth"]]);

  const fifth = await start("fifth");
  tell({}); // any may have ended
  void fifth.result();
  await env.settle();
  assert.deepEqual(new Set(read.slice(2).flat()), new Set(["second", "third", "fourth", "fifth"]));

  for (const run of [second, third, fourth, fifth]) await run.raiseEvent("go", 2);
  await env.settle();
  assert.equal(await fifth.result(), 2);
});
