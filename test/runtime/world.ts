/**
 * What the chapters share: an environment that closes with its test and replays every history when it does, gates that
 * tests open, and a logger that remembers.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { isStetError, type HistoryEvent, type Logger, type LogFields, type StetError } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment, type TestEnvironmentOptions } from "@stet/testing";

/** Options of {@link environment}: in memory and silent unless they say otherwise. */
export type WorldOptions = Partial<TestEnvironmentOptions>;

/** An environment that lives as long as its test. */
export async function environment(t: TestContext, options: WorldOptions = {}): Promise<TestEnvironment> {
  const env = await TestEnvironment.start({ storage: sqlite(":memory:"), logger: journal(), ...options });
  // Virtual time keeps no process alive: a test that hangs must reach its time limit, not the end of the event loop.
  const alive = setInterval(() => undefined, 60_000);
  t.after(() => env.close().finally(() => clearInterval(alive)), { timeout: 10_000 });
  return env;
}

let scratch: string | undefined;

/** An empty folder. It goes with the process: a store must not lose its file before its test has closed it. */
export function newFolder(): string {
  if (scratch === undefined) {
    const made = mkdtempSync(join(tmpdir(), "stet-"));
    process.once("exit", () => rmSync(made, { recursive: true, force: true }));
    scratch = made;
  }
  return mkdtempSync(join(scratch, "test-"));
}

/** A door that is closed until the test opens it. */
export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

/** Makes a {@link Gate}. */
export function gate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Rejects with the reason of the signal, once it is aborted. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
}

/** One line of a {@link Journal}. */
export interface JournalLine {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** A logger that remembers. */
export interface Journal extends Logger {
  readonly lines: JournalLine[];
}

/** Makes a {@link Journal}. */
export function journal(): Journal {
  const lines: JournalLine[] = [];
  const at = (level: keyof Logger) => (message: string, fields?: LogFields) => {
    lines.push({ level, message, fields });
  };
  return { lines, debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** The kinds of events in order. */
export function kinds(events: readonly HistoryEvent[]): string[] {
  return events.map(({ kind }) => kind);
}

/** The events of one kind. */
export function ofKind<Kind extends HistoryEvent["kind"]>(
  events: readonly HistoryEvent[],
  kind: Kind,
): Extract<HistoryEvent, { kind: Kind }>[] {
  return events.filter((event): event is Extract<HistoryEvent, { kind: Kind }> => event.kind === kind);
}

/** Checks an error of the family by code and message; for `assert.rejects` and `assert.throws`. */
export function fails(code: string, message?: string | RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isStetError(error), `Expected an error of the family, got ${String(error)}`);
    assert.equal(error.code, code, error.message);
    if (typeof message === "string") assert.equal(error.message, message);
    else if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

/** The chain of causes below an error, by code. */
export function causes(error: StetError): string[] {
  const codes: string[] = [];
  for (let cause: unknown = error.cause; isStetError(cause); cause = cause.cause) codes.push(cause.code);
  return codes;
}

/** All that an iterator yields until it ends. */
export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
