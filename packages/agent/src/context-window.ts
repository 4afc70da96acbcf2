/**
 * Keeping the question to the model within its bound. What is oldest gives way first: results are shortened, then whole
 * iterations are summarised, and what is left out is said to be. All of it stays in the history of its execution.
 */
import { isStetError, type LlmMessage } from "@stet/core";
import type { Iteration, RememberedAction } from "./memory.ts";
import { chronicle, conversation } from "./prompts.ts";
import { type Run, tell } from "./run.ts";

/** What is left of a result that is shortened. */
const shortLength = 200;

/** Words of a summary. */
const summaryWords = 250;

const bytesPerToken = 4;

/** The question that comes next, as short as it has to be. */
export async function question(run: Run): Promise<LlmMessage[]> {
  const { memory, spec } = run;
  const old = (): Iteration[] =>
    memory.iterations.slice(0, Math.max(0, memory.iterations.length - spec.memory.keepLast));
  if (isTooLong(run)) for (const iteration of old()) shorten(iteration);
  if (isTooLong(run) && old().length > 0) await summarise(run, old());
  // The last ones alone are too long: a question that is refused by the model would help nobody.
  for (const iteration of memory.iterations) if (isTooLong(run)) shorten(iteration);
  return messagesOf(run);
}

function messagesOf({ memory, spec }: Run): LlmMessage[] {
  return conversation(memory, spec.planning, spec.system, spec.bounds.maxIterations);
}

function isTooLong(run: Run): boolean {
  const bytes = messagesOf(run).reduce((sum, { content, toolCalls }) => {
    return (
      sum + Buffer.byteLength(content) + (toolCalls === undefined ? 0 : Buffer.byteLength(JSON.stringify(toolCalls)))
    );
  }, 0);
  return bytes > run.spec.memory.maxTokens * bytesPerToken;
}

function shorten({ actions, execution }: Iteration): void {
  for (const action of actions) if (action.shortened !== true) shortenResult(action, execution);
}

function shortenResult(action: RememberedAction, execution: number): void {
  const { result } = action;
  if (result.length <= 2 * shortLength) return;
  action.result = `${result.slice(0, shortLength)}\n... (shortened: there were ${result.length} characters, see execution ${execution})`;
  action.shortened = true;
}

/** The model says in few words what happened, and the iterations themselves are forgotten. */
async function summarise(run: Run, old: readonly Iteration[]): Promise<void> {
  const { memory } = run;
  const [first, last] = [old[0] as Iteration, old.at(-1) as Iteration];
  const before = memory.summary;
  const text = [...(before === undefined ? [] : [`Before that:\n${before.text}`]), chronicle(old)].join("\n\n");
  memory.summary = {
    text: await inFewWords(run, text),
    iterations: last.number,
    executions: [before?.executions[0] ?? first.execution, last.execution],
  };
  memory.iterations = memory.iterations.slice(old.length);
  tell(run, { kind: "summarised", iterations: last.number });
}

async function inFewWords({ ctx, spec, within }: Run, text: string): Promise<string> {
  const { stream: _, ...model } = spec.model;
  try {
    return await within(ctx.summarize(text, { maxWords: summaryWords }, { ...model, label: `${spec.name} memory` }));
  } catch (error) {
    if (!isStetError(error, "llm_output_invalid")) throw error;
    return "(The model gave no summary of them.)";
  }
}
