/**
 * The edits that the report proposes, tried out: code is changed, the proposal is written into it, and what was recorded
 * before replays again.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import type { AnyOrchestration, HistoryEvent } from "@stet/core";
import { type Patch, upgradeReport, type UpgradeReport } from "@stet/replay";
import { answer, event, given, start, type TestMessage } from "@stet/testing";

interface ChangedCode {
  readonly what: string;
  readonly before: string;
  readonly after: string;
  /** What comes while the code of before runs. */
  readonly messages?: readonly TestMessage[];
  readonly by: string;
  readonly note?: true;
}

const done = (...ids: readonly number[]) => ids.map((id) => answer.activityCompleted(id, "ok"));
const charge = `await ctx.activity("charge", order);`;
const mail = `await ctx.activity("mail", order);`;

const changes: readonly ChangedCode[] = [
  {
    what: "a call is added before others",
    before: `${charge} ${mail}`,
    after: `${charge}\nawait ctx.activity("audit", order);\n${mail}`,
    messages: done(2, 4),
    by: `if (ctx.patched("add-audit")) `,
  },
  {
    what: "two calls are added in a row, and the first is proposed first",
    before: `${charge} ${mail}`,
    after: `${charge}\nawait ctx.activity("audit");\nctx.setStatus("audited");\n${mail}`,
    messages: done(2, 4),
    by: `if (ctx.patched("add-audit")) `,
  },
  {
    what: "a call is added at the end",
    before: charge,
    after: `${charge}\nconst copy = await ctx.activity("archive", order);\nreturn copy;`,
    messages: done(2),
    by: `(ctx.patched("add-archive") ? ctx.activity("archive", order) : undefined)`,
  },
  {
    what: "a call is added to others that run beside it",
    before: `await Promise.all([ctx.activity("a"), ctx.activity("c")]);`,
    after: `await Promise.all([ctx.activity("a"), ctx.activity("b"), ctx.activity("c")]);`,
    messages: done(3, 2),
    by: `(ctx.patched("add-b") ? ctx.activity("b") : undefined)`,
  },
  {
    what: "a status is set",
    before: charge,
    after: `ctx.setStatus({ step: 1 });\n${charge}`,
    by: `if (ctx.patched("add-status")) `,
  },
  {
    what: "a call is replaced by another with the same input",
    before: `${charge} ${mail}`,
    after: `${charge}\nawait ctx.activity("letter", order);`,
    messages: done(2, 4),
    by: `(ctx.patched("mail-to-letter") ? ctx.activity("letter", order) : ctx.activity("mail", order))`,
  },
  {
    what: "a wait is replaced by a timer",
    before: `await ctx.waitForEvent("go", { timeout: "1h" });`,
    after: `await ctx.timer("1h");`,
    messages: [event("go")],
    by: `(ctx.patched("go-to-timer") ? ctx.timer("1h") : ctx.waitForEvent("go", { timeout: 3600000 }))`,
  },
  {
    what: "an input is another one",
    before: `await ctx.activity("charge", { order, cents: 5 });`,
    after: `await ctx.activity("charge", { order, cents: 7 });`,
    messages: done(2),
    by: `ctx.patched("charge-input") ? { order, cents: 7 } : {"order":"T-1","cents":5}`,
    note: true,
  },
  {
    what: "a call is removed between others",
    before: `${charge} await ctx.activity("check"); ${mail}`,
    after: `${charge}\n${mail}`,
    messages: done(2, 4, 6),
    by: `if (!ctx.patched("drop-check")) await ctx.activity("check");\n  `,
  },
  {
    what: "the last call is removed",
    before: `${charge} ctx.emit("charged"); await ctx.timer(500);`,
    after: `${charge}\nctx.emit("charged");`,
    messages: [...done(2), { kind: "TimerFired", source: 5, execution: 1 }],
    by: `\n  if (!ctx.patched("drop-timer")) await ctx.timer(500);`,
  },
  {
    what: "a mark is removed too early",
    before: `if (ctx.patched("v2")) ${charge}`,
    after: charge,
    messages: done(3),
    by: `ctx.patched("v2");\n  `,
  },
  {
    what: "the context has another name",
    before: charge,
    after: `const durable = ctx;\nawait durable.activity("audit", order);\n${charge}`,
    messages: done(2),
    by: `if (durable.patched("add-audit")) `,
  },
];

for (const [i, change] of changes.entries()) {
  test(`${change.what}: what is proposed makes the history replay`, async (t) => {
    const project = await makeProject(t);
    const before = await project.codeOf(`before${i}`, change.before);
    const events = await historyOf(before, change.messages ?? []);

    let source = change.after;
    const proposed: Patch[] = [];
    let report = await reportOn(await project.codeOf(`after${i}`, source), events);
    while (!report.ok && proposed.length < 2) {
      const patch = patchOf(report);
      proposed.push(patch);
      source = project.patched(source, patch);
      report = await reportOn(await project.codeOf(`patched${i}x${proposed.length}`, source), events);
    }

    assert.equal(proposed[0]?.by, change.by);
    assert.equal(proposed[0].note !== undefined, change.note === true);
    assert.ok(report.ok, `${source}\n\n${JSON.stringify(report.findings, null, 2)}`);
    assert.match(JSON.stringify(events), /OrchestrationStarted/);
  });
}

test("what cannot be proposed is not guessed: the version can be kept all the same", async (t) => {
  const project = await makeProject(t);
  const events = await historyOf(await project.codeOf("before", `return ctx.classify(order, ["a", "b"]);`), []);

  const report = await reportOn(await project.codeOf("after", `return ctx.activity("sort", order);`), events);

  assert.ok(report.findings[0]?.finding === "diverged");
  assert.deepEqual(report.findings[0].advice, {
    pin: 'Keep the code of before registered as orchestration("ship", { version: "1" }, ...), and give today\'s code version "2"',
  });
});

function patchOf({ findings }: UpgradeReport): Patch {
  const [finding] = findings;
  assert.ok(finding?.finding === "diverged");
  assert.ok(finding.advice.patch, JSON.stringify(finding.divergence));
  return finding.advice.patch;
}

async function historyOf(code: AnyOrchestration, messages: readonly TestMessage[]): Promise<readonly HistoryEvent[]> {
  let turn = await given(code).when(start("T-1"));
  for (const message of messages) turn = await turn.when(message);
  return turn.history;
}

function reportOn(code: AnyOrchestration, events: readonly HistoryEvent[]): Promise<UpgradeReport> {
  const histories = [{ instanceId: "instance", rootId: "instance", execution: 1, events }];
  return upgradeReport({ orchestrations: [code], histories });
}

interface Project {
  /** The orchestration with this body, in a file of its own. */
  codeOf(name: string, body: string): Promise<AnyOrchestration>;
  /** The body with the edit in it. */
  patched(body: string, patch: Patch): string;
}

const head = [
  `import { orchestration, type OrchestrationContext } from "@stet/core";`,
  `export const ship = orchestration("ship", async (ctx: OrchestrationContext, order: string) => {`,
];

async function makeProject(t: TestContext): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), "stet-patches-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const core = import.meta.resolve("@stet/core");
  const sourceOf = (body: string) => [...head, ...indented(body), "});", ""].join("\n");
  return {
    async codeOf(name, body) {
      const file = join(folder, `${name}.ts`);
      await writeFile(file, sourceOf(body).replace(`"@stet/core"`, JSON.stringify(core)));
      return ((await import(pathToFileURL(file).href)) as { ship: AnyOrchestration }).ship;
    },
    patched(body, { at, replace, by }) {
      const lines = sourceOf(body).split("\n");
      const offset = lines.slice(0, at.line - 1).join("\n").length + at.column; // the line break before it counts
      const source = lines.join("\n");
      assert.ok(source.startsWith(replace, offset), `Expected ${replace} at ${JSON.stringify(at)} of ${source}`);
      const edited = source.slice(0, offset) + by + source.slice(offset + replace.length);
      return edited
        .split("\n")
        .slice(head.length, -2)
        .map((line) => line.replace(/^ {2}/, ""))
        .join("\n");
    },
  };
}

function indented(body: string): string[] {
  return body.split("\n").map((line) => `  ${line}`);
}
