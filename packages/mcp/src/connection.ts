/** The connection to one MCP server: opened when it is needed, shared by all calls of the process, and opened again. */
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { ErrorCode, McpError } from "@modelcontextprotocol/sdk/types.js";
import { ConfigurationError, type Effect, NonRetryableError, OutcomeUnknownError, type Payload } from "@stet/core";
import { z } from "zod";
import type { McpTool } from "./pin.ts";

/** A program that is started and spoken with over its standard input and output, or an address of streamable HTTP. */
export type Endpoint =
  | {
      readonly command: string;
      readonly args?: readonly string[];
      /** Variables besides the harmless ones (`PATH`, `HOME`, ...) that it is given: ours are not. */
      readonly env?: { readonly [name: string]: string };
      readonly cwd?: string;
    }
  | {
      readonly url: string;
      /** Sent with every request, e.g. `authorization`. */
      readonly headers?: { readonly [name: string]: string };
    };

/** What a tool is called with. */
export interface Arguments {
  readonly [name: string]: Payload;
}

/** The engine ends calls that take too long; the longest time of a timer is out of its way. */
const noTimeout = { timeout: 2 ** 31 - 1 };

/** See the head of the file. */
export class Connection {
  readonly #server: string;
  readonly #endpoint: Endpoint;
  #opening: Promise<Client> | undefined;

  constructor(server: string, endpoint: Endpoint) {
    this.#server = server;
    this.#endpoint = endpoint;
    if ("command" in endpoint === "url" in endpoint) {
      throw new ConfigurationError(`Expected MCP server ${server} to have a command or a url, got both or neither`);
    }
  }

  /** All tools that the server offers now. */
  async list(): Promise<readonly McpTool[]> {
    const client = await this.#open();
    const tools: McpTool[] = [];
    let cursor: string | undefined;
    do {
      const page = await client.listTools(cursor === undefined ? {} : { cursor });
      tools.push(...page.tools);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    return tools;
  }

  /**
   * Calls a tool; answers what it says as text.
   *
   * @throws OutcomeUnknownError when the connection broke and the call may have had an irreversible effect.
   */
  async call(name: string, args: Arguments, effect: Effect, signal: AbortSignal): Promise<string> {
    const client = await this.#open();
    let answer: unknown;
    try {
      answer = await client.callTool({ name, arguments: { ...args } }, undefined, { signal, ...noTimeout });
    } catch (error) {
      if (isAnswer(error)) throw new NonRetryableError(error.message, { cause: error });
      if (!signal.aborted) await this.close(); // the next call opens another one
      if (effect !== "irreversible") throw error;
      const what = `Expected ${name} of MCP server ${this.#server} to answer, got: ${(error as Error).message}; it may have happened`;
      throw new OutcomeUnknownError(what, { cause: error });
    }
    const { content, structuredContent, isError } = answerSchema.parse(answer);
    const text = content.length === 0 ? JSON.stringify(structuredContent ?? {}) : content.map(asText).join("\n");
    if (isError === true) throw new NonRetryableError(text);
    return text;
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    await opening?.then((client) => client.close()).catch(() => undefined);
  }

  #open(): Promise<Client> {
    if (this.#opening !== undefined) return this.#opening;
    const forget = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    const opening = connect(this.#endpoint, forget);
    this.#opening = opening;
    opening.catch(forget);
    return opening;
  }
}

async function connect(endpoint: Endpoint, onClose: () => void): Promise<Client> {
  const client = new Client({ name: "stet", version: "0.1.0" });
  await client.connect(transportOf(endpoint));
  client.onclose = onClose;
  return client;
}

function transportOf(endpoint: Endpoint): Transport {
  if ("command" in endpoint) {
    const { command, args = [], env, cwd } = endpoint;
    return new StdioClientTransport({
      command,
      args: [...args],
      ...(env !== undefined && { env: { ...env } }),
      ...(cwd !== undefined && { cwd }),
    });
  }
  const { url, headers = {} } = endpoint;
  return new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { ...headers } } }) as Transport;
}

/** Whether the server has refused the call, rather than been lost. */
function isAnswer(error: unknown): error is McpError {
  const lost: readonly number[] = [ErrorCode.ConnectionClosed, ErrorCode.RequestTimeout];
  return error instanceof McpError && !lost.includes(error.code);
}

const answerSchema = z.object({
  content: z.array(z.looseObject({ type: z.string() })).default([]),
  structuredContent: z.record(z.string(), z.unknown()).optional(),
  isError: z.boolean().optional(),
});

/** Models are told what they can read, and what there was besides. */
function asText(part: { readonly type: string; readonly [member: string]: unknown }): string {
  const { type, text, data, mimeType, uri, resource } = part;
  if (typeof text === "string") return text;
  if (typeof data === "string") return `(${type} ${String(mimeType)}, ${data.length} characters in base64)`;
  if (typeof uri === "string") return `(${type} ${uri})`;
  if (typeof resource === "object" && resource !== null && "text" in resource) return String(resource.text);
  return `(${type})`;
}
