import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { payload } from "../values.ts";

/** `stet raise`: an external event. */
export const raise: CommandFile = (session) =>
  new Command("raise")
    .description("send an external event to an instance")
    .argument("<id>", "the instance")
    .argument("<event>", "the name of the event")
    .argument("[data]", "what comes with it: JSON, @FILE, or @- for standard input")
    .option("--key <key>", "an idempotency key: a second event with it is dropped")
    .action(async (id, event, data, { key }) => {
      const given = await payload(data, "the data of the event", session.io);
      await session.withClient((client) =>
        client.instance(id).raiseEvent(event, given, key === undefined ? {} : { idempotencyKey: key }),
      );
      session.out.result({ instanceId: id, event }, () => `sent ${event} to ${id}`);
    });
