/**
 * The tally: one line in a file for each model call that is really made, and one for each kill. It is kept beside the
 * database and not in it, so that history can be held against something that it did not write itself.
 */
import type { LlmProvider } from "@stet/core";
import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** A line of the file. */
type TallyLine =
  | { readonly kind: "asked" | "answered" | "failed"; readonly key: string; readonly operation: string }
  | ({ readonly kind: "killed"; readonly pid: number } & Pick<Kill, "lastEventIds">);

/** What the file comes to. */
export interface Tally {
  readonly kills: readonly Kill[];
  /** By idempotency key. */
  readonly calls: ReadonlyMap<string, Call>;
}

/** A worker was killed. */
export interface Kill {
  /** The number of its line. */
  readonly line: number;
  /** The last event that each instance had in the database at that moment. */
  readonly lastEventIds: { readonly [instanceId: string]: number };
}

/** A model call, as often as it was made: the numbers of its lines. */
export interface Call {
  readonly asked: number[];
  readonly answered: number[];
  readonly failed: number[];
}

/** Adds a line. It is in the file when this returns, whatever happens to the process next. */
export function writeTally(file: string, line: TallyLine): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`);
}

/** The whole tally. */
export function readTally(file: string): Tally {
  const text = existsSync(file) ? readFileSync(file, "utf8").trimEnd() : "";
  const lines: TallyLine[] = text === "" ? [] : text.split("\n").map((line) => JSON.parse(line));
  const kills: Kill[] = [];
  const calls = new Map<string, Call>();
  lines.forEach((line, number) => {
    if (line.kind === "killed") kills.push({ line: number, lastEventIds: line.lastEventIds });
    else {
      const call = calls.get(line.key) ?? { asked: [], answered: [], failed: [] };
      call[line.kind].push(number);
      calls.set(line.key, call);
    }
  });
  return { kills, calls };
}

/** A model that writes each of its calls into a tally. */
export function tallied(llm: LlmProvider, file: string): LlmProvider {
  return {
    name: llm.name,
    model: llm.model,
    capabilities: llm.capabilities,
    async complete(request, options) {
      const { idempotencyKey: key, operation } = options;
      writeTally(file, { kind: "asked", key, operation });
      try {
        const response = await llm.complete(request, options);
        writeTally(file, { kind: "answered", key, operation });
        return response;
      } catch (error) {
        writeTally(file, { kind: "failed", key, operation });
        throw error;
      }
    },
  };
}

/** The idempotency key under which the model call of an event is made. */
export function keyOf(instanceId: string, eventId: number): string {
  return `${instanceId}/1/${eventId}`;
}
