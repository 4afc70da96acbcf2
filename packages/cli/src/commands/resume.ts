import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";

/** `stet resume`: a blocked instance is tried again. */
export const resume: CommandFile = (session) =>
  new Command("resume")
    .description("let a blocked instance be tried again")
    .argument("<id>", "the instance")
    .action(async (id) => {
      const wasBlocked = await session.withClient((client) => client.resume(id));
      session.out.result({ instanceId: id, wasBlocked }, () =>
        wasBlocked ? `${id} will be tried again` : `${id} was not blocked`,
      );
    });
