/**
 * What a model says, on the terminal while it speaks. Each piece has an offset: a reader that leaves and comes back goes on
 * where it was. When a connection breaks, or a worker dies, what was said is superseded and the text begins anew; history
 * records the whole text.
 *
 * Without a key a small model of our own speaks a word every 30 ms, and its line breaks once.
 *
 * Prints:
 *   A lighthouse keeper
 *   (the line broke: again)
 *   A lighthouse keeper counts the ships at night and forgets each one by morning.
 *   the reader left once, and came back
 *   recorded: A lighthouse keeper counts the ships at night and forgets each one by morning.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { LlmError, type LlmProvider, orchestration, Runtime } from "@stet/core";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";

const tale = orchestration("tale", async (ctx, about: string) =>
  ctx.generate(`A story of one sentence about ${about}.`, { stream: true }),
);

const words = "A lighthouse keeper counts the ships at night and forgets each one by morning.".split(/(?= )/);
let lines = 0;

/** Says what it was written to say. */
const offline: LlmProvider = {
  name: "offline",
  model: "offline-1",
  capabilities: { structuredOutput: false, tools: false, streaming: true },
  async complete(_request, { onDelta }) {
    const breaks = lines++ === 0;
    for (const word of breaks ? words.slice(0, 3) : words) {
      onDelta?.(word);
      await sleep(30);
    }
    if (breaks) {
      await sleep(60);
      throw new LlmError("connection", "the line broke");
    }
    const usage = { inputTokens: 10, outputTokens: words.length };
    return { answer: { text: words.join("") }, model: "offline-1", usage, finishReason: "stop" };
  },
};

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] === undefined ? offline : openai({ model: "gpt-5-mini" }),
  orchestrations: [tale],
});
const run = await runtime.startOrchestration(tale, "a lighthouse", { instanceId: "tale" });

const seen = await read(0, 1);
await read(seen, Infinity);
console.log("the reader left once, and came back");
console.log(`recorded: ${await run.result()}`);
await runtime.shutdown();

/** Writes so many pieces to the terminal. Answers the offset of the last. */
async function read(from: number, pieces: number): Promise<number> {
  let offset = from;
  let left = pieces;
  for await (const piece of run.stream({ from })) {
    if (piece.kind === "superseded") process.stdout.write("\n(the line broke: again)\n");
    process.stdout.write(piece.kind === "end" ? "\n" : piece.text);
    offset = piece.offset;
    if (--left === 0) break;
  }
  return offset;
}
