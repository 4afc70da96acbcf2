/** What the processes of `92-stream-processes.test.ts` run. */
import { orchestration } from "@stet/core";

export const essay = orchestration("essay", async (ctx) => ctx.generate("An essay", { stream: "essay" }));
