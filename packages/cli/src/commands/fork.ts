import { randomUUID } from "node:crypto";
import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { count, payload } from "../values.ts";

/** `stet fork`: another ending for a recorded history. */
export const fork: CommandFile = (session) =>
  new Command("fork")
    .description("start a new instance with the history of another up to an event")
    .argument("<id>", "the instance whose history it is")
    .requiredOption("--at <event>", "the last event that both share; stet history lists them", count)
    .option("--id <id>", "the id of the new instance (default: a random one)")
    .option("--execution <number>", "an execution of the origin before the current one", count)
    .option("-i, --input <json>", "another input: JSON, @FILE, or @- for standard input")
    .action(async (id, { at, id: newId, execution, input }) => {
      const given = await payload(input, "the input", session.io);
      const { instanceId } = await session.withClient((client) =>
        client.fork(id, {
          atEvent: at,
          newInstanceId: newId ?? randomUUID(),
          ...(execution !== undefined && { execution }),
          ...(given !== undefined && { input: given }),
        }),
      );
      session.out.result({ instanceId }, () => instanceId);
    });
