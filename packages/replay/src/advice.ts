/**
 * What to do about a divergence: keep the old code as a version of its own, or mark the change in the code. The mark is
 * written out as an edit of the source, where the source is there and shows how.
 */
import { type Payload, type RequestBody, samePayload } from "@stet/core";
import { callAt, type SourceCall, type SourcePosition } from "@stet/diagram";
import type { Change, Divergence } from "./divergence.ts";
import { subjectOf, written, writtenCall } from "./recorded-call.ts";

/** Ways to let old instances and new code live together. */
export interface Advice {
  /** Keeping the old code for the old instances. */
  readonly pin: string;
  /** Marking the change. Absent when the difference does not show how. */
  readonly patch?: Patch;
}

/** An edit that lets histories of before replay, and takes new instances the new way. */
export interface Patch {
  readonly changeId: string;
  readonly at: SourcePosition;
  /** What stands there. Empty where something is put in. */
  readonly replace: string;
  readonly by: string;
  /** What is left to do by hand. */
  readonly note?: string;
}

/** See the head of the file. */
export function adviceOn(
  divergence: Divergence & { readonly orchestration?: string; readonly version?: string },
  change: Change,
): Advice {
  const { orchestration = "", version = "1" } = divergence;
  const patch = patchFor(divergence, change);
  return {
    pin: `Keep the code of before registered as orchestration("${orchestration}", { version: "${version}" }, ...), and give today's code version "${nextVersion(version)}"`,
    ...(patch !== undefined && { patch }),
  };
}

function nextVersion(version: string): string {
  const numbers = version.split(".");
  return [...numbers.slice(0, -1), Number(numbers.at(-1)) + 1].join(".");
}

function patchFor({ at, after }: Divergence, change: Change): Patch | undefined {
  const place = at ?? after;
  const call = place && callAt(place);
  if (call === undefined) return undefined;
  switch (change.change) {
    case "added":
      return added(change.asked, call);
    case "removed":
      return removed(change.recorded, call, at === undefined);
    case "replaced":
      return replaced(change.recorded, change.asked, call);
    case "input":
      return otherInput(change.recorded, call);
    case "other":
      return undefined;
  }
}

/** The call is made only by those who come here for the first time. */
function added(asked: RequestBody, call: SourceCall): Patch {
  const changeId = `add-${subjectOf(asked)}`;
  const mark = `${contextOf(call)}.patched("${changeId}")`;
  if (call.statement.isCall) return { changeId, at: call.statement.at, replace: "", by: `if (${mark}) ` };
  return { changeId, at: call.at, replace: call.text, by: `(${mark} ? ${call.text} : undefined)` };
}

/** The call of before is made by those who have made it. */
function removed(recorded: Recorded, call: SourceCall, isBefore: boolean): Patch | undefined {
  const changeId = `drop-${subjectOf(recorded)}`;
  const ctx = contextOf(call);
  const before = writtenCall(recorded, ctx);
  const { statement } = call;
  if (before === undefined || !(isBefore ? statement.goesOn : true)) return undefined;
  const again = `${before.isAwaited ? "await " : ""}${before.text};`;
  const kept = recorded.kind === "ChangeMarked" ? again : `if (!${ctx}.patched("${changeId}")) ${again}`;
  const indent = " ".repeat(statement.at.column - 1);
  return {
    changeId: recorded.kind === "ChangeMarked" ? recorded.changeId : changeId,
    at: isBefore ? statement.end : statement.at,
    replace: "",
    by: isBefore ? `\n${indent}${kept}` : `${kept}\n${indent}`,
    ...noteOn(before.hasData),
  };
}

function replaced(recorded: Recorded, asked: RequestBody, call: SourceCall): Patch | undefined {
  const changeId = `${subjectOf(recorded)}-to-${subjectOf(asked)}`;
  const ctx = contextOf(call);
  const [, input] = call.arguments;
  const isSame = input !== undefined && samePayload(inputOf(recorded), inputOf(asked));
  const before = writtenCall(recorded, ctx, isSame ? input.text : undefined);
  if (before === undefined) return undefined;
  const by = `(${ctx}.patched("${changeId}") ? ${call.text} : ${before.text})`;
  return { changeId, at: call.at, replace: call.text, by, ...noteOn(before.hasData) };
}

function otherInput(recorded: Recorded, call: SourceCall): Patch | undefined {
  const changeId = `${subjectOf(recorded)}-input`;
  const [, input] = call.arguments;
  if (input === undefined) return undefined;
  const before = written(inputOf(recorded)) ?? "undefined";
  const by = `${contextOf(call)}.patched("${changeId}") ? ${input.text} : ${before}`;
  return { changeId, at: input.at, replace: input.text, by, ...noteOn(true) };
}

type Recorded = Parameters<typeof writtenCall>[0];

/** `ctx` of `ctx.activity(...)` and of `ctx.state.set(...)`; a helper's own arguments hide it. */
function contextOf({ receiver }: SourceCall): string {
  return receiver?.replace(/\.state$/, "") ?? "ctx";
}

function inputOf(body: RequestBody): Payload | undefined {
  return "input" in body ? body.input : undefined;
}

function noteOn(hasData: boolean): { readonly note?: string } {
  return hasData
    ? { note: "What was recorded is the data of one instance: write it as the code of before computed it." }
    : {};
}
