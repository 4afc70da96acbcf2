/** Time and cancellation: what a mock does between the question and the answer. */
import { setTimeout as sleep } from "node:timers/promises";
import { LlmError } from "@stet/core";

/** Waits. Should stop when the signal is aborted; the mock stops waiting in any case. */
export type Delay = (ms: number, signal: AbortSignal) => Promise<void>;

/** Waits by the system's clock. */
export const systemDelay: Delay = (ms, signal) => sleep(ms, undefined, { signal });

/**
 * What `work` comes to, unless the signal is aborted first.
 *
 * @throws LlmError `cancelled` as soon as nobody wants the answer any more.
 */
export async function whileWanted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, forget } = abortion(signal);
  try {
    return await Promise.race([aborted, work]);
  } catch (error) {
    throw signal.aborted ? cancelled(signal) : error;
  } finally {
    forget();
  }
}

/** Hands out a text word by word. */
export async function stream(text: string, onDelta: (piece: string) => void, signal: AbortSignal): Promise<void> {
  for (const piece of text.match(/\s*\S+\s*/g) ?? (text === "" ? [] : [text])) {
    assertWanted(signal);
    onDelta(piece);
    await Promise.resolve();
  }
}

/** @throws LlmError `cancelled` when nobody wants the answer any more. */
export function assertWanted(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled(signal);
}

function cancelled(signal: AbortSignal): LlmError {
  return new LlmError("cancelled", "The model call was cancelled", { cause: signal.reason });
}

function abortion(signal: AbortSignal): { promise: Promise<never>; forget: () => void } {
  let onAbort = (): void => {};
  const promise = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelled(signal));
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
  return { promise, forget: () => signal.removeEventListener("abort", onAbort) };
}
