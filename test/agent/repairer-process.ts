/**
 * A worker of `72-kills.test.ts`, until it is killed. It writes a line to its side file whenever its model is asked or a
 * tool begins, and never goes on from the line at which it was told to stop.
 */
import { appendFileSync } from "node:fs";
import { definitionsOf } from "@stet/agent";
import { Runtime } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { repairer } from "./repairer.ts";

const [, , path = "", sideFile = "", stopAt = ""] = process.argv;

async function begin(what: string): Promise<void> {
  appendFileSync(sideFile, `${what}\n`);
  if (what === stopAt) await new Promise(() => {});
}

const script = [
  callTool("look", { vm: "a" }),
  callTool("look", { vm: "b" }),
  callTool("restart", { vm: "b" }),
  callTool("look", { vm: "c" }),
  callTool("look", { vm: "d" }),
  callTool("look", { vm: "e" }),
  callTool("finish", { reason: "success", summary: "b was slow, so I restarted it." }),
];

const llm = mock().otherwise(async (_request, { prompt }) => {
  const iteration = Number([...prompt.matchAll(/This is iteration (\d+)/g)].at(-1)?.[1]);
  await begin(`ask ${iteration}`);
  return script[iteration - 1] ?? new Error(`Expected at most ${script.length} iterations, got ${iteration}.`);
});

await Runtime.start({ storage: sqlite(path), llm, ...definitionsOf(repairer(begin)) });
process.on("disconnect", () => process.exit());
