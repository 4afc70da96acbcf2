/** What the processes of `92-budget-processes.test.ts` run: twenty calls of three instances, for one budget. */
import { orchestration } from "@stet/core";

const some = orchestration("some", async (ctx, count: number) =>
  Promise.all(Array.from({ length: count }, (_, i) => ctx.generate(`${ctx.instanceId} asks ${i}`, { maxTokens: 100 }))),
);

const all = orchestration("all", async (ctx) => {
  const children = ["left", "right"].map((instanceId) => ctx.subOrchestration(some, 8, { instanceId }));
  const own = Array.from({ length: 4 }, (_, i) => ctx.generate(`all asks ${i}`, { maxTokens: 100 }));
  return (await Promise.all([...own, ...children])).flat().length;
});

export const shared = { all, some };
