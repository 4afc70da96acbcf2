/** Capsules: a tree leaves one store as a text and goes on in another, from where it stood. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test, type TestContext } from "node:test";
import {
  activity,
  aesGcm,
  type Capsule,
  canonicalJson,
  LlmError,
  orchestration,
  type Payload,
  type StoredInstance,
} from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import type { TestEnvironment } from "@stet/testing";
import { all, environment, fails, gate, kinds, type WorldOptions } from "./world.ts";

const long = "y".repeat(2_000);

/** A program in which a bit of everything is under way at once. */
function busy(t: TestContext) {
  const starts: string[] = [];
  const held = gate();
  let isHeld = true;
  const hang = activity("hang", async (ctx) => {
    starts.push(`hang ${ctx.idempotencyKey} attempt ${ctx.attempt}`);
    if (isHeld) await held.opened;
    return "hung";
  });
  const pay = activity("pay", { effect: "irreversible" }, async (ctx) => {
    starts.push(`pay ${ctx.idempotencyKey} attempt ${ctx.attempt}`);
    if (isHeld) await held.opened;
    return "paid";
  });
  const flaky = activity("flaky", { retry: { maxAttempts: 5, initialInterval: "1h", jitter: 0 } }, async (ctx) => {
    starts.push(`flaky ${ctx.idempotencyKey} attempt ${ctx.attempt}`);
    if (ctx.attempt < 2) throw new Error("not yet");
    return "flaked";
  });
  const elsewhere = activity("elsewhere", { tag: "gpu" }, async () => "rendered");
  const grandchild = orchestration("grandchild", async (ctx, text: string) => {
    await ctx.timer("2h");
    return text.length;
  });
  const child = orchestration("child", async (ctx, text: string) => {
    ctx.emit({ child: text });
    return ctx.subOrchestration(grandchild, text);
  });
  const main = orchestration("main", async (ctx, text: string): Promise<unknown> => {
    ctx.state.set("text", text);
    ctx.setStatus({ execution: ctx.execution, text });
    ctx.emit(`round ${ctx.execution}`);
    if (ctx.execution === 1) return ctx.continueAsNew(text);
    const said = await ctx.generate(`say ${text}`);
    const all = await Promise.all([
      ctx.activity(hang),
      ctx.activity(flaky),
      ctx.activity(elsewhere),
      ctx.activity(pay).catch((error: { code: string }) => error.code),
      ctx.subOrchestration(child, text),
      ctx.waitForEvent("go", { details: { text } }),
      ctx.timer("3h").then(() => "slept"),
    ]);
    return [said.length, ...all, ctx.tryReceive("kept")];
  });
  const release = () => {
    isHeld = false;
    held.open();
  };
  t.after(release); // before the environment is closed, which waits for what runs
  return {
    starts,
    main,
    release,
    options: {
      orchestrations: [main, child, grandchild],
      activities: [hang, flaky, elsewhere, pay],
      llm: mock().on("generate", `answer ${long}`),
    },
  };
}

/** Starts the program and lets it come to where nothing moves without help. */
async function underWay(env: TestEnvironment, { main, starts }: ReturnType<typeof busy>) {
  const run = await env.startOrchestration(main, long, { instanceId: "main", labels: { team: "blue" } });
  await env.until(async () => starts.length === 3 && (await env.client.stats()).work.delayed === 1);
  await env.until(async () => (await env.client.tree("main")).length === 3);
  await env.until(async () => (await env.client.instance("main:2:1:1:1").status()).waitingFor.length === 1);
  await run.raiseEvent("kept", { text: long }, { idempotencyKey: "once" });
  await env.until(async () => kinds(await run.history()).includes("EventReceived"));
  return run;
}

/** All that clients can see of a tree, apart from offsets. */
async function seen(env: TestEnvironment, rootId: string) {
  const { client } = env;
  return Promise.all(
    (await client.tree(rootId)).map(async (state) => {
      const handle = client.instance(state.instanceId);
      const executions = await client.executions(state.instanceId);
      const { waits } = await client.pendingWaits({ instanceId: state.instanceId });
      const capsule = (await client.export(rootId)).tree.instances.find((each) => each.instanceId === state.instanceId);
      return {
        state,
        executions,
        waits,
        waitingFor: (await handle.status()).waitingFor,
        histories: await Promise.all(executions.map(({ execution }) => handle.history(execution))),
        values: await handle.state(),
        stored: capsule,
      };
    }),
  );
}

const codecs: readonly (readonly [what: string, options: WorldOptions])[] = [
  ["plain", {}],
  ["sealed", { codec: aesGcm({ key: { id: "k", secret: new Uint8Array(32).fill(3) } }) }],
];

for (const [what, options] of codecs) {
  test(`a tree in the middle of everything goes on in another store (${what})`, async (t) => {
    const here = busy(t);
    const env = await environment(t, { ...here.options, ...options });
    const run = await underWay(env, here);
    const before = await seen(env, "main");

    const text = JSON.stringify(await env.client.export("main"));
    assert.deepEqual(await seen(env, "main"), before, "the export changed nothing");
    assert.equal(text.includes(long), what === "plain");

    const there = busy(t);
    there.release();
    const away = await environment(t, { ...there.options, ...options, clock: env.clock, storage: sqlite(":memory:") });
    await away.runtime.shutdown(); // to look at what came before anybody goes on with it
    const other = await away.client.import<unknown[]>(text);
    assert.deepEqual(await seen(away, "main"), before);

    await away.restart({ tags: ["gpu"] });
    await other.raiseEvent("kept", "again", { idempotencyKey: "once" });
    await other.raiseEvent("go", "went");
    const expected = [7 + long.length, "hung", "flaked", "rendered", "outcome_unknown", long.length, "went", "slept"];
    assert.deepEqual(await away.result(other), [...expected, { data: { text: long } }]);
    assert.deepEqual(there.starts.sort(), ["flaky main/2/8 attempt 2", "hang main/2/7 attempt 2"]);
    assert.deepEqual(
      (await all(other.outputs())).map(({ data }) => data),
      ["round 1", "round 2"],
    );
    assert.deepEqual(
      (await away.client.tree("main")).map(({ status }) => status),
      ["completed", "completed", "completed"],
    );

    here.release();
    await run.raiseEvent("go", "stayed");
    await env.restart({ tags: ["gpu"] });
    const [, , , , , , went] = (await env.result(run)) as unknown[];
    assert.equal(went, "stayed", "the original goes on by itself");
  });
}

test("a tree that has ended is carried with its outputs, its result and its errors", async (t) => {
  const work = activity("work", async () => "x".repeat(1_000));
  const good = orchestration("good", async (ctx) => {
    for (let i = 0; i < 300; i++) ctx.emit({ i, text: "z".repeat(i) });
    return ctx.activity(work);
  });
  const bad = orchestration("bad", async (ctx) => {
    await ctx.activity(work);
    throw new Error("no");
  });
  const options = { orchestrations: [good, bad], activities: [work] };
  const env = await environment(t, options);
  await env.result(await env.startOrchestration(good, undefined, { instanceId: "good" }));
  await env.result(await env.startOrchestration(bad, undefined, { instanceId: "bad" })).catch(() => undefined);
  const away = await environment(t, { ...options, storage: sqlite(":memory:") });

  const goodCopy = await away.client.import<string>(await env.client.export("good"));
  const badCopy = await away.client.import(await env.client.export("bad"));

  assert.equal(await goodCopy.result(), "x".repeat(1_000));
  await assert.rejects(badCopy.result(), fails("orchestration_failed", /bad \(instance bad\) failed: no/));
  const rows = await all(goodCopy.outputs());
  assert.deepEqual(
    rows.map(({ data }) => data),
    (await all(env.client.instance("good").outputs())).map(({ data }) => data),
  );
  assert.equal(rows.length, 300);
  await away.client.retry("bad");
  await assert.rejects(away.result(badCopy), fails("orchestration_failed"));
  assert.equal((await badCopy.status()).execution, 2);
});

test("somebody who waits for the result of an instance has it when the instance comes in a capsule", async (t) => {
  const one = orchestration("one", async () => 1);
  const env = await environment(t, { orchestrations: [one] });
  const run = await env.startOrchestration(one, undefined, { instanceId: "one" });
  await env.result(run);
  const capsule = await env.client.export("one");
  await env.client.delete("one");
  await assert.rejects(run.result(), fails("instance_not_found"));

  await env.client.import(capsule);

  assert.equal(await run.result(), 1);
});

test("an instance that has not begun, and one that is blocked, go on elsewhere", async (t) => {
  const work = activity("work", async () => 1);
  const steady = orchestration("o", async (ctx) => {
    await ctx.activity(work);
    return ctx.waitForEvent("go");
  });
  const changed = orchestration("o", async (ctx) => {
    await ctx.timer("1h");
    return ctx.waitForEvent("go");
  });
  const env = await environment(t, { orchestrations: [steady], activities: [work] });
  const run = await env.startOrchestration(steady, undefined, { instanceId: "blocked" });
  await env.settle();
  await env.restart({ orchestrations: [changed] });
  await run.raiseEvent("go", 7);
  await env.settle();
  assert.equal((await run.status()).status, "blocked");
  await env.startOrchestration("later", 5, { instanceId: "pending" });
  const later = orchestration("later", async (_ctx, n: number) => n);
  const away = await environment(t, {
    orchestrations: [steady, later],
    activities: [work],
    storage: sqlite(":memory:"),
  });

  const unblocked = await away.client.import(await env.client.export("blocked"));
  const begun = await away.client.import(await env.client.export("pending"));

  assert.equal(await away.result(unblocked), 7);
  assert.equal(await away.result(begun), 5);
});

test("an answer that waits in the inbox is carried, and its request is not asked again", async (t) => {
  const starts: string[] = [];
  const work = activity("work", { retry: { maxAttempts: 2, initialInterval: "1h", jitter: 0 } }, async (ctx) => {
    starts.push(`attempt ${ctx.attempt}`);
    if (ctx.attempt === 1) throw new Error("not yet");
    return "done";
  });
  const one = orchestration("one", async (ctx) => ctx.activity(work));
  const env = await environment(t, { orchestrations: [one], activities: [work] });
  await env.startOrchestration(one, undefined, { instanceId: "one" });
  await env.settle();
  await env.restart({ orchestrations: [] }); // a worker that runs the activity and not the orchestration
  await env.advance("1h");
  const capsule = await env.client.export("one");
  assert.deepEqual(
    capsule.tree.instances[0]?.messages.map(({ answers }) => answers),
    [{ execution: 1, eventId: 2 }],
  );
  const away = await environment(t, { orchestrations: [one], activities: [work], storage: sqlite(":memory:") });

  assert.equal(await away.result(await away.client.import(JSON.stringify(capsule))), "done");

  assert.deepEqual(starts, ["attempt 1", "attempt 2"]);
});

test("a model call that waits for its next attempt is carried with its place among others", async (t) => {
  const llm = mock().on("generate", new LlmError("unavailable", "overloaded"), "hello");
  const asking = orchestration("asking", async (ctx) => ctx.generate("say"));
  const env = await environment(t, { orchestrations: [asking], llm });
  await env.startOrchestration(asking, undefined, { instanceId: "asking" });
  await env.settle();
  const capsule = await env.client.export("asking");
  assert.ok(capsule.tree.instances[0]?.work.some(({ rank }) => rank !== undefined));
  const away = await environment(t, { orchestrations: [asking], llm, storage: sqlite(":memory:") });

  assert.equal(await away.result(await away.client.import(JSON.stringify(capsule))), "hello");
});

test("a capsule with sealed contents needs the codec that sealed them", async (t) => {
  const work = activity("work", async () => "secret");
  const one = orchestration("one", async (ctx) => {
    await ctx.activity(work);
    return ctx.waitForEvent("go");
  });
  const options = { orchestrations: [one], activities: [work] };
  const codec = aesGcm({ key: { id: "k", secret: new Uint8Array(32).fill(3) } });
  const env = await environment(t, { ...options, codec });
  await env.startOrchestration(one, undefined, { instanceId: "one" });
  await env.settle();
  const capsule = await env.client.export("one");
  assert.ok(!JSON.stringify(capsule).includes("secret"));
  const away = await environment(t, { ...options, storage: sqlite(":memory:") });

  const copy = await away.client.import(capsule);
  await away.settle();

  const { status, error } = await copy.status();
  assert.equal(status, "blocked");
  assert.equal(error?.code, "history_corrupt");
});

test("a fork is carried like any other, and can be forked where it is", async (t) => {
  const work = activity("work", async (_ctx, what: string) => what);
  const two = orchestration("two", async (ctx) => [
    ctx.instanceId,
    await ctx.activity(work, "a"),
    ctx.uuid().length,
    await ctx.activity(work, "b"),
    ctx.instanceId,
  ]);
  const options = { orchestrations: [two], activities: [work] };
  const env = await environment(t, options);
  await env.result(await env.startOrchestration(two, undefined, { instanceId: "origin" }));
  await env.runtime.shutdown();
  await env.client.fork("origin", { atEvent: 3, newInstanceId: "fork" });
  const capsule = await env.client.export("fork");
  const away = await environment(t, { ...options, storage: sqlite(":memory:") });

  const copy = await away.client.import(capsule);
  assert.deepEqual(await away.result(copy), ["origin", "a", 36, "b", "fork"]);
  const again = await away.client.fork("fork", { atEvent: 5, newInstanceId: "again" });
  assert.deepEqual(await away.result(again), ["origin", "a", 36, "b", "again"]);
  await env.restart();
});

// What is refused

test("export() refuses what is unknown, and names the root of what was started by another", async (t) => {
  const child = orchestration("child", async () => 1);
  const parent = orchestration("parent", async (ctx) =>
    ctx.subOrchestration(child, undefined, { instanceId: "child" }),
  );
  const env = await environment(t, { orchestrations: [parent, child] });
  await env.result(await env.startOrchestration(parent, undefined, { instanceId: "parent" }));

  await assert.rejects(env.client.export("nobody"), fails("instance_not_found"));
  await assert.rejects(env.client.export("child"), fails("configuration_invalid", /instance child .*: export parent$/));
});

test("import() refuses what is there, the root or a child, and changes nothing", async (t) => {
  const child = orchestration("child", async (ctx) => ctx.waitForEvent("go"));
  const parent = orchestration("parent", async (ctx) =>
    ctx.subOrchestration(child, undefined, { instanceId: "child" }),
  );
  const options = { orchestrations: [parent, child] };
  const env = await environment(t, options);
  await env.startOrchestration(parent, undefined, { instanceId: "parent" });
  await env.settle();
  const capsule = await env.client.export("parent");
  const away = await environment(t, { ...options, storage: sqlite(":memory:") });
  await away.startOrchestration(child, undefined, { instanceId: "child" });

  await assert.rejects(env.client.import(capsule), fails("instance_exists", /instance parent not to exist/));
  await assert.rejects(away.client.import(capsule), fails("instance_exists", /instance child not to exist/));

  assert.deepEqual(
    (await away.client.list()).instances.map(({ instanceId }) => instanceId),
    ["child"],
  );
});

/** A capsule with something else in it, and the digest that belongs to that. */
function altered(capsule: Capsule, change: (tree: Mutable<Capsule["tree"]>) => void): Capsule {
  const copy = structuredClone(capsule) as Mutable<Capsule>;
  change(copy.tree);
  const digest = createHash("sha256")
    .update(canonicalJson(copy.tree as Payload))
    .digest("base64url");
  return { ...(copy as Capsule), digest };
}

type Mutable<Value> = { -readonly [Member in keyof Value]: Mutable<Value[Member]> };
type Change = (root: Mutable<StoredInstance>, tree: Mutable<Capsule["tree"]>) => void;

const event = { id: 1, at: 1, kind: "OrchestrationStarted" };
const chunk = (...events: unknown[]) => ({ firstEventId: 1, lastEventId: events.length, body: JSON.stringify(events) });

const damages: readonly (readonly [path: RegExp, change: Change])[] = [
  [/\$\.tree\.instances of .*: Too small/, (_root, tree) => tree.instances.splice(0)],
  [/\$\.tree\.instances\[0\]\.name of/, (root) => void (root.name = 7 as never)],
  [/\$\.tree\.instances\[0\]\.name of .*to start with a letter/, (root) => void (root.name = "7")],
  [/\$\.tree\.instances\[0\]\.version of .*numbers with dots/, (root) => void (root.version = "new")],
  [/\$\.tree\.instances\[0\]\.instanceId of .*1 to 500/, (root) => void (root.instanceId = "")],
  [
    /\$\.tree\.instances\[1\]\.instanceId of .*used once, got "main"/,
    (_root, { instances }) => void (instances[1]!.instanceId = "main"),
  ],
  [/\$\.tree\.instances\[0\]\.parentId of .*absent at the root/, (root) => void (root.parentId = "x")],
  [
    /\$\.tree\.instances\[1\]\.parentId of .*an instance before it, got "x"/,
    (_root, { instances }) => void (instances[1]!.parentId = "x"),
  ],
  [/\$\.tree\.instances\[1\]\.parentId of .*got undefined/, (_root, { instances }) => delete instances[1]!.parentId],
  [/\$\.tree\.instances\[0\]\.status of/, (root) => void (root.status = "asleep" as never)],
  [
    /\$\.tree\.instances\[0\]\.status of .*one of an instance that has begun, got "pending"/,
    (root) => void (root.status = "pending"),
  ],
  [/\$\.tree\.instances\[0\]\.status of .*to be pending, got "running"/, (root) => void (root.execution = 3)],
  [
    /\$\.tree\.instances\[0\]\.(messages|timers|work|waits) of .*empty, as the instance has ended/,
    (root) => void (root.status = "completed"),
  ],
  [/\$\.tree\.instances\[0\]\.createdAt of/, (root) => void (root.createdAt = 1.5)],
  [/\$\.tree\.instances\[0\]\.labels\.team of/, (root) => void (root.labels["team"] = 7 as never)],
  [/\$\.tree\.instances\[0\] of .*Unrecognized key/, (root) => void Object.assign(root, { owner: 7 })],
  [
    /\$\.tree\.instances\[0\]\.executions\[1\]\.execution of .*from 2 to 2, got 1/,
    (root) => void (root.executions[1]!.execution = 1),
  ],
  [
    /\$\.tree\.instances\[0\]\.executions\[1\]\.execution of .*from 2 to 2, got 9/,
    (root) => void (root.executions[1]!.execution = 9),
  ],
  [
    /\$\.tree\.instances\[0\]\.executions\[0\]\.history of .*Too small/,
    (root) => void (root.executions[0]!.history = []),
  ],
  [/history\[0\]\.firstEventId of .*to be 1, got 2/, (root) => void (root.executions[0]!.history[0]!.firstEventId = 2)],
  [
    /history\[0\]\.body of .*the events 1 to 1/,
    (root) => void (root.executions[0]!.history = [{ ...chunk(event), body: "[{" }]),
  ],
  [
    /history\[0\]\.body of .*the events 1 to 1/,
    (root) => void (root.executions[0]!.history = [{ ...chunk(event), body: "{}" }]),
  ],
  [
    /history\[0\]\.body of .*the events 1 to 1/,
    (root) => void (root.executions[0]!.history = [chunk({ ...event, id: 2 })]),
  ],
  [
    /history\[0\]\.body of .*the events 1 to 9007199254740991/,
    (root) => void (root.executions[0]!.history = [{ ...chunk(event), lastEventId: Number.MAX_SAFE_INTEGER }]),
  ],
  [
    /history\[1\]\.firstEventId of .*to be 2, got 1/,
    (root) => void (root.executions[0]!.history = [chunk(event), chunk(event)]),
  ],
  [
    /history\[0\]\.body of .*to begin with OrchestrationStarted, got "TimerFired"/,
    (root) => void (root.executions[0]!.history = [chunk({ ...event, kind: "TimerFired" })]),
  ],
  [/\$\.tree\.instances\[0\]\.timers\[1\]\.eventId of .*used once/, (root) => void root.timers.push(root.timers[0]!)],
  [/\$\.tree\.instances\[0\]\.work\[\d\]\.eventId of .*used once/, (root) => void root.work.push(root.work[0]!)],
  [/\$\.tree\.instances\[0\]\.work\[0\]\.kind of/, (root) => void (root.work[0]!.kind = "x" as never)],
  [/\$\.tree\.instances\[0\]\.waits\[1\]\.eventId of .*used once/, (root) => void root.waits.push(root.waits[0]!)],
  [
    /\$\.tree\.instances\[0\]\.state\[1\]\.key of .*used once, got "text"/,
    (root) => void root.state.push(root.state[0]!),
  ],
  [
    /\$\.tree\.instances\[0\]\.messageKeys\[1\] of .*used once, got "once"/,
    (root) => void root.messageKeys.push("once"),
  ],
  [/\$\.tree\.payloads\[\d\]\.digest of .*used once/, (_root, { payloads }) => void payloads.push(payloads[0]!)],
  [/\$\.tree of .*Unrecognized key/, (_root, tree) => void Object.assign(tree, { more: 1 })],
];

test("a capsule that is damaged is refused with the path of what is wrong, and nothing is put in", async (t: TestContext) => {
  const world = busy(t);
  const env = await environment(t, world.options);
  await underWay(env, world);
  const capsule = await env.client.export("main");
  const text = JSON.stringify(capsule);
  const away = await environment(t, { ...busy(t).options, storage: sqlite(":memory:") });
  const refused = (given: unknown, message: RegExp) =>
    assert.rejects(away.client.import(given as Capsule), fails("input_invalid", message));

  for (const [message, change] of damages) {
    await refused(
      altered(capsule, (tree) => change(tree.instances[0]!, tree)),
      message,
    );
  }
  for (const cut of [0, 1, 100, Math.floor(text.length / 2), text.length - 1]) {
    await refused(
      text.slice(0, cut),
      new RegExp(`Expected the capsule to be a whole JSON text, got ${cut} characters`),
    );
  }
  for (const [given, found] of [
    [undefined, "undefined"],
    [null, "undefined"],
    [7, "undefined"],
    ["{}", "undefined"],
    [[], "undefined"],
    [{ format: "zip" }, '"zip"'],
  ] as const) {
    await refused(given, new RegExp(`Expected \\$\\.format of the capsule to be "stet-capsule", got ${found}`));
  }
  await refused(
    { ...capsule, version: 2 },
    /Expected \$\.version of the capsule to be 1 at most, got 2: a newer release/,
  );
  await refused({ ...capsule, version: "1" }, /\$\.version of the capsule/);
  await refused({ ...capsule, version: 0 }, /\$\.version of the capsule/);
  await refused({ ...capsule, exportedAt: "now" }, /\$\.exportedAt of the capsule/);
  await refused({ ...capsule, note: "x" }, /\$ of the capsule .*Unrecognized key/);
  await refused({ ...capsule, tree: undefined }, /\$\.tree of the capsule/);
  await refused({ ...capsule, digest: capsule.digest.slice(1) }, /\$\.digest of the capsule .*it was changed/);
  const tampered = text.replace("round 1", "round 7");
  assert.notEqual(tampered, text);
  await refused(tampered, /\$\.digest of the capsule to be .*the digest of its tree, got .*: it was changed/);

  assert.deepEqual((await away.client.list()).instances, []);
  const reordered = JSON.stringify(Object.fromEntries(Object.entries(capsule).reverse()), undefined, 2);
  assert.equal((await away.client.import(reordered)).instanceId, "main");
  world.release();
});
