/** Transactions that overlap, and statements that come late: what nobody waits for any more may still be carried out. */
import assert from "node:assert/strict";
import { after, test, type TestContext } from "node:test";
import type { ClaimedTurn, StorageProvider, WorkerKey } from "@stet/core";
import pg from "pg";
import { until } from "../chaos/until.ts";
import { databaseUrl, dropSchemas, inSchema, newSchema, waitingFor } from "./postgres-database.ts";

const schemas: string[] = [];

after(() => dropSchemas(schemas));

/** A store with a worker that owns an instance, and a connection that calls the functions of the store by hand. */
async function setUp(t: TestContext) {
  const schema = newSchema();
  schemas.push(schema);
  const store = inSchema(schema);
  await store.open();
  t.after(() => store.close());
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  t.after(() => client.end());
  const capabilities = { orchestrations: ["o"], activities: ["x"], models: false, tags: [] };
  const worker = await store.registerWorker({ name: "w", host: "h", pid: 1, capabilities, now: 0 });
  await store.startInstances([{ instanceId: "a", name: "o", body: "start", at: 0 }]);
  const [turn] = await claim(store, worker);
  assert.ok(turn);
  return {
    store,
    client,
    worker,
    turn,
    call: (name: string, ...values: unknown[]) => call(client, schema, name, values),
  };
}

function claim(store: StorageProvider, worker: WorkerKey): Promise<ClaimedTurn[]> {
  return store.claimTurns({ worker, now: 0, max: 10, orchestrations: ["o"], buildId: "b" });
}

/** Calls a function of the store, whose name ends in the digest of the build. */
async function call(client: pg.Client, schema: string, name: string, values: readonly unknown[]): Promise<void> {
  const { rows } = await client.query<{ proname: string }>(
    "SELECT proname FROM pg_proc WHERE pronamespace = $1::regnamespace AND proname ~ $2",
    [schema, `^${name}_[0-9a-f]{12}$`],
  );
  const places = values.map((_, i) => `$${i + 1}`).join();
  await client.query(`SELECT * FROM ${schema}.${rows[0]!.proname}(${places})`, [...values]);
}

test("an output waits for one that has a lower offset, so that no reader goes past it", async (t) => {
  const { store, client, worker, turn, call } = await setUp(t);
  const row = (body: string) => ({ instanceId: "a", instance: turn.key, execution: 1, body, at: 0 });
  await client.query("BEGIN");
  await call("append_outputs", worker, JSON.stringify([row("first")]), [turn.key]);

  const second = store.appendOutputs(worker, [row("second")]);
  await until("the second output to wait", async () => (await waitingFor(client)).length === 1);
  const early = await store.admin.readOutputs("a", 0, 10);
  await client.query("COMMIT");
  await second;

  assert.deepEqual(early, []);
  const rows = await store.admin.readOutputs("a", 0, 10);
  assert.deepEqual(
    rows.map(({ body }) => body),
    ["first", "second"],
  );
});

test("a message that becomes visible after a later one is not passed over", async (t) => {
  const { store, client, worker, call } = await setUp(t);
  await client.query("BEGIN");
  await call("send_messages", JSON.stringify([{ instanceId: "a", body: "slow", at: 0 }]), ["a"]);

  assert.deepEqual(await store.sendMessages([{ instanceId: "a", body: "quick", at: 0 }]), ["sent"]);
  const before = await claim(store, worker);
  await client.query("COMMIT");
  const afterwards = await claim(store, worker);

  const bodies = (turns: readonly ClaimedTurn[]) => turns.flatMap(({ messages }) => messages.map(({ body }) => body));
  assert.deepEqual(bodies(before), ["start", "quick"]);
  assert.deepEqual(bodies(afterwards), ["start", "slow", "quick"]);
});

test("a claim that comes after the one that was made in its place takes nothing", async (t) => {
  const { store, worker, turn, call } = await setUp(t);
  const [key, other] = ["work", "call"].map((body, n) => ({
    ...{ instanceId: "a", instance: turn.key, execution: 1, eventId: n + 1, attempts: 0, owned: false, body },
    ...(n === 0 ? ({ kind: "activity", name: "x" } as const) : ({ kind: "model", name: "m" } as const)),
  }));
  const claims = { worker, now: 0, max: 10 };
  const workClaim = { ...claims, activities: ["x"], models: false, tags: [], sessionIdleMs: 0 };
  const lateTurns = () => call("claim_turns", worker, 0, 10, ["o"], "b", null, null, 0);
  const lateWork = () => call("claim_work", worker, 0, 10, ["x"], false, [], [], 0, null, 0);
  const lateCalls = () => call("claim_calls", worker, 0, 0, 10, "m", ["m"], "[]", null, 0);
  const owned = async () => (await store.admin.stats(0)).owned[0];
  const before = await owned();

  assert.deepEqual(await store.claimWork({ ...workClaim, held: [] }), []);
  await store.saveWork(worker, [key!, other!]);
  await store.startInstances([{ instanceId: "b", name: "o", body: "start", at: 0 }]);
  for (const late of [lateTurns, lateWork, lateCalls]) await late();

  assert.deepEqual(await owned(), before);
  assert.deepEqual((await claim(store, worker)).map(({ instanceId }) => instanceId).sort(), ["a", "b"]);
  assert.equal((await store.claimWork(workClaim)).length, 1);
  assert.equal((await store.claimCalls({ ...claims, model: "m", lines: ["m"], windows: [] })).calls.length, 1);
});

test("a claim that is made again waits for the one that is under way, and hands out what that takes", async (t) => {
  const { store, client, worker, call } = await setUp(t);
  await store.startInstances([{ instanceId: "b", name: "o", body: "start", at: 0 }]);
  await client.query("BEGIN");
  await call("claim_turns", worker, 0, 10, ["o"], "b", null, null, 0);

  const again = store.claimTurns({ worker, now: 0, max: 10, orchestrations: ["o"], buildId: "b", held: [] });
  await until("the claim to wait", async () => (await waitingFor(client)).length === 1);
  await client.query("COMMIT");

  assert.deepEqual((await again).map(({ instanceId }) => instanceId).sort(), ["a", "b"]);
});
