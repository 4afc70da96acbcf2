import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { decide } from "../decision.ts";

/** `stet approve`: a person's decision. */
export const approve: CommandFile = decision("approve", "approve of what an instance waits to have decided", true);

/** `stet reject`: the other one. */
export const reject: CommandFile = decision("reject", "reject what an instance waits to have decided", false);

function decision(name: string, description: string, approved: boolean): CommandFile {
  return (session) =>
    new Command(name)
      .description(description)
      .argument("<id>", "the instance: an agent, or an orchestration that waits for an event")
      .argument("[about]", "which, when several wait: the action of an agent, or the name of an event")
      .option("--by <name>", "who decides, for its history (default: $USER)")
      .option("--reason <text>", "why")
      .action(async (id, about, { by = session.io.env["USER"] ?? "somebody", reason }) => {
        const given = { approved, by, ...(reason !== undefined && { reason }), ...(about !== undefined && { about }) };
        const decided = await session.withClient((client) => decide(client, id, given));
        const said = approved ? "approved" : "rejected";
        session.out.result({ instanceId: id, about: decided, approved, by }, () => `${said} ${decided} of ${id}`);
      });
}
