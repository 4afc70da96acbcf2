/** Carrying out one action that may run: by its tool, and when that has failed for good by the fallback of the tool. */
import type { Payload } from "@stet/core";
import { call, type Called } from "./calling.ts";
import { rulingOn } from "./judging.ts";
import { actionHash } from "./progress.ts";
import type { Run } from "./run.ts";
import type { Tool } from "./tool.ts";

/** An action that was judged and, where it must be, approved. */
export interface Permitted {
  readonly id: string;
  readonly tool: Tool;
  /** As they were approved. */
  readonly args: Payload;
  /** As the tool takes them. */
  readonly input: unknown;
  /** Whether people have approved of its fallback, where that needs it. */
  readonly mayFallBack: boolean;
}

/** Carries it out. That another tool did it, or why none did, is said in the result. */
export async function carryOut(run: Run, action: Permitted): Promise<Called> {
  const { tool, args, mayFallBack } = action;
  const failed = await callOnce(run, action);
  const fallback = run.spec.tools.find(({ name }) => name === tool.fallback);
  if (failed.status !== "failed" || tool.fallback === undefined) return failed;
  const unused = (why: string): Called => ({
    ...failed,
    result: `${failed.result}\nIts fallback ${tool.fallback} was not used: ${why}`,
  });
  if (fallback === undefined) return unused("this agent may not call it");
  const { verdict } = rulingOn(run, fallback, args);
  if (verdict === "deny") return unused("a rule of this agent denies it");
  if (verdict === "ask" && !mayFallBack) return unused("a person would have to approve of it");
  const read = fallback.read(args);
  if (!("value" in read)) return unused(`the arguments do not fit it: ${read.problem}`);
  const called = await callOnce(run, { ...action, tool: fallback, input: read.value });
  return {
    ...called,
    result: `${tool.name} failed: ${failed.result}\nIts fallback ${fallback.name} was called instead, and this came of it:\n${called.result}`,
  };
}

/** Calls a tool, and keeps in mind whether anybody knows what came of it. */
async function callOnce(run: Run, { tool, args, input, id }: Permitted): Promise<Called> {
  const called = await call(run, tool, input, id);
  const hash = actionHash(tool.name, args);
  const { uncertain } = run.memory;
  if (called.status === "unknown") run.memory.uncertain = [...new Set([...uncertain, hash])];
  else run.memory.uncertain = uncertain.filter((other) => other !== hash);
  return called;
}
