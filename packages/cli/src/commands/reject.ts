import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { decide } from "../decision.ts";

/** `stet reject`: a person's decision. */
export const reject: CommandFile = (session) =>
  new Command("reject")
    .description("reject what an instance waits to have decided")
    .argument("<id>", "the instance: an agent, or an orchestration that waits for an event")
    .argument("[about]", "which, when several wait: the action of an agent, or the name of an event")
    .option("--by <name>", "who decides, for its history (default: $USER)")
    .option("--reason <text>", "why")
    .action(async (id, about, { by = session.io.env["USER"] ?? "somebody", reason }) => {
      const decision = {
        approved: false,
        by,
        ...(reason !== undefined && { reason }),
        ...(about !== undefined && { about }),
      };
      const decided = await session.withClient((client) => decide(client, id, decision));
      session.out.result({ instanceId: id, about: decided, approved: false, by }, () => `rejected ${decided} of ${id}`);
    });
