/**
 * What is PostgreSQL's own: runtimes on one database, budgets in transactions of several statements, texts that its own
 * cannot hold, and clocks that differ. What every provider does is in the conformance suite.
 */
import assert from "node:assert/strict";
import { after, test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { activity, Client, orchestration, Runtime, type StorageProvider } from "@stet/core";
import { mock, says } from "@stet/mock";
import { TestEnvironment } from "@stet/testing";
import { dropSchemas, inSchema, newSchema } from "./postgres-database.ts";

const schemas: string[] = [];

after(() => dropSchemas(schemas));

function fresh(options: Parameters<typeof inSchema>[1] = {}): StorageProvider {
  const schema = newSchema();
  schemas.push(schema);
  return inSchema(schema, { clock: "database", ...options });
}

const double = activity("double", async (_ctx, n: number) => 2 * n);

const sum = orchestration("sum", async (ctx, n: number) => {
  let total = 0;
  for (let i = 1; i <= n; i++) total += await ctx.activity(double, i);
  await ctx.timer(20);
  return total;
});

const ask = orchestration("ask", async (ctx, times: number) => {
  const answers: string[] = [];
  for (let i = 0; i < times; i++) answers.push(await ctx.generate(`question ${i}`));
  return answers;
});

async function started(t: TestContext, storage: StorageProvider): Promise<Runtime> {
  const llm = mock().otherwise(says("yes"));
  const runtime = await Runtime.start({ storage, llm, orchestrations: [sum, ask], activities: [double] });
  t.after(() => runtime.shutdown());
  return runtime;
}

test("a hundred instances run to their ends on one worker", { timeout: 60_000 }, async (t) => {
  const runtime = await started(t, fresh());

  const runs = await Promise.all(Array.from({ length: 100 }, () => runtime.startOrchestration(sum, 5)));

  assert.deepEqual(
    await Promise.all(runs.map((run) => run.result())),
    runs.map(() => 30),
  );
});

test("what one worker starts, another wakes up for and ends", { timeout: 60_000 }, async (t) => {
  const schema = newSchema();
  schemas.push(schema);
  const ours = await Runtime.start({ storage: inSchema(schema, { clock: "database" }), orchestrations: [] });
  t.after(() => ours.shutdown());
  await started(t, inSchema(schema, { clock: "database" }));

  const run = await ours.client.startOrchestration(sum, 3);

  assert.equal(await run.result(), 12);
});

test("a client that starts an instance and leaves at once is heard", { timeout: 60_000 }, async (t) => {
  const schema = newSchema();
  schemas.push(schema);
  const listener = inSchema(schema);
  await listener.open();
  t.after(() => listener.close());
  const heard: (readonly string[] | undefined)[] = [];
  let wake = (): void => undefined;
  t.after(
    listener.onChange(({ instances }) => {
      heard.push(instances);
      wake();
    }),
  );

  for (let n = 1; n <= 10; n++) {
    const client = await Client.connect({ storage: inSchema(schema) });
    await client.startOrchestration(sum, 1, { instanceId: `s-${n}` });
    await client.close();
    while (heard.length < n) await new Promise<void>((resolve) => (wake = resolve));
  }

  // Who hears nothing looks after a while, and then for anything: that would name no instance.
  assert.deepEqual(
    heard,
    Array.from({ length: 10 }, (_, n) => [`s-${n + 1}`]),
  );
});

test("state whose keys hold what PostgreSQL's texts cannot comes back as it was", async (t) => {
  const store = fresh({ clock: "runtime" });
  await store.open();
  t.after(() => store.close());
  const id = "nul \0, mark \u001a, half \ud83d, \\u0000";

  await store.startInstances([{ instanceId: id, name: "a", body: id, labels: { [id]: id }, at: 0 }]);

  const [record] = await store.admin.getInstances([id]);
  assert.deepEqual([record?.instanceId, record?.labels], [id, { [id]: id }]);
  assert.equal((await store.admin.listInstances({ labels: { [id]: id }, limit: 1 })).rows.length, 1);
  const tree = await store.admin.exportTree(id);
  assert.ok(typeof tree !== "string");
  assert.equal(tree.instances[0]?.messages[0]?.body, id);
});

test("timers that workers with different clocks set are due when their time has passed", async (t) => {
  const store = fresh();
  await store.open();
  t.after(() => store.close());
  const hurry = Date.now() + 120_000;
  const capabilities = { orchestrations: ["a"], activities: [], models: false, tags: [] };
  const register = (now: number) => store.registerWorker({ name: "w", host: "h", pid: 1, capabilities, now });
  const ahead = await register(hurry);
  const claim = { max: 10, orchestrations: ["a", "a@1"], buildId: "b" };
  await store.startInstances([{ instanceId: "a", name: "a", body: "start", at: hurry }]);
  const [turn] = await store.claimTurns({ ...claim, worker: ahead, now: hurry });
  assert.ok(turn);
  const nothing = { payloads: [], settled: [], work: [], messages: [], starts: [], state: [], outputs: [], waits: [] };
  await store.commitTurns(ahead, [
    {
      ...nothing,
      key: turn.key,
      execution: 1,
      expectedEventId: 0,
      history: [{ execution: 1, firstEventId: 1, lastEventId: 1, body: "[]" }],
      consumed: turn.messages.map(({ key }) => key),
      timers: [{ eventId: 1, fireAt: hurry + 60_000, body: "ring" }],
      version: "1",
      unsettled: false,
      keep: false,
      at: hurry,
    },
  ]);
  const behind = await register(Date.now() - 120_000);

  const wakeAt = await store.nextWakeAt(Date.now() - 120_000);
  const early = await store.claimTurns({ ...claim, worker: behind, now: hurry + 120_000 });

  assert.deepEqual(early, []);
  assert.ok(wakeAt !== undefined && Math.abs(wakeAt - (Date.now() - 120_000 + 60_000)) < 10_000, `got ${wakeAt}`);
  assert.ok((await store.listWorkers(hurry)).every(({ silentForMs }) => silentForMs < 10_000));
});

test("a budget that is used up suspends an instance, and a top-up lets it go on", { timeout: 60_000 }, async (t) => {
  const runtime = await started(t, fresh());
  const run = await runtime.startOrchestration(ask, 5, { budget: { calls: 2 } });

  while ((await run.status()).status !== "blocked") await sleep(20);
  const suspended = await runtime.client.budget(run.instanceId);
  await runtime.client.topUp(run.instanceId, { calls: 3 });

  assert.equal(suspended?.spent.calls, 2);
  assert.deepEqual(await run.result(), ["yes", "yes", "yes", "yes", "yes"]);
  assert.deepEqual((await runtime.client.budget(run.instanceId))?.spent.calls, 5);
});

test("a TestEnvironment owns the time of a store whose clock is the runtime's, crashes included", async (t) => {
  const patient = orchestration("patient", async (ctx, n: number) => {
    await ctx.timer("2d");
    const doubled = await ctx.activity(double, n);
    await ctx.timer("3d");
    return doubled;
  });
  const storage = fresh({ clock: "runtime", notify: false });
  const env = await TestEnvironment.start({ storage, orchestrations: [patient], activities: [double] });
  t.after(() => env.close());
  const run = await env.client.startOrchestration(patient, 4);

  await env.settle();
  await env.advance("2d");
  await env.crash();
  await env.restart();
  const before = (await run.status()).status;
  await env.advance("3d");

  assert.equal(before, "running");
  assert.equal(await run.result(), 8);
});
