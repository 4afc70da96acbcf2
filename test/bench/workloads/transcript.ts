/**
 * 100 model calls over a conversation that grows to about 200,000 tokens: each call adds a tool result of 5 KB and an
 * answer of 3 KB. The database may grow with what is new, not with what is asked again.
 */
import { statSync } from "node:fs";
import { type LlmMessage, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { storeFile, withRuntime } from "../programs.ts";
import { beside } from "../scratch.ts";
import { bytesOf } from "../sqlite-journal.ts";
import type { Run, Workload } from "../workload.ts";

const megabyte = 1_000_000;

const converse = orchestration("converse", async (ctx, calls: number) => {
  const messages: LlmMessage[] = [{ role: "user", content: "Look into it, step by step." }];
  for (let call = 1; call <= calls; call++) {
    const toolCallId = `call-${call}`;
    messages.push({
      role: "assistant",
      content: "",
      toolCalls: [{ id: toolCallId, name: "look", arguments: { call } }],
    });
    messages.push({ role: "tool", content: toolResult(call), toolCallId });
    messages.push({ role: "assistant", content: await ctx.generate({ messages }) });
  }
  return messages.length;
});

/** See the head of the file. `growth` is what calls 51 to 100 added, divided by what calls 1 to 50 added: 1 is linear. */
export const transcript: Workload = {
  rows: [
    { id: "transcript", unit: "MB", better: "lower", floor: 5, aim: 2 },
    { id: "transcript.growth", unit: "second half / first half", better: "lower" },
    { id: "transcript.callMs", unit: "ms a call", better: "lower" },
  ],
  async measure(run) {
    const calls = run.quick ? 20 : 100;
    const empty = await beside(run, (other) => conversation(other, 0));
    const half = await beside(run, (other) => conversation(other, calls / 2));
    const whole = await conversation(run, calls);
    const texts = Array.from({ length: calls }, (_, i) => [toolResult(i + 1), answer(i + 1)]).flat();
    return {
      transcript: { value: whole.bytes / megabyte, limit: bytesOf(run, texts) / megabyte },
      "transcript.growth": { value: (whole.bytes - half.bytes) / (half.bytes - empty.bytes) },
      "transcript.callMs": { value: whole.ms / calls },
    };
  },
};

async function conversation(run: Run, calls: number): Promise<{ readonly bytes: number; readonly ms: number }> {
  const llm = mock().on("generate", (_request, call) => answer(call.order));
  const ms = await withRuntime(run, { llm, orchestrations: [converse] }, async (runtime) => {
    const start = performance.now();
    await (await runtime.startOrchestration(converse, calls)).result();
    return performance.now() - start;
  });
  return { bytes: statSync(storeFile(run)).size, ms };
}

function toolResult(call: number): string {
  return words(`result ${call}`, 5_000);
}

function answer(call: number): string {
  return words(`answer ${call}`, 3_000);
}

/** A text of that many characters in which no two pieces are alike. */
function words(seed: string, length: number): string {
  let text = "";
  for (let i = 0; text.length < length; i++) text += `${seed} line ${i}; `;
  return text.slice(0, length);
}
