/**
 * A diagram of an orchestration, read from its source by the types in it. Nothing of it runs: the activity is never called.
 *
 * Prints:
 *   flowchart TD
 *     start(["start"])
 *     event_approval>"approval, at most 3d"]:::yellow
 *     decision_answer_approved{"answer.approved"}
 *     return_refused(["return refused"])
 *     activity_order["order"]:::blue
 *     completed(["completed"])
 *     start --> event_approval
 *     event_approval --> decision_answer_approved
 *     decision_answer_approved -->|"no"| return_refused
 *     decision_answer_approved -->|"yes"| activity_order
 *     return_refused --> completed
 *     activity_order --> completed
 *     classDef blue fill:#e8f0fe,stroke:#4a6fa5,color:#1f2328
 *     classDef yellow fill:#fef7e0,stroke:#b08900,color:#1f2328
 *     classDef default fill:#f1f3f4,stroke:#5f6368,color:#1f2328
 */
import { fileURLToPath } from "node:url";
import { activity, orchestration } from "@stet/core";
import { readFlowGraphs, toMermaid } from "@stet/diagram";

const order = activity("order", async (_ctx, item: string) => `ordered ${item}`);

export const buy = orchestration("buy", async (ctx, item: string) => {
  const answer = await ctx.waitForEvent<{ approved: boolean }>("approval", { timeout: "3d", details: item });
  if (!answer.approved) return "refused";
  return ctx.activity(order, item);
});

for (const graph of readFlowGraphs({ files: [fileURLToPath(import.meta.url)] })) process.stdout.write(toMermaid(graph));
