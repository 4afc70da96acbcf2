/**
 * An agent that uses an MCP server: the filesystem server of the protocol's authors, started as a program that sees one
 * folder. Each call is recorded, so a replay needs no server. What the server says of its tools is kept in a file (a pin):
 * models read those descriptions, so they change when somebody refreshes the pin and others have reviewed it.
 *
 * With OPENAI_API_KEY a real model plans; with --watch each step is shown as it happens.
 *
 * Prints:
 *   offered: files_list_directory, files_read_text_file, files_write_file
 *   Grace allows files_write_file
 *   success: The summary is in summary.txt.
 *   summary.txt: 2 reports: Monday: 3 orders. Tuesday: 4 orders.
 *   read: {"completed":2,"failed":1}
 */
import { agent, agentEvents, agents, definitionsOf, narrate } from "@stet/agent";
import { Runtime } from "@stet/core";
import { mcpServer } from "@stet/mcp";
import { callTool, mock, says } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const scratch = realpathSync(mkdtempSync(join(tmpdir(), "stet-mcp-")));
const folder = join(scratch, "reports");
mkdirSync(folder);
writeFileSync(join(folder, "monday.txt"), "Monday: 3 orders.");
writeFileSync(join(folder, "tuesday.txt"), "Tuesday: 4 orders.");

// The server. In a project the command is npx and the pin is committed.

const files = await mcpServer("files", {
  command: process.execPath,
  args: [fileURLToPath(import.meta.resolve("@modelcontextprotocol/server-filesystem/dist/index.js")), folder],
  pin: join(scratch, "files.mcp.json"),
  effect: ({ annotations }) => (annotations?.["readOnlyHint"] === true ? "pure" : "irreversible"),
});

// An agent is given what it needs, not all that there is. Whatever is not known to be harmless needs a person.

const wanted = ["files_list_directory", "files_read_text_file", "files_write_file"];
const tools = files.tools.tools.filter(({ name }) => wanted.includes(name));
const librarian = agent({
  name: "librarian",
  instructions: `You work with the files in ${folder}. Give whole paths.`,
  tools,
  guardrails: { maxIterations: 12, approval: ({ effect }) => (effect === "pure" ? "allow" : "ask") },
});

const path = (name: string) => join(folder, name);
const scripted = mock().reply(
  callTool("files_list_directory", { path: folder }),
  says("Two reports, and one that is none of my business.", {
    toolCalls: ["monday.txt", "tuesday.txt", "../files.mcp.json"].map((name) => ({
      name: "files_read_text_file",
      arguments: { path: path(name) },
    })),
  }),
  ({ messages }) => {
    const reports = messages.flatMap(({ content }) => /^\w+day: \d+ orders\.$/m.exec(content)?.[0] ?? []);
    const content = `${reports.length} reports: ${reports.join(" ")}`;
    return callTool("files_write_file", { path: path("summary.txt"), content });
  },
  callTool("finish", { reason: "success", summary: "The summary is in summary.txt." }),
);

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  ...definitionsOf(librarian),
});
const { approvals } = agents(runtime.client);

console.log("offered:", tools.map(({ name }) => name).join(", "));
const run = await runtime.startOrchestration(librarian, { goal: "Summarize the reports in summary.txt." });
for await (const event of agentEvents(run)) {
  if (process.argv.includes("--watch")) console.log(narrate(event, { color: process.stdout.isTTY }));
  if (event.kind !== "awaited") continue;
  console.log("Grace allows", event.tool);
  await approvals.approve(run.instanceId, event.actionId, { by: "Grace" });
}
const { outcome, summary, actions } = await run.result();
console.log(`${outcome}: ${summary}`);
console.log("summary.txt:", readFileSync(path("summary.txt"), "utf8"));
console.log("read:", JSON.stringify(actions["files_read_text_file"]));
await runtime.shutdown();
await files.close();
rmSync(scratch, { recursive: true });
