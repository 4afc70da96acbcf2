/** A worker of `92-stream-processes.test.ts`, until it is killed. Its model says a word every now and then, and never the same text twice. */
import { setTimeout as sleep } from "node:timers/promises";
import { type LlmProvider, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { essay } from "./essay.ts";

const [, , path = "", name = "", words = ""] = process.argv;

const llm: LlmProvider = {
  name: "talker",
  model: "talker-1",
  capabilities: { structuredOutput: false, tools: false, streaming: true },
  async complete(_request, { onDelta }) {
    let text = "";
    for (let i = 1; i <= Number(words); i++) {
      await sleep(20);
      onDelta?.(`${name}${i} `);
      text += `${name}${i} `;
    }
    return { answer: { text }, model: "talker-1", usage: { inputTokens: 1, outputTokens: 1 }, finishReason: "stop" };
  },
};

await Runtime.start({ storage: sqlite(path), llm, orchestrations: [essay] });
process.on("disconnect", () => process.exit());
