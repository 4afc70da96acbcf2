/** Which branches histories have taken, as the flow graph and the paths of histories through it say. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import type { AnyOrchestration, HistoryEvent, Payload } from "@stet/core";
import { FlowCoverage, readFlowGraphs } from "@stet/diagram";
import { answer, given, start, type TestMessage } from "@stet/testing";
import { makeProject } from "./project.ts";

const source = `import { orchestration } from "@stet/core";
export const ship = orchestration("ship", async (ctx, order: { express: boolean; parts: string[] }) => {
  if (order.express) await ctx.activity("courier");
  else await ctx.activity("post");
  for (const part of order.parts) await ctx.activity("pack", part);
  try {
    await ctx.activity("charge");
  } catch {
    await ctx.activity("refund");
    if (order.parts.length > 5) throw new Error("too many");
  }
});
`;

test("a branch is taken when a history went that way, and counted once for each", async (t) => {
  const { coverage, run } = await makeShip(t);
  const all = [
    "3 order.express: yes",
    "3 order.express: no",
    "5 for each part of order.parts: next",
    "5 for each part of order.parts: done",
    "7 charge: failure",
    "7 charge: next",
    "10 order.parts.length > 5: yes",
    "10 order.parts.length > 5: no",
  ];
  assert.deepEqual(untaken(coverage), all);

  coverage.add(await run({ express: true, parts: ["a", "b"] }, ["courier", "pack", "pack", "charge"]));
  assert.deepEqual(untaken(coverage), [all[1], all[4], all[6], all[7]]);

  coverage.add(await run({ express: false, parts: [] }, ["post", "-charge", "refund"]));
  assert.deepEqual(untaken(coverage), [all[6]]);

  const parts = ["1", "2", "3", "4", "5", "6"];
  coverage.add(await run({ express: false, parts }, ["post", ...parts.map(() => "pack"), "-charge", "refund"]));
  assert.deepEqual(untaken(coverage), []);
  assert.deepEqual(
    coverage.branches.map(({ taken }) => taken),
    [1, 2, 2, 3, 2, 1, 1, 1],
  );
  assert.deepEqual([coverage.followed, coverage.strayed], [3, 0]);
});

test("a history of other code is counted apart and takes no branch", async (t) => {
  const { coverage } = await makeShip(t);
  const before = untaken(coverage);

  coverage.add([
    { id: 1, at: 0, kind: "OrchestrationStarted", schemaVersion: 1, name: "ship", version: "1" },
    { id: 2, at: 0, kind: "ActivityScheduled", name: "donkey" },
  ]);

  assert.deepEqual([coverage.followed, coverage.strayed], [0, 1]);
  assert.deepEqual(untaken(coverage), before);
});

interface Ship {
  readonly coverage: FlowCoverage;
  /** Its history when these activities complete, or with a minus fail. */
  readonly run: (input: Payload, outcomes: readonly string[]) => Promise<readonly HistoryEvent[]>;
}

async function makeShip(t: TestContext): Promise<Ship> {
  const folder = await makeProject(t, { "ship.ts": source });
  const [graph] = readFlowGraphs({ files: ["ship.ts"], folder });
  assert.ok(graph);
  const { ship } = (await import(pathToFileURL(join(folder, "ship.ts")).href)) as { ship: AnyOrchestration };
  return {
    coverage: new FlowCoverage(graph),
    async run(input, outcomes) {
      let turn = await given(ship).when(start(input));
      for (const outcome of outcomes) {
        const asked = turn.history.findLast(({ kind }) => kind === "ActivityScheduled");
        assert.ok(
          asked?.kind === "ActivityScheduled" && asked.name === outcome.replace("-", ""),
          JSON.stringify(asked),
        );
        const failed = outcome.startsWith("-");
        const message: TestMessage = failed
          ? answer.activityFailed(asked.id, "no")
          : answer.activityCompleted(asked.id);
        turn = await turn.when(message);
      }
      assert.notEqual(turn.status, "waiting");
      return turn.history;
    },
  };
}

/** `line from: way` of the branches that none has taken. */
function untaken({ branches }: FlowCoverage): string[] {
  return branches
    .filter(({ taken }) => taken === 0)
    .map(({ from, edge }) => `${from.at.line} ${from.label}: ${edge.label ?? edge.kind}`);
}
