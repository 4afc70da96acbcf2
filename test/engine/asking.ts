/** What the chapters about model calls share: an orchestration that does nothing but ask, and what becomes of answers. */
import assert from "node:assert/strict";
import { orchestration, type AnyOrchestration, type LlmRequested, type OrchestrationContext } from "@stet/core";
import { answer, given, start, type TestMessage, type TurnReport } from "@stet/testing";
import { bothWays } from "./both-ways.ts";

export type Ask = (ctx: OrchestrationContext) => unknown;

/** An orchestration that does nothing but ask. */
export const asking = (ask: Ask): AnyOrchestration => orchestration("asking", (ctx) => ask(ctx));

/** The first question of a call. */
export async function questionOf(ask: Ask): Promise<LlmRequested> {
  const turn = await given(asking(ask)).when(start());
  const question = turn.events[1];
  assert.ok(question?.kind === "LlmRequested", JSON.stringify(turn.closing ?? turn.failure?.message));
  return question;
}

/** What a call comes to when the model says this, one answer after another. */
export async function answered(ask: Ask, ...texts: readonly string[]): Promise<TurnReport> {
  let source = 2;
  const turns = texts.map((text) => {
    const turn: readonly TestMessage[] = [answer.said(source, text)];
    source += 2;
    return turn;
  });
  return bothWays(asking(ask), [[start()], ...turns]);
}

/** The last words of each question, the first one's first. */
export function lastWordsOf({ history }: TurnReport): string[] {
  return history.flatMap((event) =>
    event.kind === "LlmRequested" ? [event.request.messages.at(-1)?.content ?? ""] : [],
  );
}
