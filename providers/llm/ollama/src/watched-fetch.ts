/**
 * What the SDK does not do with answers: give up with the caller, keep the headers of an error, read an error in a shape
 * that it does not know, and refuse pieces that are no JSON (it drops them, and prints them).
 */
import type { LlmError } from "@stet/core";
import { errorAnswer, member, noAnswer, type Redact, textOf } from "@stet/core/provider-kit";

/** `fetch`, given up with `signal`, that throws an `LlmError` instead of answering with an error. */
export function watchedFetch(
  fetch: typeof globalThis.fetch,
  signal: AbortSignal,
  redact: Redact,
): typeof globalThis.fetch {
  return async (input, init) => {
    const response = await fetch(input, { ...init, signal });
    const { ok, status, headers, body } = response;
    if (!ok) throw errorAnswer("Ollama", { status, headers, message: messageOf(await response.text()) }, redact);
    return isStream(init) && body !== null
      ? new Response(body.pipeThrough(checkedLines(redact)), { headers })
      : response;
  };
}

/** The error that a body or a piece of a stream holds though its status is 200, if it does. */
export function errorInside(body: unknown, redact: Redact): LlmError | undefined {
  const error = member(body, "error");
  const message = typeof error === "string" ? error : textOf(error, "message");
  return message === undefined ? undefined : errorAnswer("Ollama", { message }, redact);
}

/** With a gateway in between an error may be an object. */
function messageOf(text: string): string {
  try {
    const error: unknown = member(JSON.parse(text), "error");
    return typeof error === "string" ? error : (textOf(error, "message") ?? text);
  } catch {
    return text;
  }
}

function isStream(init: RequestInit | undefined): boolean {
  return typeof init?.body === "string" && member(JSON.parse(init.body), "stream") === true;
}

/** Passes a stream on line by line, and breaks it off at the first that is no JSON or is an error. */
function checkedLines(redact: Redact): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let rest = "";
  const pass = (line: string, to: TransformStreamDefaultController<Uint8Array>): void => {
    if (line.trim() === "") return;
    const error = errorIn(line, redact);
    if (error !== undefined) throw error;
    to.enqueue(encoder.encode(`${line}\n`));
  };
  return new TransformStream({
    transform(chunk, to) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) pass(line, to);
    },
    flush: (to) => pass(rest + decoder.decode(), to),
  });
}

function errorIn(line: string, redact: Redact): LlmError | undefined {
  try {
    return errorInside(JSON.parse(line), redact);
  } catch (thrown) {
    return noAnswer("Ollama", thrown, redact);
  }
}
