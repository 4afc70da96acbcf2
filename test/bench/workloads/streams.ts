/**
 * What streams cost those who do not stream: 200 model calls that each say 100 pieces a second, and beside them instances
 * that are started one at a time. Their time from start to result is measured without the streams and with them.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type LlmProvider, orchestration } from "@stet/core";
import { withRuntime } from "../programs.ts";
import { percentile } from "../statistics.ts";
import type { Workload } from "../workload.ts";

const everyMs = 10;

/** A model that speaks until nobody listens any more. */
const talker: LlmProvider = {
  name: "talker",
  model: "talker-1",
  capabilities: { structuredOutput: false, tools: false, streaming: true },
  complete: (_request, { onDelta, signal }) =>
    new Promise((_, reject) => {
      const timer = setInterval(() => onDelta?.("word "), everyMs);
      signal.addEventListener("abort", () => {
        clearInterval(timer);
        reject(signal.reason as Error);
      });
    }),
};

const speak = orchestration("speak", async (ctx) => ctx.generate("Go on", { stream: true }));
const bystand = orchestration("bystand", () => 1);

/** See the head of the file. The value is the 99th percentile with streams, in milliseconds; `ratio` is to that without. */
export const streams: Workload = {
  rows: [
    { id: "streams", unit: "ms", better: "lower" },
    { id: "streams.ratio", unit: "with / without", better: "lower" },
    { id: "streams.rows", unit: "rows/s", better: "higher" },
  ],
  async measure(run) {
    const count = run.quick ? 20 : 200;
    const options = { llm: talker, orchestrations: [speak, bystand], concurrency: { models: count } };
    return withRuntime(run, options, async (runtime) => {
      const bystanders = async (): Promise<number[]> => {
        const times: number[] = [];
        const until = performance.now() + (run.quick ? 300 : 5_000);
        while (performance.now() < until) {
          const start = performance.now();
          await (await runtime.startOrchestration(bystand)).result();
          times.push(performance.now() - start);
          await sleep(1);
        }
        return times;
      };
      await bystanders(); // warm
      const without = await bystanders();
      const speaking = await Promise.all(Array.from({ length: count }, () => runtime.startOrchestration(speak)));
      while (runtime.stats().runningWork < count) await sleep(5);
      const start = performance.now();
      const withStreams = await bystanders();
      const seconds = (performance.now() - start) / 1_000;
      let rows = 0;
      for (const handle of speaking) {
        await handle.terminate();
        for await (const _piece of handle.stream()) rows++;
      }
      const p99 = percentile(withStreams, 0.99);
      return {
        streams: { value: p99, p50: percentile(withStreams, 0.5), p99 },
        "streams.ratio": { value: p99 / percentile(without, 0.99) },
        "streams.rows": { value: rows / seconds },
      };
    });
  },
};
