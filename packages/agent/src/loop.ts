/**
 * The life of an agent: one iteration is one execution of its instance. What it knows goes along as state; what happened
 * stays in the history of the execution in which it happened.
 */
import { isStetError, type OrchestrationContext } from "@stet/core";
import { act } from "./actions.ts";
import type { AgentSpec } from "./agent-options.ts";
import { question } from "./context-window.ts";
import { checkpoint } from "./inbox.ts";
import { type Iteration, recall, remember, spent, tally } from "./memory.ts";
import { type AgentResult, Ending } from "./outcome.ts";
import type { Plan } from "./plan.ts";
import { askForPlan } from "./planner.ts";
import { present } from "./prompts.ts";
import { noticeRepetition } from "./progress.ts";
import { type Run, run as begin, stand, tell } from "./run.ts";

/** Under which calls of tools are counted that do not exist: their names are the model's, and there may be many. */
const unknownTool = "(unknown)";

/** Runs an iteration, and continues as new or ends. */
export async function live(
  ctx: OrchestrationContext,
  spec: AgentSpec,
  input: { readonly goal: string; readonly toolSet?: string | undefined },
): Promise<AgentResult> {
  const memory = recall(ctx, input.goal);
  const run = begin(ctx, spec, memory);
  try {
    await iterate(run);
  } catch (error) {
    return conclude(run, endingOf(error));
  }
  remember(ctx, memory);
  return ctx.continueAsNew(input);
}

/** @throws Ending when it was the last one. */
async function iterate(run: Run): Promise<void> {
  const { ctx, spec, memory } = run;
  await checkpoint(run);
  stand(run, "planning");
  const heard = present(memory, spec.bounds.maxIterations);
  const answer = await askForPlan(ctx, await question(run, heard), spec, run.within);
  memory.news = [];
  const unheard = "plan" in answer ? await endUnlessSpokenTo(run, answer.plan) : undefined;
  const acted = "plan" in answer ? await act(run, answer.plan) : { actions: [], mistake: answer.mistake };
  if (unheard !== undefined) memory.news.unshift(unheard);
  const { thought, parallel } = "plan" in answer ? answer.plan : { thought: "", parallel: false };
  const known = new Set([...spec.tools, ...spec.forbidden].map(({ name }) => name));
  for (const { tool, status } of acted.actions) tally(memory, known.has(tool) ? tool : unknownTool, status);
  memory.iterations.push({
    number: ++memory.iteration,
    execution: ctx.execution,
    heard,
    thought,
    parallel,
    actions: acted.actions,
  });
  learn(run, memory.iterations.at(-1) as Iteration, acted.mistake);
}

/**
 * Ends an agent whose model says that it is done. Not beside actions, whose results it has not seen, and not when somebody
 * has spoken meanwhile: then it answers with what the model is to be told.
 */
async function endUnlessSpokenTo(run: Run, { finish, actions }: Plan): Promise<string | undefined> {
  if (finish === undefined) return undefined;
  if (actions.length > 0) return "You were not done: there were actions beside it. Look at what came of them first.";
  await checkpoint(run);
  if (run.memory.news.length > 0) return `You were not done with "${finish.summary}": this has come meanwhile.`;
  run.memory.iteration++;
  throw new Ending(finish.reason, finish.summary);
}

/** Counts what went wrong, and ends what leads nowhere. */
function learn(run: Run, { thought, actions }: Iteration, mistake: string | undefined): void {
  const { memory, spec } = run;
  const { maxMistakes, maxRepeats, maxIterations } = spec.bounds;
  memory.mistakes = mistake === undefined ? 0 : memory.mistakes + 1;
  if (mistake !== undefined) {
    memory.news.push(`Your last answer could not be used: ${mistake}.`);
    tell(run, { kind: "mistaken", iteration: memory.iteration, problem: mistake });
  } else {
    noticeRepetition(memory, actions);
    if (memory.repeats > 0) {
      memory.news.push("You have done just that before, and it came to the same. Do something else, or finish.");
    }
  }
  const last = thought === "" ? "" : ` Its last thought: ${thought}`;
  if (memory.mistakes >= maxMistakes) {
    throw new Ending("no_progress", `It made ${memory.mistakes} mistakes in a row, the last one: ${mistake}.${last}`);
  }
  if (memory.repeats >= maxRepeats) {
    throw new Ending("no_progress", `It repeated itself ${memory.repeats} times in a row.${last}`);
  }
  if (memory.iteration >= maxIterations) {
    throw new Ending("max_iterations", `It was not done after ${maxIterations} iterations.${last}`);
  }
}

/** What ends an agent. @throws what is no end of an agent, but a failure. */
function endingOf(error: unknown): Ending {
  if (error instanceof Ending) return error;
  if (isStetError(error, "cancelled")) return new Ending("cancelled", `It was cancelled: ${error.message}`);
  if (isStetError(error, "budget_exceeded")) return new Ending("budget_exceeded", error.message);
  throw error;
}

function conclude(run: Run, { outcome, message: summary }: Ending): AgentResult {
  const { ctx, memory } = run;
  const usage = spent(ctx, memory);
  tell(run, { kind: "ended", outcome, summary, costUsd: usage.usd });
  return { outcome, summary, iterations: memory.iteration, usage, costUsd: usage.usd, actions: memory.actions };
}
