/** A store that outgrew its file: everything in it goes on in PostgreSQL, and capsules go both ways. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { activity, Client, orchestration, promote, Runtime, type StorageAdmin, type StorageProvider } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";
import { environment, journal, newFolder, type WorldOptions } from "../runtime/world.ts";
import { dropSchemas, inSchema, newSchema } from "./postgres-database.ts";

const schemas: string[] = [];

after(() => dropSchemas(schemas));

function fresh(): { file: string; schema: string } {
  const schema = newSchema();
  schemas.push(schema);
  return { file: join(newFolder(), "store.db"), schema };
}

/** The store, with something around one of its verbs. */
function around(
  storage: StorageProvider,
  verb: keyof StorageAdmin,
  through: (invoke: () => Promise<unknown>) => Promise<unknown>,
): StorageProvider {
  const invoke = (given: unknown[]) => Reflect.apply(storage.admin[verb], storage.admin, given) as Promise<unknown>;
  return { ...storage, admin: { ...storage.admin, [verb]: (...given: unknown[]) => through(() => invoke(given)) } };
}

/** A program of which each part waits for something else, and what of it was paid for. */
function desk() {
  const paid: string[] = [];
  const look = activity("look", async (_ctx, id: string) => {
    paid.push(`look ${id}`);
    return `seen ${id}`;
  });
  const flaky = activity("flaky", { retry: { maxAttempts: 3, initialInterval: "1h", jitter: 0 } }, async (ctx) => {
    paid.push(`flaky ${ctx.attempt}`);
    if (ctx.attempt < 2) throw new Error("not yet");
    return ctx.attempt;
  });
  const child = orchestration("child", async (ctx) => ctx.waitForEvent<string>("go"));
  const round = orchestration("round", async (ctx, n: number): Promise<unknown> => {
    ctx.state.set("round", n);
    ctx.emit({ round: n });
    if (n === 1) return ctx.continueAsNew(2);
    const seen = await ctx.activity(look, ctx.instanceId);
    const said = await ctx.generate("Who?", { cache: { scope: "global", ttl: "30d" }, stream: true });
    const mine = await ctx.generate("And?", { cache: "instance" });
    const parts = await Promise.all([
      ctx.timer("2h").then(() => "rung"),
      ctx.activity(flaky),
      ctx.subOrchestration(child, undefined, { instanceId: `${ctx.instanceId}/child` }),
      ctx.waitForEvent<string>("word", { details: { seen } }),
    ]);
    return [seen, said, mine, ...parts, await ctx.generate("And?", { cache: "instance" }), ctx.state.get("round")];
  });
  const llm = mock().otherwise(({ messages }) => {
    paid.push(`ask ${JSON.stringify(messages[0]?.content)}`);
    return "somebody";
  });
  return { paid, round, options: { orchestrations: [round, child], activities: [look, flaky], llm } };
}

async function inFlight(file: string, ids: readonly string[], parts: ReturnType<typeof desk>) {
  const env = await TestEnvironment.start({ storage: sqlite(file), ...parts.options, logger: journal() });
  for (const instanceId of ids) {
    await env.startOrchestration(parts.round, 1, { instanceId, labels: { desk: "a" }, budget: { calls: 10 } });
  }
  await env.settle();
  await env.client.instance(ids[0]!).raiseEvent("word", "early", { idempotencyKey: "once" });
  await env.settle();
  const now = env.clock.now();
  await env.close();
  return now;
}

/** An environment on PostgreSQL whose time goes on from there. */
async function goesOn(t: TestContext, schema: string, options: WorldOptions, now: number) {
  const env = await environment(t, { storage: inSchema(schema), ...options });
  await env.advance(now - env.clock.now());
  return env;
}

test("promote() moves all that is in flight, and it goes on without being paid for again", async (t) => {
  const { file, schema } = fresh();
  const parts = desk();
  const ids = ["a", "b", "c"];
  const now = await inFlight(file, ids, parts);
  const paidBefore = [...parts.paid];

  const moved = await promote({ from: sqlite(file), to: inSchema(schema) });

  assert.deepEqual(moved, { instances: 6, answers: 4 });
  const env = await goesOn(t, schema, parts.options, now);
  const { calls } = (await env.client.budget("a"))!.spent;
  assert.equal(calls, 2);
  for (const id of ids) {
    assert.equal(await env.client.instance(id).raiseEvent("word", "late", { idempotencyKey: "once" }), undefined);
    await env.client.instance(`${id}/child`).raiseEvent("go", "gone");
  }
  await env.advance("2h");
  for (const id of ids) {
    const handle = env.client.instance(id);
    const word = id === "a" ? "early" : "late";
    assert.deepEqual(await handle.result(), [
      ...[`seen ${id}`, "somebody", "somebody", "rung", 2, "gone", word],
      ...["somebody", 2],
    ]);
    assert.equal((await handle.status()).labels["desk"], "a");
  }
  assert.deepEqual(
    parts.paid.slice(paidBefore.length),
    ids.map(() => "flaky 2"),
  );
  const left = await environment(t, { storage: sqlite(file) });
  assert.deepEqual((await left.client.list()).instances, []);
});

test("promote() refuses while a worker of either store is alive, and changes nothing", async (t) => {
  const { file, schema } = fresh();
  const parts = desk();
  await inFlight(file, ["a"], parts);
  const options = { ...parts.options, logger: journal() };
  const there = await Runtime.start({ storage: inSchema(schema, { clock: "database" }), ...options });
  await assert.rejects(
    promote({ from: sqlite(file), to: inSchema(schema, { clock: "database" }) }),
    /Expected the target of a promotion to have no worker/,
  );
  await there.shutdown();
  const here = await Runtime.start({ storage: sqlite(file), ...options });

  await assert.rejects(
    promote({ from: sqlite(file), to: inSchema(schema) }),
    /Expected the source of a promotion to have no worker/,
  );

  await here.shutdown();
  const client = await Client.connect({ storage: inSchema(schema) });
  t.after(() => client.close());
  assert.deepEqual((await client.list()).instances, []);
});

test("promote() that was interrupted anywhere ends when it is called again", async (t) => {
  for (const verb of ["importTree", "importAnswers", "deleteTree"] as const) {
    for (const moment of ["before", "after"] as const) {
      const { file, schema } = fresh();
      const parts = desk();
      const now = await inFlight(file, ["a", "b"], parts);
      let calls = 0;
      const cut = (storage: StorageProvider) =>
        around(storage, verb, async (invoke) => {
          if (++calls !== 1) return invoke();
          if (moment === "after") await invoke();
          throw new Error("the line was cut");
        });
      await assert.rejects(promote({ from: cut(sqlite(file)), to: cut(inSchema(schema)) }), /the line was cut/);

      await promote({ from: sqlite(file), to: inSchema(schema) });

      const env = await goesOn(t, schema, parts.options, now);
      const { instances } = await env.client.list();
      assert.deepEqual(instances.map(({ instanceId }) => instanceId).sort(), ["a", "a/child", "b", "b/child"], verb);
      const left = await environment(t, { storage: sqlite(file) });
      assert.deepEqual((await left.client.list()).instances, [], `${moment} ${verb}`);
    }
  }
});

test("promote() removes nothing when the target has another instance of an id, or something came meanwhile", async (t) => {
  const { file, schema } = fresh();
  const parts = desk();
  await inFlight(file, ["a", "b"], parts);
  const other = await TestEnvironment.start({ logger: journal(), storage: inSchema(schema), ...parts.options });
  await other.startOrchestration(parts.round, 2, { instanceId: "b" });
  await other.settle();
  await other.close();
  await assert.rejects(
    promote({ from: sqlite(file), to: inSchema(schema) }),
    /Expected none of instance b and .* got another b/,
  );

  const source = sqlite(file);
  let sent = false;
  const late = around(source, "exportAnswers", async (invoke) => {
    if (!sent) await source.sendMessages([{ instanceId: "a", body: "{}", at: 0 }]);
    sent = true;
    return invoke();
  });
  const elsewhere = newSchema();
  schemas.push(elsewhere);
  await assert.rejects(promote({ from: late, to: inSchema(elsewhere) }), /Expected instance a .* to stay as they were/);

  await source.open();
  t.after(() => source.close());
  assert.equal((await source.admin.getInstances(["a", "a/child"])).length, 2);
});

test("a capsule of an instance in flight goes from SQLite to PostgreSQL and back, and is the same", async (t) => {
  const { file, schema } = fresh();
  const parts = desk();
  const now = await inFlight(file, ["a"], parts);
  const origin = await Client.connect({ storage: sqlite(file) });
  t.after(() => origin.close());
  const capsule = await origin.export("a");
  const there = await Client.connect({ storage: inSchema(schema) });
  t.after(() => there.close());

  await there.import(JSON.stringify(capsule));
  const again = await there.export("a");

  assert.equal(again.digest, capsule.digest);
  const back = await environment(t, { storage: sqlite(":memory:"), ...parts.options });
  await back.advance(now - back.clock.now());
  await back.client.import(again);
  await back.client.instance("a/child").raiseEvent("go", "gone");
  await back.advance("2h");
  assert.deepEqual(((await back.client.instance("a").result()) as unknown[]).slice(3), [
    "rung",
    2,
    "gone",
    "early",
    "somebody",
    2,
  ]);
});
