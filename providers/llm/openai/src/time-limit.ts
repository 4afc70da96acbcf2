/**
 * How long a call is waited for. The SDK's own timer stops at the headers; this one watches the body too, and between the
 * pieces of a stream it starts anew.
 */
import { LlmError } from "@stet/core";

/** A signal that aborts when the caller gives up or when nothing has come for too long. */
export interface TimeLimit {
  readonly signal: AbortSignal;
  /** Something came: the time starts anew. */
  renew(): void;
  /** Why the wait ended, when it ended before the answer. */
  verdict(): LlmError | undefined;
  /** The call is over. */
  end(): void;
}

/** Begins to wait. Call `end` when the call is over. */
export function timeLimit(caller: AbortSignal, timeoutMs: number): TimeLimit {
  const controller = new AbortController();
  let timedOut = false;
  const onTimeout = (): void => {
    timedOut = true;
    controller.abort();
  };
  const onAbort = (): void => controller.abort(caller.reason);
  let timer = setTimeout(onTimeout, timeoutMs);
  if (caller.aborted) onAbort();
  else caller.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    renew: () => {
      clearTimeout(timer);
      timer = setTimeout(onTimeout, timeoutMs);
    },
    verdict: () => {
      if (timedOut) return new LlmError("timeout", `Expected an answer from OpenAI within ${timeoutMs} ms, got none`);
      if (caller.aborted)
        return new LlmError("cancelled", "The call to OpenAI was cancelled", { cause: caller.reason });
      return undefined;
    },
    end: () => {
      clearTimeout(timer);
      caller.removeEventListener("abort", onAbort);
    },
  };
}
