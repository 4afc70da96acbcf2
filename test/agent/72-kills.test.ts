/** An agent in a process that is killed again and again: with its model asked, in a tool, in a wait for approval, anywhere. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { agents } from "@stet/agent";
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { bundled } from "../chaos/site.ts";
import { until } from "../chaos/until.ts";
import { newFolder, ofKind } from "../runtime/world.ts";
import { repairer } from "./repairer.ts";

test("kill -9, five times: an agent ends as if nothing had been, and no recorded answer is asked for again", async (t) => {
  const folder = newFolder();
  const [path, sideFile] = [join(folder, "app.db"), join(folder, "begun.txt")];
  const code = await bundled(new URL("repairer-process.ts", import.meta.url), join(folder, "code"));
  const client = await Client.connect({ storage: sqlite(path) });
  t.after(() => client.close());
  const run = await client.startOrchestration(
    repairer(() => Promise.resolve()),
    { goal: "Fix it" },
    { instanceId: "fix" },
  );
  const people = agents(client);
  const begun = () => (existsSync(sideFile) ? readFileSync(sideFile, "utf8").split("\n").slice(0, -1) : []);
  const timesBegun = (what: string) => begun().filter((line) => line === what).length;
  const start = (stopAt = "") => {
    const child = fork(code, [path, sideFile, stopAt], { execArgv: [] });
    t.after(() => child.kill("SIGKILL"));
    return child;
  };
  /** The questions whose answers are recorded, with how often they have been asked. One iteration is one execution. */
  const paid = async () => {
    const questions: [question: string, times: number][] = [];
    for (let execution = 1; execution <= (await run.status()).execution; execution++) {
      const answered = ofKind(await run.history(execution), "LlmCompleted").length > 0;
      if (answered) questions.push([`ask ${execution}`, timesBegun(`ask ${execution}`)]);
    }
    return questions;
  };
  const everPaid: [question: string, times: number][] = [];
  const killWhen = async (what: string, condition: () => boolean | Promise<boolean>, stopAt?: string) => {
    const child = start(stopAt);
    await until(what, condition);
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    everPaid.push(...(await paid()));
  };

  await killWhen("the first question", () => timesBegun("ask 1") === 1, "ask 1");
  await killWhen("a look at b", () => timesBegun("look b") === 1, "look b");
  await killWhen("a wait for approval", async () => (await people.approvals.list()).approvals.length === 1);
  const [waiting] = (await people.approvals.list()).approvals;
  assert.ok(waiting);
  await people.approvals.approve("fix", waiting.actionId, { by: "Ada" });
  await killWhen("the work after the restart", async () => (await run.status()).execution >= 4);
  await killWhen("a look at e", () => timesBegun("look e") >= 1, "look e");
  start();
  const { outcome, summary, iterations, actions, usage } = await run.result();

  assert.deepEqual(
    { outcome, summary, iterations, actions, calls: usage.calls },
    {
      outcome: "success",
      summary: "b was slow, so I restarted it.",
      iterations: 7,
      actions: { look: { completed: 5 }, restart: { completed: 1 } },
      calls: 7,
    },
  );
  assert.ok(everPaid.length >= 1 + 2 + 3 + 5, `${everPaid.length} answers were recorded when the process died`);
  for (const [question, times] of everPaid) assert.equal(timesBegun(question), times, `${question} was asked again`);
  assert.equal(timesBegun("restart b"), 1);
  assert.deepEqual([timesBegun("ask 1"), timesBegun("look b")], [2, 2], "what was cut off is done again");
  for (const vm of ["a", "b", "c", "d", "e"]) assert.ok([1, 2, 3].includes(timesBegun(`look ${vm}`)), `look ${vm}`);
});
