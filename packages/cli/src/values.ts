/** What people type as options and arguments, read and checked. Wrong ones are refused before anything is opened. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { InvalidArgumentError } from "@commander-js/extra-typings";
import { ConfigurationError, type Duration, InputError, type Labels } from "@stet/core";
import { durationMs } from "@stet/core/internal";
import type { Io } from "./io.ts";

/** A whole number from 1. */
export function count(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1) return number;
  throw new InvalidArgumentError("Expected a whole number from 1.");
}

/** A whole number from 0. */
export function offset(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a whole number from 0.");
}

/** An amount of something that can be divided. */
export function amount(text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && number >= 0) return number;
  throw new InvalidArgumentError("Expected a number from 0.");
}

/** A duration such as `90s` or `7d`. */
export function milliseconds(text: string): number {
  try {
    return durationMs(text as Duration, "it");
  } catch {
    throw new InvalidArgumentError('Expected a duration such as "500ms", "30s", "5m", "2h" or "7d".');
  }
}

/** An instant: a date, or how long ago. */
export function instant(text: string): Date {
  const date = new Date(text);
  if (!Number.isNaN(date.getTime())) return date;
  try {
    return new Date(Date.now() - milliseconds(text));
  } catch {
    throw new InvalidArgumentError('Expected a date such as 2026-11-21T10:00Z, or how long ago, such as "2h".');
  }
}

/** One `key=value`, put to those before it. */
export function label(text: string, labels: Labels = {}): Labels {
  const at = text.indexOf("=");
  if (at > 0) return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
  throw new InvalidArgumentError("Expected KEY=VALUE.");
}

/**
 * A payload: JSON, `@FILE` with JSON in it, or `@-` for standard input.
 *
 * @throws InputError when it is no JSON.
 * @throws ConfigurationError when the file cannot be read.
 */
export async function payload(text: string | undefined, what: string, io: Io): Promise<unknown> {
  if (text === undefined) return undefined;
  const json = text.startsWith("@") ? await textOf(text.slice(1), io) : text;
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw new InputError(
      `Expected ${what} to be JSON, got ${json.length > 80 ? `${json.slice(0, 80)}...` : json} (a text needs its quotes: '"like this"')`,
      { cause: error },
    );
  }
}

/** The text of a file, or of standard input when it is called `-`. @throws ConfigurationError when it cannot be read. */
export async function textOf(file: string, io: Io): Promise<string> {
  if (file === "-") {
    const chunks: Uint8Array[] = [];
    for await (const chunk of io.stdin) chunks.push(Buffer.from(chunk));
    return Buffer.concat(chunks).toString("utf8");
  }
  try {
    return await readFile(resolve(io.cwd, file), "utf8");
  } catch (error) {
    throw new ConfigurationError(`Expected ${file} to be a readable file, got ${(error as Error).message}`, {
      cause: error,
    });
  }
}
