/** One request. What a model says ends up where the document says it belongs, and nowhere else. */
import { type Effect, NonRetryableError, OutcomeUnknownError, type Payload } from "@stet/core";
import type { ApiOperation } from "./operations.ts";

/** What a tool is called with. */
export interface Arguments {
  readonly [name: string]: Payload;
}

/** How requests are made. */
interface Terms {
  readonly baseUrl: string;
  readonly headers: { readonly [name: string]: string };
  readonly effect: Effect;
  readonly signal: AbortSignal;
  /** Sent where a repetition would do harm, for servers that know it. */
  readonly idempotencyKey: string;
  readonly maxResponseBytes: number;
}

/** Failures to connect: the server has heard nothing. */
const unheard: ReadonlySet<string> = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/**
 * Calls an operation; answers the body as text.
 *
 * @throws OutcomeUnknownError when an irreversible one may have happened although nobody said so.
 */
export async function request(operation: ApiOperation, args: Arguments, terms: Terms): Promise<string> {
  const { method, id } = operation;
  const { effect, signal, maxResponseBytes } = terms;
  const isUncertain = effect === "irreversible";
  const asked = new Request(urlOf(operation, args, terms.baseUrl), {
    method,
    headers: headersOf(operation, args, terms),
    redirect: "manual", // keys are for this server, not for another one that it names
    signal,
    ...(operation.hasBody && args["body"] !== undefined && { body: JSON.stringify(args["body"]) }),
  });
  let response: Response;
  let text: string;
  try {
    response = await fetch(asked);
    text = await bodyOf(response, maxResponseBytes);
  } catch (error) {
    const { message, cause } = error as Error & {
      readonly cause?: { readonly code?: string; readonly message?: string };
    };
    if (!isUncertain || unheard.has(cause?.code ?? "")) throw error;
    const why = `Expected ${id} to be answered, got: ${cause?.message ?? message}; it may have happened`;
    throw new OutcomeUnknownError(why, { cause: error });
  }
  const { status, ok } = response;
  if (ok) return text === "" ? `done (${status})` : text;
  const problem = `${id} was answered with status ${status}: ${text}`;
  if (status >= 500 && isUncertain) throw new OutcomeUnknownError(`${problem}; it may have happened`);
  throw status >= 500 || status === 429 ? new Error(problem) : new NonRetryableError(problem);
}

function urlOf({ id, path, parameters }: ApiOperation, args: Arguments, baseUrl: string): URL {
  const filled = path.replaceAll(/\{([^}]+)\}/g, (_place, name: string) => {
    const value = asText(args[name] ?? "");
    // An address means something else with these, however they are written.
    if (["", ".", ".."].includes(value)) {
      throw new NonRetryableError(`Expected ${name} of ${id} to be a part of an address, got ${JSON.stringify(value)}`);
    }
    return encodeURIComponent(value);
  });
  const url = new URL(`${baseUrl.replace(/\/+$/, "")}${filled}`);
  for (const { name, in: place } of parameters) {
    const value = args[name];
    if (place !== "query" || value === undefined) continue;
    for (const each of Array.isArray(value) ? (value as Payload[]) : [value])
      url.searchParams.append(name, asText(each));
  }
  return url;
}

/** Those of the house come last: a model cannot exchange them. */
function headersOf({ parameters, hasBody }: ApiOperation, args: Arguments, terms: Terms): Headers {
  const headers = new Headers({ accept: "application/json, text/*;q=0.5" });
  for (const { name, in: place } of parameters) {
    if (place === "header" && args[name] !== undefined) headers.set(name, asText(args[name]));
  }
  if (hasBody) headers.set("content-type", "application/json");
  if (terms.effect === "irreversible") headers.set("idempotency-key", terms.idempotencyKey);
  for (const [name, value] of Object.entries(terms.headers)) headers.set(name, value);
  return headers;
}

async function bodyOf({ body }: Response, most: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let left = most;
  for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk.subarray(0, left), { stream: true });
    if (chunk.length > left) return `${text}\n... (cut: there were more than ${most} bytes)`;
    left -= chunk.length;
  }
  return text + decoder.decode();
}

function asText(value: Payload): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
