/**
 * Reading what a model said: each reader turns a text into a value, or says what is wrong with it in words that go back
 * to the model.
 */
import { z } from "zod";
import { check, type Schema } from "../schema.ts";
import type { JsonSchema } from "./conversation.ts";
import type { Sentiment } from "./operations.ts";
import { countWords } from "./words.ts";

/** The value, or why there is none. */
export type Reading<Value> = { readonly value: Value } | { readonly problem: string };

/** `true` or `false`, also as yes or no, in any case and with a full stop. */
export function readBoolean(text: string): Reading<boolean> {
  const word = bare(text).toLowerCase();
  if (word === "true" || word === "yes") return { value: true };
  if (word === "false" || word === "no") return { value: false };
  return { problem: `expected true or false, got ${excerpt(text)}` };
}

/** One of the categories, in any case, also in quotes or with a full stop. */
export function readCategory<Category extends string>(
  text: string,
  categories: readonly Category[],
): Reading<Category> {
  const word = bare(text);
  const category =
    categories.find((candidate) => candidate === text.trim()) ??
    categories.find((candidate) => candidate === word) ??
    categories.find((candidate) => word !== "" && bare(candidate).toLowerCase() === word.toLowerCase());
  if (category !== undefined) return { value: category };
  return { problem: `expected one of ${categories.join(", ")}, got ${excerpt(text)}` };
}

/** JSON, also within a code fence, that satisfies the schema. */
export function readJson<Value>(text: string, schema: Schema<Value>, what: string): Reading<Value> {
  const parsed = parseJson(text);
  if ("problem" in parsed) return parsed;
  return check(schema, parsed.value, what);
}

/** JSON, also within a code fence, with whatever shape. */
export function parseJson(text: string): Reading<unknown> {
  const fence = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/i.exec(text);
  try {
    return { value: JSON.parse(fence?.[1] ?? text) };
  } catch (error) {
    return { problem: `expected JSON, got ${excerpt(text)} (${(error as Error).message})` };
  }
}

/** Exactly the asked features, each a string; what the model adds is dropped and what it leaves out is empty. */
export function readFeatures<Feature extends string>(
  text: string,
  features: readonly Feature[],
): Reading<Record<Feature, string>> {
  const parsed = parseJson(text);
  if ("problem" in parsed) return parsed;
  const { value } = parsed;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { problem: `expected a JSON object, got ${excerpt(text)}` };
  }
  const told = value as { [key: string]: unknown };
  return {
    value: Object.fromEntries(features.map((f) => [f, asText(Object.hasOwn(told, f) ? told[f] : undefined)])) as Record<
      Feature,
      string
    >,
  };
}

/** A text that is no longer than it may be, without the white space around it. */
export function readSummary(text: string, maxWords: number): Reading<string> {
  const words = countWords(text);
  if (words > 0 && words <= maxWords) return { value: text.trim() };
  return { problem: `expected a summary of at most ${maxWords} words, got ${words === 0 ? "none" : `${words} words`}` };
}

const sentiment: Schema<Sentiment> = z.object({
  label: z.enum(["positive", "negative", "neutral"]),
  confidence: z.number().min(0).max(1),
});

/** The form in which {@link readSentiment} wants it. */
export const sentimentForm: JsonSchema = {
  type: "object",
  properties: {
    label: { type: "string", enum: ["positive", "negative", "neutral"] },
    confidence: { type: "number", minimum: 0, maximum: 1 },
  },
  required: ["label", "confidence"],
  additionalProperties: false,
};

/** A label and a confidence from 0 to 1. One of 1.7 is refused, not bent. */
export function readSentiment(text: string): Reading<Sentiment> {
  return readJson(text, sentiment, "the answer of ctx.sentiment");
}

function asText(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The text without the quotes, stars and full stops that models like to put around a word. */
export function bare(text: string): string {
  return text.replace(/^["'`*\s]+|["'`*.!\s]+$/g, "");
}

function excerpt(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);
}
