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

/**
 * The question that comes next, as short as it has to be.
 *
 * @param now - What the model is told last.
 */
export async function question(run: Run, now: string): Promise<LlmMessage[]> {
  const { memory, spec } = run;
  const fits = (messages: readonly LlmMessage[]): boolean => bytesOf(messages) <= spec.memory.maxTokens * bytesPerToken;
  const messages = (): LlmMessage[] => conversation(memory, spec.planning, spec.system, now);
  const old = memory.iterations.slice(0, -spec.memory.keepLast);
  let whole = messages();
  if (!fits(whole) && old.length > 0) {
    for (const iteration of old) shorten(iteration);
    whole = messages();
  }
  if (!fits(whole) && old.length > 0) {
    await summarise(run, old);
    whole = messages();
  }
  // The last ones alone are too long: a question that the model cannot take would help nobody.
  for (let i = 0; i < memory.iterations.length && !fits(whole); i++) {
    shorten(memory.iterations[i] as Iteration);
    whole = messages();
  }
  return whole;
}

function bytesOf(messages: readonly LlmMessage[]): number {
  return messages.reduce((sum, { content, toolCalls }) => {
    return (
      sum + Buffer.byteLength(content) + (toolCalls === undefined ? 0 : Buffer.byteLength(JSON.stringify(toolCalls)))
    );
  }, 0);
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
