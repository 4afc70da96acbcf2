/**
 * What the shell needs from the machine it runs on, so that tests can own it: time, logs, and the sealing of payloads.
 */
import type { Payload } from "./payload.ts";

/** Time. Production uses the system's; tests use a virtual one. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /**
   * Calls `fire` once, at `at` (epoch milliseconds) or soon after. Returns what cancels it.
   *
   * @param housekeeping - Whether it recurs for ever, so that a test that skips time must not wait for it.
   */
  setTimer(at: number, fire: () => void, housekeeping?: boolean): () => void;
  /** How long the event loop has been busy so far, in milliseconds. Absent: never. */
  busyMs?(): number;
}

/** Facts that go with a log line. */
export type LogFields = { readonly [key: string]: Payload | undefined };

/** Where logs go. Orchestration code reaches it through `ctx.log`, which is silent while replaying. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** Where a sealed text belongs: it cannot be opened anywhere else. */
export interface SealContext {
  /** The instance at the top of the tree for history and payloads; the addressee for messages; the key of a kept answer. */
  readonly scopeId: string;
}

/** Changes payloads on their way to the store and back, for example to encrypt them. */
export interface PayloadCodec {
  readonly name: string;
  seal(text: string, context: SealContext): string;
  /** @throws when the text was changed, belongs elsewhere, or its key is unknown. */
  open(sealed: string, context: SealContext): string;
  /** The name under which equal texts are stored once. Must not reveal the text. */
  digest(text: string, context: SealContext): string;
}
