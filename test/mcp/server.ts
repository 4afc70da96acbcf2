/**
 * An MCP server to be tested against, made with the official SDK: over standard input and output as a program, or in this
 * process over HTTP. Its notes are kept in a file, so that what really happened can be counted from outside.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** Makes the server. `more` is a tool that only some versions of it have. */
export function notesServer(file: string, more?: string): McpServer {
  const server = new McpServer({ name: "notes", version: "1.0.0" });
  server.registerTool(
    "add",
    { description: "Adds a note.", inputSchema: { text: z.string().min(1) }, annotations: { idempotentHint: false } },
    ({ text }) => {
      appendFileSync(file, `${text}\n`);
      return { content: [{ type: "text", text: "added" }] };
    },
  );
  server.registerTool(
    "read.all",
    { description: "Reads all notes.", inputSchema: {}, annotations: { readOnlyHint: true } },
    () => ({ content: [{ type: "text", text: existsSync(file) ? readFileSync(file, "utf8") : "" }] }),
  );
  server.registerTool(
    "count",
    { description: "Counts notes.", inputSchema: {}, outputSchema: { notes: z.number() } },
    () => ({ content: [], structuredContent: { notes: 7 } }),
  );
  server.registerTool("draw", { description: "Draws." }, () => ({
    content: [
      { type: "text", text: "here:" },
      { type: "image", data: "AAAA", mimeType: "image/png" },
    ],
  }));
  server.registerTool("refuse", { description: "Refuses." }, () => ({
    isError: true,
    content: [{ type: "text", text: "not on a Sunday" }],
  }));
  server.registerTool("hang", { description: "Never answers." }, () => new Promise<never>(() => undefined));
  server.registerTool("die", { description: "Adds a note and dies before it answers." }, () => {
    appendFileSync(file, "died\n");
    process.exit(1);
  });
  if (more !== undefined) server.registerTool(more, { description: "More." }, () => ({ content: [] }));
  return server;
}

const [, program, file, more] = process.argv;
if (program === fileURLToPath(import.meta.url) && file !== undefined) {
  await notesServer(file, more).connect(new StdioServerTransport());
}
