/**
 * Agents of ten iterations, one action each, with a model that answers at once: what an iteration costs. `agents.alone` is
 * one agent by itself, from one question to the next; `agents` are a thousand at once.
 */
import { performance } from "node:perf_hooks";
import { agent, definitionsOf, tool } from "@stet/agent";
import { activity, type LlmProvider, type LlmRequest } from "@stet/core";
import { z } from "zod";
import { withRuntime } from "../programs.ts";
import { percentile } from "../statistics.ts";
import type { Run, Workload } from "../workload.ts";

const iterations = 10;

const look = activity("look", { input: z.object({ at: z.number() }), effect: "pure" }, (_ctx, { at }) => `saw ${at}`);

const looker = agent({
  name: "looker",
  tools: [tool(look, { description: "Looks somewhere." })],
  guardrails: { maxIterations: iterations, maxMistakes: 1 },
});

/** Asks for one action after the other, and finishes. Notes when each agent asked, and the heap on the way. */
function scripted(): { readonly llm: LlmProvider; readonly askedAt: Map<string, number[]>; peakHeap: number } {
  const askedAt = new Map<string, number[]>();
  let asked = 0;
  const script = {
    askedAt,
    peakHeap: 0,
    llm: {
      name: "scripted",
      model: "scripted-1",
      capabilities: { structuredOutput: true, tools: true, streaming: false },
      complete: (request: LlmRequest) => {
        const goal = request.messages[1]?.content ?? "";
        const times = askedAt.get(goal) ?? [];
        askedAt.set(goal, [...times, performance.now()]);
        if (asked++ % 500 === 0) script.peakHeap = Math.max(script.peakHeap, process.memoryUsage().heapUsed);
        const call =
          times.length + 1 < iterations
            ? { id: "1", name: "look", arguments: { at: times.length } }
            : { id: "1", name: "finish", arguments: { reason: "success", summary: "Seen." } };
        return Promise.resolve({
          answer: { text: "", toolCalls: [call] },
          model: "scripted-1",
          usage: { inputTokens: 100, outputTokens: 10 },
          finishReason: "tool_calls" as const,
        });
      },
    },
  };
  return script;
}

/** Milliseconds of an iteration: from each question of an agent to its next. */
function cycles(askedAt: ReadonlyMap<string, readonly number[]>): number[] {
  return [...askedAt.values()].flatMap((times) => times.slice(1).map((at, i) => at - (times[i] ?? 0)));
}

/** See the head of the file. */
export const agentLoops: Workload = {
  rows: [
    { id: "agents", unit: "iterations/s, 1,000 agents", better: "higher" },
    { id: "agents.heapKb", unit: "KB of heap each, at most", better: "lower" },
    { id: "agents.alone", unit: "ms an iteration", better: "lower", floor: 2 },
  ],
  async measure(run) {
    const alone = await inTurn(run, run.quick ? 5 : 100);
    const crowd = await atOnce(run, run.quick ? 20 : 1_000);
    return {
      agents: { value: crowd.perSecond, p50: percentile(crowd.cycles, 0.5), p99: percentile(crowd.cycles, 0.99) },
      "agents.heapKb": { value: crowd.heapKb },
      "agents.alone": { value: percentile(alone, 0.5), p50: percentile(alone, 0.5), p99: percentile(alone, 0.99) },
    };
  },
};

async function inTurn(run: Run, count: number): Promise<number[]> {
  const { llm, askedAt } = scripted();
  await withRuntime(run, { llm, ...definitionsOf(looker) }, async (runtime) => {
    for (let i = 0; i < count; i++) await (await runtime.startOrchestration(looker, { goal: `alone ${i}` })).result();
  });
  return cycles(askedAt).slice(Math.floor((count * iterations) / 10)); // once everything is warm
}

async function atOnce(run: Run, count: number) {
  const script = scripted();
  const { llm, askedAt } = script;
  return withRuntime(run, { llm, ...definitionsOf(looker) }, async (runtime) => {
    globalThis.gc?.();
    const before = process.memoryUsage().heapUsed;
    const start = performance.now();
    const runs = await Promise.all(
      Array.from({ length: count }, (_, i) => runtime.startOrchestration(looker, { goal: `crowd ${i}` })),
    );
    const results = await Promise.all(runs.map((each) => each.result()));
    const seconds = (performance.now() - start) / 1000;
    const unfinished = results.filter(({ outcome }) => outcome !== "success").length;
    if (unfinished > 0) throw new Error(`Expected all agents to finish, got ${unfinished} that did not`);
    return {
      perSecond: (count * iterations) / seconds,
      cycles: cycles(askedAt),
      heapKb: (script.peakHeap - before) / 1024 / count,
    };
  });
}
