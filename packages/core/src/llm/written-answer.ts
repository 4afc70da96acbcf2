/**
 * Writing what a model said: the way back from a value that an operation answers to the words that it is read from. For
 * forks in which the model is taken to have said something else.
 */
import { z } from "zod";
import type { LlmRequested } from "../events.ts";
import { shown } from "../options.ts";
import type { Payload } from "../payload.ts";
import { check, schemaOfJson } from "../schema.ts";
import type { Reading } from "./answers.ts";
import type { LlmAnswer } from "./conversation.ts";

const assistantMessage = z.strictObject({
  role: z.literal("assistant").optional(),
  content: z.string(),
  toolCalls: z.array(z.strictObject({ id: z.string(), name: z.string(), arguments: z.json() })).optional(),
});

/** The words from which the operation of a request reads this value, or why there are none. */
export function writtenAnswer({ operation, request }: LlmRequested, value: Payload | undefined): Reading<LlmAnswer> {
  if (request.format !== undefined) {
    const checked = check(schemaOfJson(request.format.schema), value, "the answer");
    return "problem" in checked ? checked : { value: { text: JSON.stringify(checked.value) } };
  }
  if (operation === "ifTrue") {
    return typeof value === "boolean" ? { value: { text: String(value) } } : wrong("true or false", value);
  }
  if (typeof value === "string") return { value: { text: value } };
  if (operation !== "chat") return wrong("a text", value);
  const { success, data } = assistantMessage.safeParse(value);
  if (!success) return wrong("a text or a message of the assistant", value);
  const { content: text, toolCalls } = data;
  return {
    value: { text, ...(toolCalls !== undefined && { toolCalls: toolCalls as LlmAnswer["toolCalls"] & object }) },
  };
}

function wrong(expected: string, value: Payload | undefined): Reading<never> {
  return { problem: `expected ${expected}, got ${shown(value)}` };
}
