/** What the chapters of the suite share: a server that says what it is told, and a provider that asks it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before } from "node:test";
import {
  isStetError,
  type LlmCallOptions,
  LlmError,
  type LlmProvider,
  type LlmRequest,
  type LlmResponse,
  type Payload,
} from "@stet/core";
import type { LlmDialect, Said, Unsayable } from "./dialect.ts";

/** A request as it reached the server. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  readonly body: Payload;
}

/** Answers a request, or leaves it alone. */
export type Play = (response: ServerResponse, request: Received) => void | Promise<void>;

/** One provider at one server. What `play` does answers the next requests. */
export interface Stage {
  readonly llm: LlmProvider;
  readonly received: readonly Received[];
}

/** Secrets that the provider is given, and which must never come back. */
export const secrets = { apiKey: "key-5ecret-0123456789", header: "header-5ecret-9876543210" } as const;

/** A chapter of the suite. */
export type Chapter = (bench: Bench) => void;

/** A dialect, and a server to speak it. */
export class Bench {
  readonly dialect: LlmDialect;
  readonly #stages = new Map<string, { play: Play; received: Received[] }>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #count = 0;

  constructor(dialect: LlmDialect) {
    this.dialect = dialect;
    before(async () => {
      this.#server.listen(0, "127.0.0.1");
      await once(this.#server, "listening");
    });
    after(() => {
      this.#server.closeAllConnections();
      this.#server.close();
    });
  }

  /** A provider of its own for one test. Requests are told apart by a header, so tests may run side by side. */
  stage(play: Play, { timeoutMs = 10_000 }: { readonly timeoutMs?: number } = {}): Stage {
    const name = `stage-${++this.#count}`;
    const stage = { play, received: [] as Received[] };
    this.#stages.set(name, stage);
    const { port } = this.#server.address() as AddressInfo;
    const llm = this.dialect.open({
      origin: `http://127.0.0.1:${port}`,
      apiKey: secrets.apiKey,
      headers: { "x-stage": name, "x-gateway-key": secrets.header },
      timeoutMs,
    });
    return { llm, received: stage.received };
  }

  /** A provider that is told whole answers, or streamed ones when it asks for a stream. */
  saying(said: Said, options: { readonly timeoutMs?: number } = {}): Stage {
    return this.stage((response) => this.whole(response, said), options);
  }

  whole(response: ServerResponse, said: Said): void {
    json(response, 200, this.dialect.whole(said));
  }

  openStream(response: ServerResponse): void {
    response.writeHead(200, { "content-type": this.dialect.streamType ?? "text/event-stream" });
    response.flushHeaders();
  }

  /** Whether the vendor has words for it. */
  cannotSay(what: Unsayable): string | false {
    return (this.dialect.unsayable ?? []).includes(what) && `this vendor has no words for ${what}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // given up before it was asked
    }
    const text = Buffer.concat(chunks).toString();
    const stage = this.#stages.get(String(request.headers["x-stage"]));
    assert.ok(stage, "Expected the provider to send the headers that it was given.");
    const received: Received = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      text,
      body: JSON.parse(text) as Payload,
    };
    stage.received.push(received);
    await stage.play(response, received);
  }
}

/** A JSON body. */
export function json(
  response: ServerResponse,
  status: number,
  body: Payload,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(body));
}

/** The pieces of a stream, each in a packet of its own. */
export async function write(response: ServerResponse, pieces: readonly (string | Uint8Array)[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise<void>((resolve) => response.write(piece, () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Asks: a text, or a whole request. */
export function ask(
  llm: LlmProvider,
  question: string | LlmRequest = "Hi",
  options: Partial<LlmCallOptions> = {},
): Promise<LlmResponse> {
  const request =
    typeof question === "string" ? { messages: [{ role: "user" as const, content: question }] } : question;
  return llm.complete(request, callOptions(options));
}

export function callOptions(options: Partial<LlmCallOptions> = {}): LlmCallOptions {
  return { operation: "generate", signal: new AbortController().signal, idempotencyKey: "instance/1/7", ...options };
}

/** Listens to a stream. */
export function listener(): { readonly heard: string[]; readonly onDelta: (text: string) => void } {
  const heard: string[] = [];
  return { heard, onDelta: (text) => void heard.push(text) };
}

/** The `LlmError` that `promise` fails with. */
export async function failure(promise: Promise<unknown>): Promise<LlmError> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`Expected the call to fail, got ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(
    isStetError(error, "llm_failed") && error instanceof LlmError,
    `Expected an LlmError, got ${String(error)}`,
  );
  return error;
}
