/** The commands about instances, on sqlite and postgres, beside a runtime that runs them. */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type ClientStats, type HistoryEvent, type InstanceState, Runtime, activity, orchestration } from "@stet/core";
import { exitCodes } from "stet";
import { newFolder } from "../runtime/world.ts";
import { kindsOfStores, type Store } from "./stores.ts";
import { json, type Printed, type } from "./terminal.ts";

const fetchTicket = activity("fetchTicket", async (_ctx, id: string) => ({ id, text: "It arrived broken." }));

const handleTicket = orchestration("handleTicket", async (ctx, id: string) => {
  const ticket = await ctx.activity(fetchTicket, id);
  ctx.emit(`looked up ${ticket.id}`);
  ctx.setStatus("waiting for approval");
  const { approved } = await ctx.waitForEvent<{ approved: boolean }>("approval", { details: ticket });
  return approved ? "refunded" : "refused";
});

const fail = orchestration("fail", async (ctx) => {
  await ctx.timer(1);
  throw new Error("no such order");
});

const forgetful = orchestration("forgetful", async (ctx) => {
  await new Promise(() => ctx.now());
});

const demanding = orchestration("demanding", async (ctx) => {
  await Promise.all([ctx.activity("unheardOf"), ctx.activity(fetchTicket, "T-2", { tag: "gpu" })]);
});

const curious = orchestration("curious", async (ctx) => ctx.generate("Why?"));

for (const [kind, makeStore] of Object.entries(kindsOfStores)) {
  test(`${kind}: an instance from its start to its end`, async (t) => {
    const { stet } = await world(t, makeStore());
    await stet("start", "handleTicket", "-i", '"T-1"', "--id", "t-1", "--label", "team=returns");
    await until(stet, "t-1", ({ customStatus }) => customStatus === "waiting for approval");

    const shown = await stet("show", "t-1");
    const raised = await stet("raise", "t-1", "approval", '{"approved":true}', "--key", "click-1");
    const watched = await stet("watch", "t-1");
    const history = json<HistoryEvent[]>(await stet("history", "t-1", "--json"));
    const outputs = await stet("outputs", "t-1");
    const late = await stet("raise", "t-1", "approval", "{}");

    assert.match(shown.stdout, /^t-1 {2}handleTicket@1 {2}running$/m);
    assert.match(shown.stdout, /labels +team=returns/);
    assert.match(shown.stdout, /activity fetchTicket +done in/);
    assert.match(shown.stdout, /event approval +open/);
    assert.match(shown.stdout, /waits for\n +event approval, .*"text":"It arrived broken\."/);
    assert.equal(raised.code, exitCodes.ok);
    assert.equal(watched.code, exitCodes.ok);
    assert.match(watched.stdout, /event approval {2}done in .*→ \{"approved":true\}/);
    assert.match(watched.stdout, /completed after .*: refunded\n$/);
    assert.deepEqual(
      history.map(({ id }) => id),
      history.map((_, at) => at + 1),
    );
    assert.equal(history.at(-1)?.kind, "OrchestrationCompleted");
    assert.equal(outputs.stdout, "looked up T-1\n");
    assert.equal(late.code, exitCodes.instance);
  });

  test(`${kind}: start --watch ends as the instance does, and what failed can be tried again`, async (t) => {
    const { stet } = await world(t, makeStore());

    const watched = await stet("start", "fail", "--id", "f-1", "--watch");
    const shown = await stet("show", "f-1");
    const retried = await stet("retry", "f-1");

    assert.equal(watched.code, exitCodes.bad);
    assert.match(watched.stdout, /^f-1\n[^]*failed after .*no such order\n$/);
    assert.match(shown.stdout, /error\n +.*no such order\n +fix: stet retry f-1/);
    assert.equal(retried.code, exitCodes.ok);
    const again = await stet("watch", "f-1", "--json");
    const last = JSON.parse(again.stdout.trimEnd().split("\n").at(-1) ?? "") as { atRest: InstanceState };
    assert.deepEqual([last.atRest.status, last.atRest.execution], ["failed", 2]);
  });

  test(`${kind}: Ctrl-C ends the watching, and not the instance`, async (t) => {
    const store = makeStore();
    const { stet } = await world(t, store);
    await stet("start", "handleTicket", "-i", '"T-1"', "--id", "w-1");
    const interruption = new AbortController();
    const onPrint = (text: string) => text.includes("event approval") && interruption.abort();

    const watched = await type(["watch", "w-1", "-s", store.address], { signal: interruption.signal, onPrint });

    assert.equal(watched.code, exitCodes.interrupted);
    assert.match((await stet("list")).stdout, /w-1 .* running /);
  });

  test(`${kind}: what is cancelled and terminated ends so`, async (t) => {
    const { stet } = await world(t, makeStore());
    for (const id of ["c-1", "c-2"]) await stet("start", "handleTicket", "-i", '"T-1"', "--id", id);

    await stet("cancel", "c-1", "--reason", "no longer needed");
    await stet("terminate", "c-2");

    assert.equal((await stet("watch", "c-1")).code, exitCodes.bad);
    assert.match((await stet("show", "c-1")).stdout, /cancelled[^]*no longer needed/);
    assert.equal((await stet("watch", "c-2")).code, exitCodes.bad);
    assert.match((await stet("list", "--status", "terminated")).stdout, /^c-2 /m);
  });

  test(`${kind}: a blocked instance says why, and what to do`, async (t) => {
    const { stet } = await world(t, makeStore());

    const watched = await stet("start", "forgetful", "--id", "b-1", "--watch");
    const shown = await stet("show", "b-1");
    const resumed = await stet("resume", "b-1");

    assert.equal(watched.code, exitCodes.bad);
    assert.match(shown.stdout, /blocked\n +Expected orchestration forgetful .*\n +fix: .*stet resume b-1/);
    assert.equal(resumed.stdout, "b-1 will be tried again\n");
  });

  test(`${kind}: an instance goes to another store as a file, and on from an event as a fork`, async (t) => {
    const { stet, cwd } = await world(t, makeStore());
    await stet("start", "handleTicket", "-i", '"T-1"', "--id", "e-1");
    await stet("raise", "e-1", "approval", '{"approved":false}');
    await stet("watch", "e-1");

    await stet("export", "e-1", "-o", "e-1.json");
    const elsewhere = (...argv: string[]) => type([...argv, "-s", "sqlite:other.db"], { cwd });
    const imported = await elsewhere("import", "e-1.json");
    const twice = await elsewhere("import", "e-1.json");
    const forked = await stet("fork", "e-1", "--at", "3", "--id", "e-2");

    assert.equal(imported.stdout, "e-1\n");
    assert.equal(twice.code, exitCodes.instance);
    assert.match((await elsewhere("show", "e-1")).stdout, /completed[^]*refused/);
    assert.equal(forked.stdout, "e-2\n");
    await until(stet, "e-2", ({ customStatus }) => customStatus === "waiting for approval");
    assert.match((await stet("show", "e-2")).stdout, /started as a fork of e-1/);
  });

  test(`${kind}: what is deleted and pruned is gone, what runs stays`, async (t) => {
    const { stet } = await world(t, makeStore());
    await stet("start", "handleTicket", "-i", '"T-1"', "--id", "d-1");
    for (const id of ["d-2", "d-3"]) await stet("start", "fail", "--id", id, "--watch");

    const running = await stet("delete", "d-1");
    const deleted = await stet("delete", "d-2");
    const kept = await stet("prune", "--older-than", "1h");
    const pruned = await stet("prune", "--older-than", "0s", "--json");
    const nothing = await stet("prune");

    assert.equal(running.code, exitCodes.instance);
    assert.equal(deleted.stdout, "deleted d-2\n");
    assert.match(kept.stdout, /removed 0 instances/);
    assert.deepEqual(json(pruned), { trees: 1, executions: 0 });
    assert.equal(nothing.code, exitCodes.usage);
    assert.deepEqual(
      json<{ instances: InstanceState[] }>(await stet("list", "--json")).instances.map(({ instanceId }) => instanceId),
      ["d-1"],
    );
  });

  test(`${kind}: stats count, and name the handlers that no worker has`, async (t) => {
    const { stet } = await world(t, makeStore());
    await stet("start", "fail", "--id", "s-1", "--watch");
    await stet("start", "nobodyKnowsMe", "--id", "s-2");
    await stet("start", "handleTicket", "--id", "s-3", "-i", '"T-17"');
    await until(stet, "s-3", ({ customStatus }) => customStatus === "waiting for approval");

    await stet("start", "demanding", "--id", "s-4");
    await stet("start", "curious", "--id", "s-5");
    while (json<ClientStats>(await stet("stats", "--json")).work.ready < 3);

    const shown = await stet("stats");
    const examined = await stet("doctor");
    const stats = json<ClientStats>(await stet("stats", "--json"));

    assert.match(shown.stdout, /instances +1 pending, 3 running, 1 failed/);
    assert.match(
      shown.stdout,
      /worker-\d+ on .*, process \d+, for .*: \d+ % busy, owns 3 instances and 0 pieces of work\n/,
    );
    assert.match(shown.stdout, /missing +orchestrations that no worker has: nobodyKnowsMe\nmissing/);
    assert.match(shown.stdout, /missing +activities that no worker has: unheardOf\n/);
    assert.match(shown.stdout, /missing +tags that no worker has: gpu \(of fetchTicket\)\n/);
    assert.match(shown.stdout, /missing +an llm: 1 model call and no worker has one\n +fix: start a worker/);
    assert.match(examined.stdout, /handlers +instances wait for orchestrations .*; for tags .*; for an llm/);
    assert.deepEqual(
      stats.workers.map(({ instances, work }) => [instances, work]),
      [[3, 0]],
    );
    assert.deepEqual(stats.missingHandlers.orchestrations, ["nobodyKnowsMe"]);
  });
}

type Stet = (...argv: string[]) => Promise<Printed>;

/** A runtime on a store, and the command line for the same store. */
async function world(t: TestContext, { address, open }: Store): Promise<{ stet: Stet; cwd: string }> {
  const cwd = newFolder();
  const silent = () => undefined;
  const runtime = await Runtime.start({
    storage: open(),
    orchestrations: [handleTicket, fail, forgetful, demanding, curious],
    activities: [fetchTicket],
    logger: { debug: silent, info: silent, warn: silent, error: silent },
  });
  t.after(() => runtime.shutdown());
  return { cwd, stet: (...argv) => type([...argv, "--storage", address], { cwd }) };
}

/** Looks at an instance until it stands as wanted. The time limit of the test bounds it. */
async function until(stet: Stet, id: string, stands: (state: InstanceState) => boolean): Promise<void> {
  for (;;) {
    const { instance } = json<{ instance: InstanceState }>(await stet("show", id, "--json"));
    if (stands(instance)) return;
  }
}
