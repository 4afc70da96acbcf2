/** Without types of its own: what `ctx` is, the definition says. */
import { activity, orchestration } from "@stet/core";

const pack = activity("pack", async (_ctx, id) => id);

export const switchThatFalls = orchestration("switchThatFalls", async (ctx, level) => {
  switch (level) {
    case 2:
      await ctx.activity(pack, "two");
    // falls through
    case 1:
      await ctx.activity(pack, "one");
      break;
    default:
      await ctx.timer(level);
  }
  await ctx.timer("1s");
});
