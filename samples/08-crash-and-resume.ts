/**
 * Crash and resume. This program starts a second process that runs an orchestration, kills it with SIGKILL in the middle
 * of an activity, and starts a third that finds the instance in the file and goes on.
 *
 * What was recorded is not done again: the article is fetched once and the model is asked once, although the code runs
 * from its beginning in both processes. The activity that was cut off is started again, as attempt 2 with the same
 * idempotency key.
 *
 * The runtime says on standard error that it found a dead worker.
 *
 * Prints:
 *   first process: starts
 *     fetching the article
 *     asking the model
 *     publishing, attempt 1, key article-1/1/6
 *   first process: killed by SIGKILL
 *   second process: starts
 *     publishing, attempt 2, key article-1/1/6
 *     published: Bees dance.
 *   second process: ended with code 0
 */
import { fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Runtime, activity, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";

const fetchArticle = activity("fetchArticle", async (_ctx, id: string) => {
  console.log("  fetching the article");
  return `${id}: Bees tell each other by dancing where the flowers are.`;
});

const publish = activity("publish", async (ctx, text: string) => {
  console.log(`  publishing, attempt ${ctx.attempt}, key ${ctx.idempotencyKey}`);
  if (ctx.attempt === 1) await beKilled();
  return `published: ${text}`;
});

const digest = orchestration("digest", async (ctx, id: string) => {
  const article = await ctx.activity(fetchArticle, id);
  const summary = await ctx.generate(`Say in two words what this is about:\n${article}`);
  return ctx.activity(publish, summary);
});

/** What the processes run. Both start the same instance: the second finds that it exists. */
async function work(file: string): Promise<void> {
  const scripted = mock().on("generate", () => {
    console.log("  asking the model");
    return "Bees dance.";
  });
  const runtime = await Runtime.start({
    storage: sqlite(file),
    llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
    orchestrations: [digest],
    activities: [fetchArticle, publish],
  });
  const handle = await runtime.startOrchestration(digest, "article-1", {
    instanceId: "article-1",
    ifExists: "attach",
  });
  console.log(`  ${await handle.result()}`);
  await runtime.shutdown();
  process.disconnect();
}

/** Asks the parent for the end, and waits for it. */
function beKilled(): Promise<void> {
  process.send?.("kill me");
  return new Promise(() => undefined);
}

/** Runs `work` in a process of its own and says how it ended. */
function runProcess(file: string): Promise<string> {
  const child = fork(fileURLToPath(import.meta.url), [file]);
  child.on("message", () => child.kill("SIGKILL"));
  return new Promise((resolve) => {
    child.on("close", (code, signal) => resolve(signal === null ? `ended with code ${code}` : `killed by ${signal}`));
  });
}

const [file] = process.argv.slice(2);
if (file !== undefined) {
  await work(file);
} else {
  const folder = mkdtempSync(join(tmpdir(), "stet-sample-"));
  for (const name of ["first", "second"]) {
    console.log(`${name} process: starts`);
    console.log(`${name} process: ${await runProcess(join(folder, "articles.db"))}`);
  }
  rmSync(folder, { recursive: true });
}
