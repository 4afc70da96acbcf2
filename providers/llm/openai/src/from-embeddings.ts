/** From the body of `POST /embeddings` to vectors, in the order of the texts. */
import { LlmError, type LlmUsage } from "@stet/core";
import { countOf, itemsOf, member, textOf } from "./json-reading.ts";
import { estimatedEmbeddingUsage, reportedUsage } from "./usage.ts";

/** @throws LlmError `malformed` unless there is one vector of numbers for each text. */
export function fromEmbeddings(
  body: unknown,
  texts: readonly string[],
  askedModel: string,
): { vectors: number[][]; model: string; usage: LlmUsage } {
  const vectors = new Map<number, number[]>();
  itemsOf(body, "data").forEach((item, position) => {
    const vector = itemsOf(item, "embedding");
    if (vector.length > 0 && vector.every(isNumber))
      vectors.set(countOf(item, "index") ?? position, vector.filter(isNumber));
  });
  const inOrder = texts.flatMap((_, index) => {
    const vector = vectors.get(index);
    return vector === undefined ? [] : [vector];
  });
  if (inOrder.length !== texts.length) {
    throw new LlmError("malformed", `Expected ${askedModel} to give ${texts.length} vectors, got ${inOrder.length}`);
  }
  return {
    vectors: inOrder,
    model: textOf(body, "model") ?? askedModel,
    usage: reportedUsage(member(body, "usage")) ?? estimatedEmbeddingUsage(texts),
  };
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}
