/** Tools that come with the house. They run in the agent itself and need no registration. */
import { check, jsonSchemaOf } from "@stet/core/internal";
import { z } from "zod";
import type { BuiltIn, Tool } from "./tool.ts";

/** Longest wait that a model may ask for in one action. */
const longestWaitMinutes = 60 * 24 * 7;

/** Longest note that a model may keep. */
const longestNote = 2_000;

/** Lets time pass, by a durable timer. A message to the agent ends it early. */
export const wait: Tool = builtIn(
  "wait",
  "Waits until time has passed, or until somebody writes to you. Use it when something needs time.",
  z.object({ minutes: z.number().positive().max(longestWaitMinutes) }),
);

/** Asks the people in charge and waits for what they write. */
export const askHuman: Tool = builtIn(
  "ask_human",
  "Asks the people in charge a question and waits for their answer. Use it when you cannot know or must not decide.",
  z.object({ question: z.string().min(1) }),
);

/** Keeps a text in memory, where it is never shortened. */
export const note: Tool = builtIn(
  "note",
  "Keeps a short text that you will still need much later. All notes are shown to you every time.",
  z.object({ text: z.string().min(1).max(longestNote) }),
);

function builtIn(name: BuiltIn["name"], description: string, parameters: z.ZodType): Tool {
  return Object.freeze<Tool>({
    kind: "tool",
    name,
    description,
    parameters: jsonSchemaOf(parameters),
    examples: [],
    approval: false,
    effect: "pure",
    callOptions: {},
    requires: [],
    definition: { kind: "builtIn", name },
    read: (args) => check(parameters, args, `the arguments of tool ${name}`),
    readAnswer: (value) => ({ value }),
  });
}
