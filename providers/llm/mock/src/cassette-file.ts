/** The file of a cassette: JSON, to be read, reviewed and kept under version control. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  ConfigurationError,
  type LlmCapabilities,
  type LlmErrorKind,
  type LlmRequest,
  type LlmResponse,
  type LlmUsage,
} from "@stet/core";

/** All of a cassette. */
export interface CassetteFile {
  /** The version of the format. */
  readonly cassette: 1;
  readonly name: string;
  readonly model: string;
  readonly capabilities: LlmCapabilities;
  /** Whether the model makes vectors. */
  readonly embeds: boolean;
  readonly entries: readonly CassetteEntry[];
}

/** One question and what came of it. */
export interface CassetteEntry {
  readonly operation: string;
  readonly label?: string;
  readonly asked: LlmRequest;
  readonly outcome: Outcome;
}

/** What came of a question. */
export type Outcome =
  | { readonly answered: LlmResponse }
  | { readonly embedded: { readonly vectors: number[][]; readonly model: string; readonly usage: LlmUsage } }
  | {
      readonly failed: {
        readonly kind: LlmErrorKind;
        readonly message: string;
        readonly status?: number;
        readonly usage?: LlmUsage;
      };
    };

/** @throws ConfigurationError when there is no such file, or it is no cassette */
export function readCassette(file: string): CassetteFile {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigurationError(`Expected the cassette ${file} to be there, got ${code}: record it first`);
  }
  const parsed = parse(text);
  if (!isCassette(parsed)) {
    throw new ConfigurationError(`Expected ${file} to be a cassette of version 1, got another text: record it again`);
  }
  return parsed;
}

/** Writes all of it, so that a crash leaves the old file or the new one. */
export function writeCassette(file: string, content: CassetteFile): void {
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.${process.pid}.next`;
  writeFileSync(next, `${JSON.stringify(content, vectorsAsText, 2)}\n`);
  renameSync(next, file);
}

/** A vector is a line of its own instead of thousands. */
function vectorsAsText(name: string, value: unknown): unknown {
  return name === "vectors" && Array.isArray(value) ? value.map((vector) => JSON.stringify(vector)) : value;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text, (name, value: unknown) =>
      name === "vectors" && Array.isArray(value) ? value.map((vector) => JSON.parse(String(vector)) as unknown) : value,
    );
  } catch {
    return undefined;
  }
}

/** Written by us or edited by hand: its frame is checked, and what is in it is believed. */
function isCassette(value: unknown): value is CassetteFile {
  if (typeof value !== "object" || value === null) return false;
  const { cassette, name, model, capabilities, entries } = value as Partial<CassetteFile>;
  return (
    cassette === 1 &&
    typeof name === "string" &&
    typeof model === "string" &&
    typeof capabilities === "object" &&
    Array.isArray(entries) &&
    entries.every(isEntry)
  );
}

function isEntry(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { asked, outcome } = value as Partial<CassetteEntry>;
  return Array.isArray(asked?.messages) && typeof outcome === "object";
}
