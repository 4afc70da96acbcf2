/** Vectors as a server sent them, in the order of the texts. */
import { LlmError } from "../../errors.ts";
import type { LlmUsage } from "../conversation.ts";
import { estimatedEmbeddingUsage } from "./estimated-usage.ts";

/** What `embed` of a provider answers. */
export interface Embedded {
  readonly vectors: number[][];
  readonly model: string;
  readonly usage: LlmUsage;
}

/** @throws LlmError `malformed` unless there is one vector of numbers for each text. */
export function toEmbedded(
  texts: readonly string[],
  heard: { readonly vectors: readonly unknown[]; readonly model: string; readonly usage?: LlmUsage | undefined },
): Embedded {
  const { model, usage = estimatedEmbeddingUsage(texts) } = heard;
  const vectors = heard.vectors.filter(isVector).map((vector) => [...vector]);
  if (vectors.length !== texts.length || heard.vectors.length !== texts.length) {
    const got = `Expected ${model} to give ${texts.length} vectors, got ${vectors.length}`;
    throw new LlmError("malformed", got, { ...(heard.usage !== undefined && { usage: heard.usage }) });
  }
  return { vectors, model, usage };
}

function isVector(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length > 0 && value.every((member) => typeof member === "number");
}
