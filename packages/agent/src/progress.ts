/** Noticing that an agent goes round in circles: the same action, with the same result, again. */
import { canonicalHash, type Payload } from "@stet/core";
import type { AgentMemory, RememberedAction } from "./memory.ts";

/** Hashes that are kept: a circle that is longer is ended by the bound of iterations. */
const mostSeen = 100;

/** Tools whose repetition is news: time has passed, or a person has spoken. */
const alwaysNew: ReadonlySet<string> = new Set(["wait", "ask_human"]);

/** Counts an iteration that only repeated what had been, and forgets the count after one that did not. */
export function noticeRepetition(memory: AgentMemory, actions: readonly RememberedAction[]): void {
  if (actions.length === 0) return;
  const known = new Set(memory.seen);
  const hashes = actions.map(({ tool, arguments: args, status, result }) => hash([tool, args, status, result]));
  const isRepetition = hashes.every((seen, i) => known.has(seen) && !alwaysNew.has(actions[i]?.tool ?? ""));
  memory.repeats = isRepetition ? memory.repeats + 1 : 0;
  memory.seen = [...memory.seen.filter((seen) => !hashes.includes(seen)), ...new Set(hashes)].slice(-mostSeen);
}

/** Names an action by what it does. */
export function actionHash(tool: string, args: unknown): string {
  return hash([tool, args as Payload]);
}

function hash(value: Payload): string {
  return canonicalHash(value).slice(0, 16);
}
