/** Judging a plan before anything of it runs: tools that exist, arguments that fit, what is forbidden or needs a person. */
import type { Payload } from "@stet/core";
import { ask, rule, type Ruling } from "./guardrails.ts";
import { spent } from "./memory.ts";
import type { PlannedAction } from "./plan.ts";
import { actionHash } from "./progress.ts";
import { finishTool } from "./prompts.ts";
import type { Run } from "./run.ts";
import type { Tool } from "./tool.ts";

/** What a planned action turned out to be. */
export type Judged =
  /** It cannot be run, and neither can the plan: the model is told what is wrong. */
  | { readonly kind: "mistake"; readonly problem: string }
  | {
      readonly kind: "action";
      readonly tool: Tool;
      readonly input: unknown;
      readonly ruling: Ruling;
      /** Whether who approves of it approves of its fallback as well. */
      readonly asksForFallback: boolean;
    };

/** Judges one action of a plan. */
export function judge(run: Run, { tool: name, arguments: args }: PlannedAction): Judged {
  const { spec } = run;
  const known = spec.tools.find((tool) => tool.name === name);
  if (known === undefined) return { kind: "mistake", problem: strange(run, name) };
  const read = known.read(args);
  if (!("value" in read)) return { kind: "mistake", problem: `the arguments of ${name} do not fit: ${read.problem}` };
  return { kind: "action", tool: known, input: read.value, ...withFallback(run, known, args) };
}

/** All of a plan is decided before any of it runs, so what its fallback would need a person for is asked with the action. */
function withFallback(
  run: Run,
  tool: Tool,
  args: Payload,
): { readonly ruling: Ruling; readonly asksForFallback: boolean } {
  const ruling = rulingOn(run, tool, args);
  const fallback = run.spec.tools.find(({ name }) => name === tool.fallback);
  const second = fallback && rulingOn(run, fallback, args);
  if (ruling.verdict === "deny" || second?.verdict !== "ask") return { ruling, asksForFallback: false };
  const reasons = ruling.verdict === "ask" ? [ruling.why] : [];
  const why = [...reasons, `its fallback ${tool.fallback}: ${second.why}`].join("; ");
  return { ruling: { ...second, why }, asksForFallback: true };
}

/** What the rules say of a call. An irreversible one that may have happened already is for people to decide. */
export function rulingOn(run: Run, tool: Tool, args: Payload): Ruling {
  const { ctx, spec, memory } = run;
  const usage = spent(ctx, memory);
  const proposed = {
    agent: spec.name,
    tool: tool.name,
    arguments: args,
    effect: tool.effect,
    iteration: memory.iteration + 1,
    costUsd: usage.usd,
    usage,
  };
  const ruling = rule(tool, proposed, spec.rules);
  const mayHaveHappened = memory.uncertain.includes(actionHash(tool.name, args));
  if (ruling.verdict !== "allow" || !mayHaveHappened) return ruling;
  return ask("the same call was cut off before, and nobody knows whether it happened", spec.rules);
}

function strange({ spec }: Run, name: string): string {
  if (name === finishTool.name) return "finish must be called alone: look at the results of the others first";
  if (spec.forbidden.some((tool) => tool.name === name)) return `${name} is forbidden to this agent`;
  const names = spec.tools.map((tool) => tool.name).join(", ");
  return `there is no tool ${name}: the tools are ${names === "" ? "none" : names}`;
}
