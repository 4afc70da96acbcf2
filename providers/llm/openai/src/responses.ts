/** `POST /responses`: OpenAI's newer way. Nothing is kept on the server: the history of the instance is the memory. */
import { LlmError } from "@stet/core";
import { type Heard, itemsOf, member, textOf } from "@stet/core/provider-kit";
import type { Dialect } from "./dialect.ts";
import { toResponseBody } from "./to-response-body.ts";
import { reportedUsage } from "./usage.ts";

export const responses: Dialect = {
  // Not by `responses.create`: it adds a member to the body and stumbles over one that is no object.
  ask: (client, request, model, settings) =>
    client.post("/responses", { body: toResponseBody(request, model), ...settings }),
  askStreaming: (client, request, model, settings) =>
    client.responses.create({ ...toResponseBody(request, model), stream: true }, settings),
  hear: fromResponseBody,
  hearStream: fromResponseStream,
};

/** @throws LlmError `malformed` when the body is no response. */
function fromResponseBody(body: unknown): Heard {
  if (!Array.isArray(member(body, "output"))) {
    throw new LlmError("malformed", "Expected OpenAI to answer with a response, got a body without output");
  }
  const output = itemsOf(body, "output");
  const parts = output
    .filter((item) => textOf(item, "type") === "message")
    .flatMap((message) => itemsOf(message, "content"));
  const refusal = parts.map((part) => textOf(part, "refusal") ?? "").join("");
  return {
    model: textOf(body, "model"),
    text: parts.map((part) => (textOf(part, "type") === "output_text" ? (textOf(part, "text") ?? "") : "")).join(""),
    toolCalls: output
      .filter((item) => textOf(item, "type") === "function_call")
      .map((call) => ({
        id: textOf(call, "call_id") ?? "",
        name: textOf(call, "name") ?? "",
        arguments: textOf(call, "arguments") ?? "",
      })),
    end: refusal === "" ? endOf(body) : "refused",
    refusal,
    usage: reportedUsage(member(body, "usage")),
  };
}

function endOf(body: unknown): Heard["end"] {
  const status = textOf(body, "status");
  if (status === "completed") return "stop";
  if (status !== "incomplete") return { unknown: status ?? "no status" };
  const reason = textOf(member(body, "incomplete_details"), "reason");
  if (reason === undefined || reason === "max_output_tokens") return "length";
  return reason === "content_filter" ? reason : { unknown: `incomplete, ${reason}` };
}

/** The last event repeats the whole response, so only the text is needed from the others. */
async function fromResponseStream(events: AsyncIterable<unknown>, onText: (text: string) => void): Promise<Heard> {
  let heard: Heard | undefined;
  let length = 0;
  for await (const event of events) {
    const type = textOf(event, "type");
    if (type === "response.completed" || type === "response.incomplete") {
      heard = fromResponseBody(member(event, "response"));
    }
    const piece = type === "response.output_text.delta" ? (textOf(event, "delta") ?? "") : "";
    length += piece.length;
    if (piece !== "") onText(piece);
  }
  if (heard !== undefined) return heard;
  throw new LlmError(
    "connection",
    `Expected the stream to end with a completed response, got cut after ${length} characters`,
  );
}
