/** Tools of an MCP server: a real program, and real HTTP. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { agent, definitionsOf } from "@stet/agent";
import { type Duration, Runtime } from "@stet/core";
import { type McpServer, mcpServer } from "@stet/mcp";
import { callTool, mock, type MockAnswer } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { finish, start } from "../agent/world.ts";
import { journal, newFolder } from "../runtime/world.ts";
import { notesServer } from "./server.ts";

/** The server as a program. */
const program = (file: string) => ({
  command: process.execPath,
  args: ["--import", "tsx", fileURLToPath(new URL("server.ts", import.meta.url)), file],
});

/** The server over HTTP, and the keys that it was shown. */
async function overHttp(t: TestContext, file: string, more?: string) {
  const keys = new Set<string | undefined>();
  const http = createServer((request, response) => {
    keys.add(request.headers.authorization);
    const transport = new StreamableHTTPServerTransport();
    void notesServer(file, more)
      .connect(transport as Transport)
      .then(() => transport.handleRequest(request, response));
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  t.after(() => http.close().closeAllConnections());
  const { port } = http.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/mcp`, headers: { authorization: "Bearer secret" }, keys };
}

/** A server with its notes and the pin in a folder. */
async function notes(t: TestContext, { folder = newFolder(), more, isProgram = false, ...options }: NotesOptions = {}) {
  const file = join(folder, "notes.txt");
  const pin = join(folder, "notes.mcp.json");
  const { keys, ...endpoint } = isProgram ? { ...program(file), keys: new Set() } : await overHttp(t, file, more);
  const server = await mcpServer("notes", { ...endpoint, pin, ...options });
  t.after(() => server.close());
  return { server, pin, folder, keys, written: () => (existsSync(file) ? readFileSync(file, "utf8") : "") };
}

interface NotesOptions {
  readonly folder?: string;
  readonly more?: string;
  readonly isProgram?: boolean;
  readonly timeout?: Duration;
  readonly maxResultLength?: number;
}

/** What comes of calls that a model asks for, one after the other, and what the model is told of each. */
async function calls(t: TestContext, server: McpServer, answers: readonly MockAnswer[]) {
  const { env, fixer, llm } = await start(t, { tools: [server.tools] }, [...answers, finish("success", ".")]);
  const run = await env.startOrchestration(fixer, { goal: "Take notes" });
  const { actions } = await env.result(run);
  const told = llm.calls.at(-1)?.request.messages.filter(({ role }) => role === "tool") ?? [];
  return {
    env,
    run,
    llm,
    actions,
    told: told.map(({ content }) => content.replaceAll(/<\/?text-[\w-]+>\n?/g, "").trim()),
  };
}

test("tools of a program are called, each call recorded once and replayed without the server", async (t) => {
  const { server, written } = await notes(t, { isProgram: true });
  assert.deepEqual(
    server.tools.tools.map(({ name, effect }) => [name, effect]),
    ["add", "count", "die", "draw", "hang", "read_all", "refuse"].map((name) => [`notes_${name}`, "irreversible"]),
  );

  const { env, run, llm, told } = await calls(t, server, [
    callTool("notes_add", { text: "milk" }),
    callTool("notes_read_all"),
    callTool("notes_count"),
    callTool("notes_draw"),
    callTool("notes_refuse"),
  ]);

  assert.deepEqual(told, [
    "It answered:\nadded",
    "It answered:\nmilk",
    'It answered:\n{"notes":7}',
    "It answered:\nhere:\n(image image/png, 4 characters in base64)",
    "It failed:\nnot on a Sunday",
  ]);
  const offered = llm.calls[0]?.request.tools?.find(({ name }) => name === "notes_add");
  assert.equal(offered?.description, "Adds a note.");
  assert.deepEqual(offered?.parameters["required"], ["text"]);
  await server.close();
  for (const { execution } of await env.client.executions(run.instanceId)) {
    const kinds = (await run.history(execution)).map(({ kind }) => kind);
    assert.ok(kinds.filter((kind) => kind === "ActivityScheduled").length <= 1, String(kinds));
  }
  assert.equal(written(), "milk\n"); // closing the environment replays all of it, and the server is gone
});

test("arguments are checked before the server hears of them", async (t) => {
  const { server, written } = await notes(t);

  const { llm } = await calls(t, server, [callTool("notes_add", { text: 7 })]);

  assert.match(llm.calls[1]?.prompt ?? "", /the arguments of notes_add do not fit: .*\$\.text/);
  assert.equal(written(), "");
});

test("the tools are pinned: what a server changes is seen only after a refresh", async (t) => {
  const first = await notes(t);
  const known = first.server.tools.tools.map(({ name }) => name);
  const pinned = readFileSync(first.pin, "utf8");
  await first.server.close();

  const { server, pin } = await notes(t, { more: "extra", folder: first.folder });
  assert.deepEqual(
    server.tools.tools.map(({ name }) => name),
    known,
  );
  assert.equal(readFileSync(pin, "utf8"), pinned);

  assert.deepEqual(await server.refresh(), { added: ["extra"], removed: [], changed: [] });
  assert.deepEqual(
    server.tools.tools.map(({ name }) => name),
    known,
  );
  const later = await notes(t, { more: "extra", folder: first.folder });
  assert.ok(later.server.tools.get("notes_extra"));
  assert.deepEqual(await later.server.refresh(), { added: [], removed: [], changed: [] });
});

test("a pinned server is not started before it is called, and a pin that is none is refused", async (t) => {
  const { pin, server } = await notes(t);
  await server.close();

  const later = await mcpServer("notes", { command: "/no/such/program", pin });
  assert.equal(later.tools.tools.length, 7);
  writeFileSync(pin, '{"tools":[{"name":"x"}]}');
  await assert.rejects(mcpServer("notes", { command: "/no/such/program", pin }), /pinned tools of an MCP server/);
});

test("a server that dies in a call leaves an irreversible one unknown, and the next call starts another", async (t) => {
  const { server, written } = await notes(t, { isProgram: true });

  const { told, actions } = await calls(t, server, [callTool("notes_die"), callTool("notes_add", { text: "after" })]);

  assert.match(told[0] ?? "", /^Nobody knows whether it happened:/);
  assert.equal(told[1], "It answered:\nadded");
  assert.deepEqual(actions["notes_die"], { unknown: 1 });
  assert.equal(written(), "died\nafter\n");
});

test("a call that takes too long is ended", async (t) => {
  const { server } = await notes(t, { timeout: "1s" });
  const fixer = agent({ name: "fixer", tools: [server.tools] });
  const llm = mock([callTool("notes_hang"), finish("success", ".")]);
  const runtime = await Runtime.start({ storage: sqlite(":memory:"), llm, logger: journal(), ...definitionsOf(fixer) });
  t.after(() => runtime.shutdown());

  const { actions } = await (await runtime.startOrchestration(fixer, { goal: "Hang" })).result();

  assert.deepEqual(actions, { notes_hang: { unknown: 1 } });
});

test("an answer that is too long is cut", async (t) => {
  const { server } = await notes(t, { maxResultLength: 6 });

  const { told } = await calls(t, server, [callTool("notes_add", { text: "a long note" }), callTool("notes_read_all")]);

  assert.equal(told[1], "It answered:\na long\n... (cut: there were 12 characters)");
});

test("headers go to the server with every request, and never into the pin", async (t) => {
  const { server, keys, pin } = await notes(t);

  await calls(t, server, [callTool("notes_add", { text: "by wire" })]);

  assert.deepEqual([...keys], ["Bearer secret"]);
  assert.doesNotMatch(readFileSync(pin, "utf8"), /secret/);
});
