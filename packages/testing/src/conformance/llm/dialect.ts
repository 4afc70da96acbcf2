/** What the suite must be told about a vendor: how it is asked, and how it says what the suite wants said. */
import type { LlmProvider, Payload } from "@stet/core";
import type { QuestionName } from "./questions.ts";

/** Where a provider under test is to ask, and as whom. */
export interface LlmSuiteServer {
  /** Of a server on this machine, e.g. `"http://127.0.0.1:40001"`. */
  readonly origin: string;
  readonly apiKey: string;
  /** To be sent with every request. Their values are secrets. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

/** An answer in nobody's dialect. Everything that is left out is up to the dialect. */
export interface Said {
  /** In the pieces in which it is streamed. */
  readonly text?: readonly string[];
  readonly toolCalls?: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  /** @default "stop" */
  readonly end?: "stop" | "length" | "refused" | "content_filter";
  /** The words of a refusal. */
  readonly refusal?: string;
  /** `null` when the server does not count. */
  readonly usage?: SaidUsage | null;
  readonly model?: string;
}

/** Tokens as `LlmUsage` counts them. */
export interface SaidUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cachedTokens?: number;
  readonly reasoningTokens?: number;
}

/** What some vendors cannot say on the wire. Its tests are left out. */
export type Unsayable =
  | "refused"
  | "content_filter"
  | "cachedTokens"
  | "reasoningTokens"
  | "toolCallIds"
  | "brokenArguments"
  | "brokenArgumentsStreamed"
  /** The tokens of a stream, before its last piece. */
  | "usageFirst";

/** A vendor's way to be asked and to answer. */
export interface LlmDialect {
  /** A provider that asks the server. */
  readonly open: (server: LlmSuiteServer) => LlmProvider;
  /** The header that carries the key, and how. */
  readonly authorization: (apiKey: string) => readonly [header: string, value: string];
  /** The header that carries the idempotency key, where the vendor has one. */
  readonly idempotencyHeader?: string;
  /** The request that each question must become, letter by letter. */
  readonly golden: { readonly [Name in QuestionName]: { readonly path: string; readonly body: Payload } };
  /** The names of the tools that a request offers. */
  readonly offeredTools: (body: Payload) => readonly string[];
  /** What a server that keeps to the schema in a request says when it means `value`. */
  readonly structured: (body: Payload, value: Payload) => string;
  /** The body of a whole answer. */
  readonly whole: (said: Said) => Payload;
  /** The body of a streamed answer, piece by piece. Joined, it is the whole body. */
  readonly streamed: (said: Said) => readonly string[];
  /** The content type of streams. @default "text/event-stream" */
  readonly streamType?: string;
  /** The body of an error answer. */
  readonly error: (status: number, message: string) => Payload;
  /** An error as a piece of a stream. */
  readonly streamedError: (message: string) => string;
  /** The body that carries vectors, for providers that embed. */
  readonly vectors?: (vectors: readonly (readonly number[])[], inputTokens: number) => Payload;
  /** What the vendor cannot say. @default nothing */
  readonly unsayable?: readonly Unsayable[];
}
