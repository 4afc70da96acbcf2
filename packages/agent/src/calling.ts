/** Calling one tool: what it answered, as the model is to see it. Failures are answers too; only the agent's end is not. */
import { type Activity, isStetError, type Orchestration, type Payload, TimeoutError } from "@stet/core";
import { sumOfUsage } from "@stet/core/internal";
import { heed, nextNote } from "./inbox.ts";
import type { ActionStatus } from "./memory.ts";
import { type AgentResult, Ending } from "./outcome.ts";
import { type Run, stand, tell } from "./run.ts";
import type { BuiltIn, Tool } from "./tool.ts";

/** What came of a call. */
export interface Called {
  readonly status: ActionStatus;
  readonly result: string;
  /** Whether it comes from outside. */
  readonly isMaterial: boolean;
}

/** All notes together: they are shown every time. */
const mostNoted = 8_000;

/** Calls a tool with arguments that fit. */
export async function call(run: Run, tool: Tool, input: unknown, actionId: string): Promise<Called> {
  const { definition } = tool;
  try {
    if (definition.kind === "builtIn") return await callBuiltIn(run, definition, input, actionId);
    if ("agent" in definition) return await callAgent(run, tool, input);
    const read = tool.readAnswer(await answerOf(run, tool, input));
    if ("value" in read) return { status: "completed", result: asText(read.value), isMaterial: true };
    return { status: "failed", result: `it did not answer as it should: ${read.problem}`, isMaterial: true };
  } catch (error) {
    if (error instanceof Ending || isStetError(error, "cancelled")) throw error;
    const { effect } = tool;
    const isUnknown =
      isStetError(error, "outcome_unknown") || (effect === "irreversible" && isStetError(error, "timeout"));
    return { status: isUnknown ? "unknown" : "failed", result: reasonOf(error), isMaterial: true };
  }
}

function answerOf(run: Run, { definition, callOptions, timeoutMs }: Tool, input: unknown): Promise<unknown> {
  const { ctx } = run;
  if (definition.kind === "activity") {
    return run.within(ctx.activity(definition as Activity<unknown>, input, callOptions));
  }
  const child = ctx.subOrchestration(definition as Orchestration<unknown>, input);
  if (timeoutMs === undefined) return run.within(child);
  const limit = ctx.timer(timeoutMs);
  const first = ctx.race({ child, limit }).then((winner) => {
    if (winner.winner === "child") return winner.value;
    throw new TimeoutError(`Expected ${definition.name} to answer within ${timeoutMs / 1000} s, got nothing`);
  });
  return run.within(Object.assign(first, { cancel: (reason?: string) => child.cancel(reason) }));
}

/** What an agent below used is counted with this one. */
async function callAgent(run: Run, tool: Tool, input: unknown): Promise<Called> {
  const { outcome, summary, usage } = (await answerOf(run, tool, input)) as AgentResult;
  run.memory.usage = sumOfUsage(run.memory.usage, usage);
  if (outcome === "success") return { status: "completed", result: summary, isMaterial: true };
  return { status: "failed", result: `${outcome}: ${summary}`, isMaterial: true };
}

async function callBuiltIn(run: Run, { name }: BuiltIn, input: unknown, actionId: string): Promise<Called> {
  switch (name) {
    case "wait":
      return letTimePass(run, (input as { minutes: number }).minutes * 60_000);
    case "ask_human":
      return askPeople(run, (input as { question: string }).question, actionId);
    case "note":
      return keep(run, (input as { text: string }).text);
  }
}

/** What was said after the plan was made ends the wait as well, however early: the model has not heard it. */
async function letTimePass(run: Run, ms: number): Promise<Called> {
  const { ctx, memory } = run;
  const until = ctx.now() + ms;
  stand(run, "waiting");
  while (memory.news.length === 0) {
    const note = await nextNote(run, {}, until);
    if (note === "late") break;
    heed(run, note);
  }
  stand(run, "acting");
  const result = memory.news.length === 0 ? "The time is over." : "Somebody wrote to you before the time was over.";
  return { status: "completed", result, isMaterial: false };
}

async function askPeople(run: Run, question: string, actionId: string): Promise<Called> {
  tell(run, { kind: "asked", actionId, question });
  stand(run, "waiting for an answer");
  const { goal } = run.memory;
  for (;;) {
    const note = await nextNote(run, { question: { actionId, text: question } });
    if (note !== "late" && note.kind === "message") {
      stand(run, "acting");
      return { status: "completed", result: `${note.by ?? "The people in charge"}: ${note.text}`, isMaterial: false };
    }
    if (note !== "late") heed(run, note);
    if (run.memory.goal !== goal) return { status: "skipped", result: "the goal was changed", isMaterial: false };
  }
}

function keep({ memory }: Run, text: string): Called {
  const length = [...memory.notes, text].join("").length;
  if (length > mostNoted) {
    const result = `there is room for ${mostNoted} characters of notes, and this would make ${length}`;
    return { status: "failed", result, isMaterial: false };
  }
  memory.notes.push(text);
  return { status: "completed", result: "Noted.", isMaterial: false };
}

function asText(value: unknown): string {
  if (value === undefined) return "nothing";
  return typeof value === "string" ? value : JSON.stringify(value as Payload);
}

/** What went wrong, in the words of whoever it went wrong for. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
