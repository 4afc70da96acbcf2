/**
 * An MCP server as a set of tools. Each call is an activity, so it is recorded once and replayed without the server. The
 * connection is opened by the first call, and again by the next one after it has broken.
 */
import { type Tool, tool, toolSet, type ToolSet } from "@stet/agent";
import { activity, type Duration, type Effect, type JsonSchema } from "@stet/core";
import { assertOptions, type NamesOf, schemaOfJson } from "@stet/core/internal";
import { type Arguments, Connection, type Endpoint } from "./connection.ts";
import { type McpTool, readPin, writePin } from "./pin.ts";

/** Where a server is and how its tools are used: a `command` that is started, or a `url` of streamable HTTP. */
export type McpServerOptions = Endpoint & {
  /**
   * The file that keeps what the server said of its tools. It is written when it does not exist, and then only by
   * `refresh()`: commit it, and review what changes.
   */
  readonly pin: string;
  /**
   * What running a tool twice would mean. Hints of the server are in `annotations`; heed them if you trust it.
   * @default "irreversible" for every tool: none is run again blindly, and no two at the same time
   */
  readonly effect?: (tool: McpTool) => Effect;
  /** Longest time of one call. @default "1m" */
  readonly timeout?: Duration;
  /** Most characters of an answer. What is longer is cut. @default 100000 */
  readonly maxResultLength?: number;
};

/** What {@link McpServer.refresh} has changed in the pin, by the names of tools. */
export interface McpChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** An MCP server whose tools agents may use. */
export interface McpServer {
  readonly name: string;
  /** As they are pinned, each named `<server>_<tool>`. They stay the same for as long as the process lives. */
  readonly tools: ToolSet;
  /** Asks the server for its tools and pins them anew, for processes that start later. */
  refresh(): Promise<McpChanges>;
  /** Ends the connection. A server that was started by a command ends with it. */
  close(): Promise<void>;
}

/**
 * Makes tools of an MCP server. The server is asked what it can do only when there is no pin yet.
 *
 * @example
 * ```ts
 * import { agent } from "@stet/agent";
 *
 * const files = await mcpServer("files", {
 *   command: "npx",
 *   args: ["-y", "@modelcontextprotocol/server-filesystem", "/data"],
 *   pin: "files.mcp.json",
 *   effect: ({ annotations }) => (annotations?.["readOnlyHint"] === true ? "pure" : "irreversible"),
 * });
 * const librarian = agent({ name: "librarian", tools: [files.tools] });
 * ```
 * @throws ConfigurationError when an option or the pin is wrong, or the server offers what no tool can be made of.
 */
export async function mcpServer(name: string, options: McpServerOptions): Promise<McpServer> {
  assertOptions(options, optionNames, `MCP server ${name}`);
  const connection = new Connection(name, options);
  const { pin } = options;
  try {
    const known = (await readPin(pin)) ?? (await writePin(pin, await connection.list()));
    const tools = toolSet(
      name,
      known.map((each) => toolOf(name, each, connection, options)),
    );
    return {
      name,
      tools,
      async refresh() {
        const before = (await readPin(pin)) ?? [];
        return changes(before, await writePin(pin, await connection.list()));
      },
      close: () => connection.close(),
    };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

const optionNames: NamesOf<Record<KeysOf<McpServerOptions>, unknown>> = {
  command: true,
  args: true,
  env: true,
  cwd: true,
  url: true,
  headers: true,
  pin: true,
  effect: true,
  timeout: true,
  maxResultLength: true,
};

type KeysOf<Union> = Union extends unknown ? keyof Union : never;

function toolOf(server: string, described: McpTool, connection: Connection, options: McpServerOptions): Tool {
  const { effect: effectOf = () => "irreversible" as const, timeout = "1m", maxResultLength = 100_000 } = options;
  const effect = effectOf(described);
  const name = `${server}_${described.name}`.replaceAll(/[^\w-]/g, "_").slice(0, 64);
  const call = activity(name, { effect }, async ({ signal }, args: Arguments) => {
    const text = await connection.call(described.name, args, effect, signal);
    if (text.length <= maxResultLength) return text;
    return `${text.slice(0, maxResultLength)}\n... (cut: there were ${text.length} characters)`;
  });
  const { $schema: _dialect, ...schema } = described.inputSchema;
  const description = described.description ?? `The tool ${described.name} of ${server}.`;
  if (isCheckable(schema)) return tool(call, { description, parameters: schema, timeout });
  // The server checks them itself; the model is told what it takes.
  const told = `${description}\nIts arguments by JSON Schema: ${JSON.stringify(schema)}`;
  return tool(call, { description: told, parameters: { type: "object" }, timeout });
}

/** Whether arguments can be checked before they are sent: not every keyword of JSON Schema is understood. */
function isCheckable(schema: { readonly [keyword: string]: unknown }): schema is JsonSchema {
  try {
    schemaOfJson(schema as JsonSchema);
    return true;
  } catch {
    return false;
  }
}

function changes(before: readonly McpTool[], after: readonly McpTool[]): McpChanges {
  const old = new Map(before.map((each) => [each.name, JSON.stringify(each)]));
  const now = new Map(after.map((each) => [each.name, JSON.stringify(each)]));
  return {
    added: [...now.keys()].filter((name) => !old.has(name)),
    removed: [...old.keys()].filter((name) => !now.has(name)),
    changed: [...now.keys()].filter((name) => old.has(name) && old.get(name) !== now.get(name)),
  };
}
