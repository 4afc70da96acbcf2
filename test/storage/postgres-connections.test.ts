/** How the PostgreSQL provider gets to its server, what it leaves there, and what it makes of trouble on the way. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test, type TestContext } from "node:test";
import { isStetError, Runtime, activity, orchestration, type StetError, type StorageProvider } from "@stet/core";
import { mock, says } from "@stet/mock";
import { postgres, type PostgresOptions } from "@stet/postgres";
import pg from "pg";
import { openNetwork } from "../chaos/network.ts";
import { until } from "../chaos/until.ts";
import { journal } from "../runtime/world.ts";
import { lossyWay, refusingServer, transactionPooler, type Refusal } from "./fake-server.ts";
import { databaseUrl, dropSchemas, newSchema, waitingFor } from "./postgres-database.ts";

const schemas: string[] = [];

after(() => dropSchemas(schemas));

function fresh(): string {
  const schema = newSchema();
  schemas.push(schema);
  return schema;
}

async function opened(t: TestContext, options: PostgresOptions): Promise<StorageProvider> {
  const store = postgres(options);
  await store.open();
  t.after(() => store.close());
  return store;
}

async function direct(t: TestContext): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  t.after(() => client.end());
  return client;
}

const start = (instanceId: string) => ({ instanceId, name: "a", body: "start", at: 0 });

async function refusalOf(
  t: TestContext,
  refusal: Refusal,
  connection: PostgresOptions["connection"] = {},
  url?: (port: number) => string,
) {
  const server = await refusingServer(refusal);
  t.after(() => server.close());
  const place = { host: "127.0.0.1", port: server.port, user: "stet", database: "stet" };
  const options =
    url === undefined ? { connection: { ...place, ...connection } } : { url: url(server.port), connection };
  const error = await postgres(options)
    .open()
    .then(
      () => assert.fail("Expected the server to be refused"),
      (thrown: unknown) => thrown,
    );
  assert.ok(isStetError(error));
  return { error: error as StetError, heard: server.heard };
}

test("TLS is asked for when the connection says so", async (t) => {
  const { error, heard } = await refusalOf(t, { sqlState: "28000" }, { ssl: true });

  assert.deepEqual(heard, ["TLS"]);
  assert.match(error.message, /does not support SSL/);
});

test("a password that is a function is asked for each new connection", async (t) => {
  let asked = 0;
  const password = async () => `token ${++asked}`;
  const refusal = { sqlState: "28P01", asksForPassword: true };

  const { error, heard } = await refusalOf(t, refusal, { password });

  assert.deepEqual(heard, ["password token 1"]);
  assert.match(error.message, /the password was refused/);
  assert.equal(error.retryable, false);
});

test("a password and TLS that the connection names stand beside a url that has others or none", async (t) => {
  const refusal = { sqlState: "28P01", asksForPassword: true };
  const connection = { password: async () => "token", ssl: false };
  for (const user of ["stet", "stet:secret"]) {
    const url = (port: number) => `postgres://${user}@127.0.0.1:${port}/stet?sslmode=verify-full`;

    const { heard } = await refusalOf(t, refusal, connection, url);

    assert.deepEqual(heard, ["password token"]);
  }
});

test("the connection for listening has the password and TLS of the others, and an address of its own", async (t) => {
  const server = await refusingServer({ sqlState: "28P01", asksForPassword: true });
  t.after(() => server.close());
  const token = new URL(databaseUrl()).password || "token";
  const connection = { connectionString: databaseUrl(), password: async () => token };
  const notify = `postgres://listener@127.0.0.1:${server.port}/stet`;

  await opened(t, { connection, schema: fresh(), notify });

  await until("it to try to listen", () => server.heard.length > 0);
  assert.equal(server.heard[0], `password ${token}`);
});

test("one connection cannot both listen and work", async (t) => {
  const pool = new pg.Pool({ connectionString: databaseUrl(), max: 1 });
  t.after(() => pool.end());
  const connection = { max: 1 };
  const expected = /at least 2 connections, one of them to listen on, got 1: .*notify: false/;

  assert.throws(() => postgres({ url: databaseUrl(), connection }), expected);
  assert.throws(() => postgres({ pool }), expected);

  const store = await opened(t, { url: databaseUrl(), connection, schema: fresh(), notify: false });
  assert.deepEqual(await store.startInstances([start("a"), start("b")]), ["started", "started"]);
});

test("a url may name the schema, and `schema` goes before it", async (t) => {
  const [one, other] = [fresh(), fresh()];
  const url = new URL(databaseUrl());
  url.searchParams.set("schema", one);
  const byUrl = await opened(t, { url: url.href });
  const both = await opened(t, { url: url.href, schema: other });

  await byUrl.startInstances([start("a")]);

  const bySchema = await opened(t, { url: databaseUrl(), schema: one });
  assert.equal((await bySchema.admin.getInstances(["a"])).length, 1);
  assert.equal((await both.admin.getInstances(["a"])).length, 0);
});

test("a user who may not create anything works in a schema that somebody else has made", async (t) => {
  const [schema, user] = [fresh(), `user_${newSchema()}`];
  await opened(t, { url: databaseUrl(), schema });
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  const page = readFileSync(new URL("../../docs/postgresql.md", import.meta.url), "utf8");
  const [, grants = ""] = /```sql grants\n([^]*?)```/.exec(page) ?? [];
  await client.query(grants.replaceAll(/\bstet\b/g, schema).replaceAll("tickets_worker", user));
  await client.query(`ALTER ROLE ${user} PASSWORD 'secret'`);
  const url = new URL(databaseUrl());
  [url.username, url.password] = [user, "secret"];
  const say = activity("say", async (_ctx, text: string) => text);
  const greet = orchestration("greet", async (ctx) => {
    ctx.emit("on its way");
    await ctx.timer(10);
    return ctx.activity(say, await ctx.waitForEvent<string>("name"));
  });

  const storage = postgres({ url: url.href, schema });
  const runtime = await Runtime.start({ storage, orchestrations: [greet], activities: [say], logger: journal() });
  t.after(async () => {
    await runtime.shutdown();
    await client.query(`DROP OWNED BY ${user}; DROP ROLE ${user}`);
    await client.end();
  });
  const run = await runtime.startOrchestration(greet, undefined, { budget: { calls: 3 } });
  await run.raiseEvent("name", "Ada");

  assert.equal(await run.result(), "Ada");
  await runtime.client.delete(run.instanceId);
  await assert.rejects(opened(t, { url: url.href, schema: fresh() }), /lacks a privilege/);
});

test("another isolation than READ COMMITTED is refused: statements must see what was committed before them", async () => {
  const schema = fresh();
  const connection = { connectionString: databaseUrl(), options: "-c default_transaction_isolation=serializable" };

  const error: unknown = await postgres({ connection, schema })
    .open()
    .catch((thrown: unknown) => thrown);

  assert.ok(isStetError(error));
  assert.match(error.message, /transactions to be READ COMMITTED by default, got serializable/);
  assert.equal(error.retryable, false);
});

const passing = {
  "08006": true,
  "0A000": true,
  "40001": true,
  "40P01": true,
  "53300": true,
  "55000": true,
  "57P01": true,
};
const lasting = { "3D000": false, "42501": false, "42P01": false, "22021": false };
for (const [sqlState, retryable] of Object.entries({ ...passing, "25006": true, "57014": true, ...lasting })) {
  test(`an error of the server is ${retryable ? "" : "not "}retryable by its SQLSTATE: ${sqlState}`, async (t) => {
    const { error } = await refusalOf(t, { sqlState });

    assert.equal(error.code, "storage_failed");
    assert.equal(error.retryable, retryable);
    assert.deepEqual(error.details, { code: sqlState });
  });
}

test("a transaction that another was in the way of is made again", async (t) => {
  const schema = fresh();
  const store = await opened(t, { url: databaseUrl(), schema });
  const client = await direct(t);
  await client.query(`SET search_path = ${schema};
    CREATE SEQUENCE tries;
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      CASE nextval('${schema}.tries') WHEN 1 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40001';
        WHEN 2 THEN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; ELSE RETURN NEW; END CASE; END $$;
    CREATE TRIGGER refusing BEFORE INSERT ON instances FOR EACH ROW EXECUTE FUNCTION refuse()`);

  assert.deepEqual(await store.startInstances([start("a")]), ["started"]);
});

test("several processes may make a schema at once, and several stores are in one database", async (t) => {
  const [one, other] = [fresh(), fresh()];
  const stores = await Promise.all(
    [one, one, one, one, other].map((schema) => opened(t, { url: databaseUrl(), schema })),
  );

  await stores[0]!.startInstances([start("a")]);

  assert.equal((await stores[3]!.admin.getInstances(["a"])).length, 1);
  assert.equal((await stores[4]!.admin.getInstances(["a"])).length, 0);
});

test("a pool that was handed in stays open", async (t) => {
  const pool = new pg.Pool({ connectionString: databaseUrl() });
  t.after(() => pool.end());
  const store = postgres({ pool, schema: fresh() });
  await store.open();
  await store.close();

  assert.equal((await pool.query("SELECT 1")).rowCount, 1);
  assert.throws(() => postgres({ pool, url: databaseUrl() }), /either a pool or a url/);
});

test("a statement that takes too long fails as retryable, and the next has another connection", async (t) => {
  const schema = fresh();
  const store = await opened(t, { url: databaseUrl(), schema, statementTimeoutMs: 500 });
  const client = await direct(t);
  await client.query(`BEGIN; LOCK TABLE ${schema}.instances`);

  const error: unknown = await store.startInstances([start("a")]).catch((thrown: unknown) => thrown);

  assert.ok(isStetError(error) && error.retryable, String(error));
  await client.query("ROLLBACK");
  await until("the store to answer again", () =>
    store.startInstances([start("b")]).then(
      () => true,
      () => false,
    ),
  );
});

test("a heartbeat that gets lost is given up long before its worker is taken for dead, and the next one gets through", async (t) => {
  const way = await lossyWay(databaseUrl());
  t.after(() => way.close());
  const url = Object.assign(new URL(databaseUrl()), { port: way.port }).href;
  const store = await opened(t, { url, schema: fresh(), notify: false, statementTimeoutMs: 3_600_000 });
  const capabilities = { orchestrations: [], activities: [], models: false, tags: [] };
  const worker = await store.registerWorker({ name: "ada", host: "h", pid: 1, capabilities, now: Date.now() });
  const beat = () => store.heartbeat({ worker, now: Date.now(), work: [] });
  const isAnswered = (asked: Promise<unknown>) =>
    asked.then(
      () => true,
      () => false, // on a machine that is that slow
    );
  await until("the first answer", () => isAnswered(beat()));

  for (const [statement, ask] of [
    ["heartbeat_", beat],
    ["heartbeat_at", () => store.listWorkers(Date.now())],
  ] as const) {
    way.lose(statement);
    const error: unknown = await ask().catch((thrown: unknown) => thrown);
    assert.ok(isStetError(error) && error.retryable, String(error));
    assert.ok(way.hasLost(), "it was the one that got lost");
    await until("the next answer", () => isAnswered(ask()));
  }
});

test("a listener whose connection was cut hears again, and nothing else is lost", async (t) => {
  const schema = fresh();
  const connection = { connectionString: databaseUrl(), application_name: schema };
  const store = await opened(t, { connection, schema });
  const other = await opened(t, { url: databaseUrl(), schema });
  const heard: string[] = [];
  t.after(store.onChange(({ instances = [] }) => heard.push(...instances)));
  const client = await direct(t);
  const listeners = async () => {
    const { rows } = await client.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'LISTEN%'",
      [schema],
    );
    return rows.map(({ pid }) => pid);
  };
  const [before] = await listeners();
  assert.ok(before !== undefined);

  await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", [schema]);

  await until("another listener", async () => (await listeners()).some((pid) => pid !== before));
  await other.startInstances([start("a")]);
  await until("the start to be heard of", () => heard.includes("a"));
  await until("the store to answer again", () =>
    store.startInstances([start("b")]).then(
      () => true,
      () => false,
    ),
  );
});

const echo = activity("echo", async (_ctx, n: number) => n);
const tour = orchestration("tour", async (ctx, n: number) => {
  const first = await ctx.activity(echo, n);
  await ctx.timer(20);
  ctx.state.set("said", await ctx.generate("Well?"));
  return first + ((await ctx.waitForEvent<number>("more")) ?? 0);
});

async function tours(t: TestContext, storage: StorageProvider, outside: StorageProvider): Promise<void> {
  const llm = mock().otherwise(says("yes"));
  const options = { orchestrations: [tour], activities: [echo], llm, logger: journal() };
  const runtime = await Runtime.start({ storage, ...options });
  t.after(() => runtime.shutdown());
  const client = await Runtime.start({ storage: outside, orchestrations: [], logger: journal() });
  t.after(() => client.shutdown());
  const runs = await Promise.all(
    Array.from({ length: 20 }, (_, n) => client.client.startOrchestration(tour, n, { budget: { calls: 1 } })),
  );
  for (const run of runs) await run.raiseEvent("more", 100);

  const results = await Promise.all(runs.map((run) => run.result()));

  assert.deepEqual(
    results,
    runs.map((_, n) => n + 100),
  );
}

test("nothing is left on a connection: a pooler may exchange them between transactions", async (t) => {
  const pooler = await transactionPooler(databaseUrl());
  t.after(() => pooler.close());
  const schema = fresh();
  const url = `postgres://stet@127.0.0.1:${pooler.port}/pooled`;
  const pooled = () => postgres({ url, schema, notify: databaseUrl() });

  await tours(t, pooled(), pooled());

  assert.ok(pooler.exchanges() > 20, `${pooler.exchanges()} exchanges`);
});

test("without announcements workers find what others start, and no connection listens", async (t) => {
  const schema = fresh();
  const connection = { connectionString: databaseUrl(), application_name: schema };
  const deaf = () => postgres({ connection, schema, notify: false });

  await tours(t, deaf(), deaf());

  const client = await direct(t);
  const { rows } = await client.query(
    "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND query ~* '(listen|notify)'",
    [schema],
  );
  assert.deepEqual(rows, []);
});

test("connections that break in the middle of a transaction, or while the store opens, end only what they are for", async (t) => {
  const schema = fresh();
  const network = await openNetwork(databaseUrl());
  t.after(network.close);
  const options = { url: network.through(databaseUrl()), schema, notify: false };
  const store = await opened(t, options);
  await store.startInstances([start("a")]);
  const tree = await store.admin.exportTree("a");
  assert.ok(typeof tree !== "string");
  await store.admin.deleteTree("a", true);
  const client = await direct(t);
  await client.query(`BEGIN; LOCK TABLE ${schema}.instances IN EXCLUSIVE MODE; LOCK TABLE ${schema}.about`);

  const verbs: (() => Promise<unknown>)[] = [
    () => store.admin.importTree(tree),
    () => postgres({ ...options, connection: { max: 2 } }).open(),
  ];
  for (const [n, verb] of verbs.entries()) {
    const failing = verb().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    await until("a statement to wait", async () => (await waitingFor(client)).length > n); // the server waits on
    await network.fail("reset", 0);
    const error = await failing;
    assert.ok(isStetError(error) && error.retryable, String(error));
  }

  await client.query("ROLLBACK");
  await until("the tree to be there", () =>
    store.admin.importTree(tree).then(
      () => true,
      () => false,
    ),
  );
});
