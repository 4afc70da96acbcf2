/**
 * One call of a vendor's SDK: how long it is waited for, who may give it up, and errors of the seam instead of the SDK's.
 * The timers of SDKs stop at the headers; this one watches the body too, and between the pieces of a stream it starts
 * anew.
 */
import { LlmError } from "../../errors.ts";

/** What is the same in all calls of a vendor. */
export interface Vendor {
  /** As errors name it, e.g. `"OpenAI"`. */
  readonly name: string;
  /** Longest wait for an answer, or for its next piece when it is streamed. */
  readonly timeoutMs: number;
  /** What the SDK threw, as an error of the seam. */
  readonly toLlmError: (thrown: unknown) => LlmError;
}

/** One call under way. */
export interface VendorCall {
  /** To be given to the SDK: aborted when the caller gives up or when nothing has come for too long. */
  readonly signal: AbortSignal;
  /** What the SDK promised. @throws LlmError whatever the SDK throws */
  answer<T>(promised: PromiseLike<T>): Promise<T>;
  /** The pieces of a stream. @throws LlmError whatever the stream throws; errors of whoever consumes the pieces pass by */
  pieces<T>(stream: AsyncIterable<T>): AsyncGenerator<T>;
}

/**
 * Calls a vendor. When `caller` is aborted or the time is up, the signal of the call is aborted, and what the SDK makes
 * of that counts as `cancelled` or `timeout`.
 */
export async function callVendor<T>(
  vendor: Vendor,
  caller: AbortSignal,
  ask: (call: VendorCall) => Promise<T>,
): Promise<T> {
  const limit = timeLimit(vendor, caller);
  const translated = (thrown: unknown): LlmError => limit.verdict() ?? vendor.toLlmError(thrown);
  try {
    return await ask({
      signal: limit.signal,
      answer: (promised) =>
        Promise.resolve(promised).catch((thrown: unknown) => {
          throw translated(thrown);
        }),
      async *pieces(stream) {
        let ended = false;
        try {
          for await (const piece of stream) {
            limit.renew();
            yield piece;
          }
          ended = true;
        } catch (thrown) {
          throw translated(thrown);
        } finally {
          if (!ended) limit.giveUp(); // whoever read the pieces stopped: so may the server
        }
        const verdict = limit.verdict(); // SDKs let an aborted stream just end
        if (verdict !== undefined) throw verdict;
      },
    });
  } finally {
    limit.end();
  }
}

interface TimeLimit {
  readonly signal: AbortSignal;
  /** Something came: the time starts anew. */
  renew(): void;
  /** Why the wait ended, when it ended before the answer. */
  verdict(): LlmError | undefined;
  /** Nobody reads on. */
  giveUp(): void;
  /** The call is over. */
  end(): void;
}

function timeLimit({ name, timeoutMs }: Vendor, caller: AbortSignal): TimeLimit {
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
      if (timedOut) return new LlmError("timeout", `Expected an answer from ${name} within ${timeoutMs} ms, got none`);
      if (caller.aborted) {
        return new LlmError("cancelled", `The call to ${name} was cancelled`, { cause: caller.reason });
      }
      return undefined;
    },
    giveUp: () => controller.abort(),
    end: () => {
      clearTimeout(timer);
      caller.removeEventListener("abort", onAbort);
    },
  };
}
