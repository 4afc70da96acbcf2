/** From the body of `POST /embeddings` to vectors, in the order of the texts. */
import { countOf, type Embedded, itemsOf, member, textOf, toEmbedded } from "@stet/core/provider-kit";
import { reportedUsage } from "./usage.ts";

/** @throws LlmError `malformed` unless there is one vector of numbers for each text. */
export function fromEmbeddings(body: unknown, texts: readonly string[], askedModel: string): Embedded {
  const vectors: unknown[] = [];
  itemsOf(body, "data").forEach((item, position) => {
    vectors[countOf(item, "index") ?? position] = member(item, "embedding");
  });
  return toEmbedded(texts, {
    vectors,
    model: textOf(body, "model") ?? askedModel,
    usage: reportedUsage(member(body, "usage")),
  });
}
