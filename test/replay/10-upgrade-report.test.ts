/** What the upgrade report says of histories that fit, that nearly fit, and that do not. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  activity,
  aesGcm,
  type AnyOrchestration,
  type HistoryEvent,
  orchestration,
  type OrchestrationContext,
} from "@stet/core";
import { mock } from "@stet/mock";
import { historiesIn, historiesOf, type RecordedHistory, upgradeReport, type UpgradeReport } from "@stet/replay";
import { sqlite } from "@stet/sqlite";
import { answer, given, start, TestEnvironment, type TestMessage } from "@stet/testing";

type Code = (ctx: OrchestrationContext, input: never) => unknown;

const code = (run: Code, version = "1"): AnyOrchestration => orchestration("ship", { version }, run);

async function historyOf(before: Code, ...messages: readonly TestMessage[]): Promise<RecordedHistory> {
  let turn = await given(code(before)).when(start("T-1"));
  for (const message of messages) turn = await turn.when(message);
  return recorded(turn.history);
}

function recorded(events: readonly HistoryEvent[]): RecordedHistory {
  return { instanceId: "instance", rootId: "instance", execution: 1, events };
}

function reportOn(after: Code, ...histories: readonly RecordedHistory[]): Promise<UpgradeReport> {
  return upgradeReport({ orchestrations: [code(after)], histories });
}

const chargeAndMail: Code = async (ctx) => {
  await ctx.activity("charge", { amount: 5 });
  await ctx.activity("mail");
};

test("code that was not changed replays, open or ended", async () => {
  const ended = await historyOf(chargeAndMail, answer.activityCompleted(2), answer.activityCompleted(4));

  const report = await reportOn(chargeAndMail, await historyOf(chargeAndMail), ended);

  assert.deepEqual(report, {
    ok: true,
    summary: [
      { orchestration: "ship", version: "1", identical: 2, drifted: 0, diverged: 0, missing: 0, unreadable: 0 },
    ],
    findings: [],
    histories: [true, false].map((isOpen) => ({
      instanceId: "instance",
      execution: 1,
      orchestration: "ship",
      version: "1",
      isOpen,
      verdict: "identical",
    })),
  });
});

test("a divergence names the event, what was recorded, what is asked, and the line that asks", async () => {
  const history = await historyOf(chargeAndMail, answer.activityCompleted(2));
  const today: Code = async (ctx) => {
    await ctx.activity("charge", { amount: 5 });
    await ctx.activity("letter"); // line A
  };

  const report = await reportOn(today, history, history);

  assert.equal(report.ok, false);
  const [finding, ...others] = report.findings;
  assert.deepEqual(others, []);
  assert.ok(finding?.finding === "diverged");
  const { message, at, ...divergence } = finding.divergence;
  assert.deepEqual(divergence, {
    eventId: 4,
    expected: "ActivityScheduled(name mail)",
    actual: "ActivityScheduled(name letter)",
    why: "name differs",
  });
  assert.deepEqual(at, { file: "test/replay/10-upgrade-report.test.ts", line: lineOf("line A"), column: 15 });
  assert.match(message, /^Expected orchestration ship version 1 \(instance instance, execution 1\) to replay event 4/);
  assert.deepEqual([finding.count, finding.open, finding.instances], [2, 2, ["instance", "instance"]]);
  assert.equal(report.histories.filter(({ verdict }) => verdict === "diverged").length, 2);
});

test("a call that is gone is placed after the last one that is left", async () => {
  const history = await historyOf(chargeAndMail, answer.activityCompleted(2));
  const today: Code = async (ctx) => {
    await ctx.activity("charge", { amount: 5 }); // line B
  };

  const { findings } = await reportOn(today, history);

  assert.ok(findings[0]?.finding === "diverged");
  const { eventId, expected, why, at, after } = findings[0].divergence;
  assert.deepEqual(
    [eventId, expected, at, after?.line],
    [4, "ActivityScheduled(name mail)", undefined, lineOf("line B")],
  );
  assert.equal(why, "the code ends earlier than was recorded");
});

test("an error of today's code is placed where it is thrown", async () => {
  const history = await historyOf(chargeAndMail, answer.activityCompleted(2), answer.activityCompleted(4));
  const today: Code = async (ctx) => {
    await ctx.activity("charge", { amount: 5 });
    await ctx.activity("mail");
    throw new Error("no stamps"); // line C
  };

  const { findings } = await reportOn(today, history);

  assert.ok(findings[0]?.finding === "diverged");
  assert.equal(findings[0].divergence.at?.line, lineOf("line C"));
  assert.match(findings[0].divergence.actual, /^OrchestrationFailed\(error .*no stamps/);
});

test("what no replay can follow is placed where it is done", async () => {
  const history = await historyOf(chargeAndMail);
  const today: Code = async (ctx) => {
    setTimeout(() => {}, 5); // line D
    await ctx.activity("charge", { amount: 5 });
  };

  const { findings } = await reportOn(today, history);

  assert.ok(findings[0]?.finding === "diverged");
  const { expected, at, actual, why } = findings[0].divergence;
  assert.deepEqual([expected, at?.line, why], [undefined, lineOf("line D"), "the code does what no replay can follow"]);
  assert.match(actual, /use ctx\.timer/);
});

const asking =
  (question: string): Code =>
  (ctx) =>
    ctx.ifTrue(question, { label: "entitled" }); // line E

test("changed prompts are shown line by line, and fail only when asked to", async () => {
  const histories = [await historyOf(asking("Is it so?\nThe ticket is T-1."), answer.said(2, "yes"))];
  const orchestrations = [code(asking("Is it really so?\nThe ticket is T-1."))];

  const report = await upgradeReport({ orchestrations, histories });
  const strict = await upgradeReport({ orchestrations, histories, promptDrift: "error" });

  assert.deepEqual([report.ok, strict.ok], [true, false]);
  assert.equal(report.summary[0]?.drifted, 1);
  assert.ok(report.findings[0]?.finding === "drifted");
  const { diff, at, ...prompt } = report.findings[0].prompt;
  assert.deepEqual(prompt, { eventId: 2, operation: "ifTrue", label: "entitled" });
  assert.equal(at?.line, lineOf("line E"));
  assert.match(diff ?? "", /^--- recorded\n\+\+\+ today\n@@ .* @@\n/);
  assert.match(diff ?? "", /\n-Is it so\?\n\+Is it really so\?\n The ticket is T-1\.\n/);
});

test("what is kept out of histories is not told of today's prompts either", async () => {
  const { events } = await historyOf(asking("Is Ada entitled?"), answer.said(2, "yes"));
  const redacted = (events as HistoryEvent[]).map((event) =>
    event.kind === "LlmRequested" ? { ...event, request: { ...event.request, messages: [] } } : event,
  );

  const report = await reportOn(asking("Is Bob entitled?"), recorded(redacted));

  assert.deepEqual(
    report.histories.map(({ verdict }) => verdict),
    ["drifted"],
  );
  assert.doesNotMatch(JSON.stringify(report), /Bob/);
});

test("an open history without its code fails, an ended one does not", async () => {
  const open = await historyOf(chargeAndMail);
  const ended = await historyOf(chargeAndMail, answer.activityCompleted(2), answer.activityCompleted(4));
  const orchestrations = [code(chargeAndMail, "2")];

  const neededStill = await upgradeReport({ orchestrations, histories: [open] });
  const neededNoMore = await upgradeReport({ orchestrations, histories: [ended] });

  assert.deepEqual([neededStill.ok, neededNoMore.ok], [false, true]);
  assert.deepEqual(neededStill.findings, [
    { orchestration: "ship", version: "1", count: 1, open: 1, instances: ["instance"], finding: "missing" },
  ]);
});

test("a damaged history is unreadable, and the others are replayed", async () => {
  const history = await historyOf(chargeAndMail, answer.activityCompleted(2));
  const torn = recorded((history.events as HistoryEvent[]).filter(({ id }) => id !== 2));

  const report = await reportOn(chargeAndMail, torn, recorded([]), history);

  assert.deepEqual(
    report.histories.map(({ verdict }) => verdict),
    ["unreadable", "unreadable", "identical"],
  );
  assert.equal(report.ok, false);
});

test("ids, chance and the start of a fork come out as they did", async () => {
  const drawing: Code = async (ctx) => {
    const id = ctx.uuid();
    await ctx.subOrchestration("child", { id, chance: Math.random(), at: Date.now() });
    return crypto.randomUUID();
  };
  const turn = await given(code(drawing), [], { instanceId: "T-9", execution: 3 }).when(start());
  const done = await turn.when(answer.childCompleted(2));

  const report = await reportOn(drawing, { instanceId: "T-9", rootId: "T-9", execution: 3, events: done.history });

  assert.equal(report.summary[0]?.identical, 1, JSON.stringify(report.findings));
});

test("a store is read, page by page, in all executions, and left as it was", async (t) => {
  const llm = mock().otherwise("fine");
  const counting = orchestration("counting", async (ctx, n: number): Promise<number> => {
    await ctx.activity("note", n);
    await ctx.generate("How is it?");
    return n === 0 ? 0 : ctx.continueAsNew(n - 1);
  });
  let notes = 0;
  const note = activity("note", async () => void notes++);
  const options = { storage: sqlite(":memory:"), llm, orchestrations: [counting], activities: [note] };
  const env = await TestEnvironment.start(options);
  t.after(() => env.close());
  const handles = await Promise.all([2, 0, 1].map((n) => env.startOrchestration(counting, n, { instanceId: `c${n}` })));
  for (const handle of handles) await env.result(handle);
  const fork = await env.client.fork("c0", { atEvent: 3, newInstanceId: "fork" });
  await env.result(fork);
  const before = await Promise.all(["c0", "c1", "c2", "fork"].map((id) => env.client.export(id)));
  const [calls, noted] = [llm.calls.length, notes];

  const report = await upgradeReport({ orchestrations: [counting], histories: historiesOf(env.client, { limit: 2 }) });
  const one = await upgradeReport({ orchestrations: [counting], histories: historiesOf(env.client, "c1") });

  assert.deepEqual(
    report.histories.map(({ instanceId, execution, verdict }) => `${instanceId}/${execution} ${verdict}`).sort(),
    ["c0/1", "c1/1", "c1/2", "c2/1", "c2/2", "c2/3", "fork/1"].map((id) => `${id} identical`),
  );
  assert.equal(one.histories.length, 2);
  await assert.rejects(upgradeReport({ orchestrations: [], histories: historiesOf(env.client, "nobody") }), {
    code: "instance_not_found",
  });
  assert.deepEqual([llm.calls.length, notes], [calls, noted]);
  const after = await Promise.all(["c0", "c1", "c2", "fork"].map((id) => env.client.export(id)));
  assert.deepEqual(
    after.map(({ digest }) => digest),
    before.map(({ digest }) => digest),
  );
});

test("a capsule, a history, and a list of histories are read from files", async (t) => {
  const codec = aesGcm({ key: { id: "k1", secret: Buffer.alloc(32, 7) } });
  const long = orchestration("ship", (ctx) => ctx.activity("mail", "dear ".repeat(400)));
  const env = await TestEnvironment.start({ storage: sqlite(":memory:"), codec, orchestrations: [long] });
  t.after(() => env.close());
  const handle = await env.startOrchestration(long, undefined, { instanceId: "sealed" });
  await env.settle();
  const capsule = JSON.parse(JSON.stringify(await env.client.export("sealed"))) as unknown;
  const events = await handle.history();

  const opened = await upgradeReport({ orchestrations: [long], histories: await historiesIn(capsule, { codec }) });
  const closed = await upgradeReport({ orchestrations: [long], histories: await historiesIn(capsule) });
  const plain = await historiesIn(events, { name: "plain" });
  const list = await historiesIn([{ instanceId: "sealed", rootId: "sealed", execution: 1, events }]);

  assert.equal(opened.summary[0]?.identical, 1, JSON.stringify(opened));
  assert.equal(closed.histories[0]?.verdict, "unreadable");
  assert.match(JSON.stringify(closed.findings), /give runtimes and clients the codec/);
  assert.deepEqual(
    [...plain, ...list].map(({ instanceId }) => instanceId),
    ["plain", "sealed"],
  );
  for (const wrong of [null, 7, {}, [], [7], [{ events: [] }]]) {
    await assert.rejects(historiesIn(wrong, { name: "x.json" }), { code: "input_invalid" }, JSON.stringify(wrong));
  }
});

test("progress is told in histories and events, batch by batch", async () => {
  const history = await historyOf(chargeAndMail);
  const told: unknown[] = [];

  await upgradeReport({
    orchestrations: [code(chargeAndMail)],
    histories: Array.from({ length: 450 }, () => history),
    onProgress: (progress) => told.push(progress),
  });

  assert.deepEqual(told, [
    { histories: 200, events: 400 },
    { histories: 400, events: 800 },
    { histories: 450, events: 900 },
  ]);
});

function lineOf(mark: string): number {
  const lines = readFileSync(new URL(import.meta.url), "utf8").split("\n");
  return lines.findIndex((line) => line.endsWith(`// ${mark}`)) + 1;
}
