/** An agent that repairs machines, in the process that runs it and in the test that starts it. */
import { agent, tool, type Agent } from "@stet/agent";
import { activity } from "@stet/core";
import { z } from "zod";

const input = z.object({ vm: z.string() });

/** The agent, with what its tools say before they do anything. */
export function repairer(begin: (what: string) => Promise<void>): Agent {
  const look = activity("look", { input, description: "Looks." }, async (_ctx, { vm }) => {
    await begin(`look ${vm}`);
    return `${vm} is slow`;
  });
  const restart = activity(
    "restart",
    { input, description: "Restarts.", effect: "irreversible" },
    async (_ctx, { vm }) => {
      await begin(`restart ${vm}`);
      return `${vm} is up`;
    },
  );
  return agent({ name: "repairer", tools: [tool(look), tool(restart, { approval: true })] });
}
