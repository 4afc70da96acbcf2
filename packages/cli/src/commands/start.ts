import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { label, payload } from "../values.ts";
import { watchInstance } from "../watching.ts";

/** `stet start`: a new instance, which the workers of the store run. */
export const start: CommandFile = (session) =>
  new Command("start")
    .description("start an instance, for the workers of the store to run")
    .argument("<name>", "the orchestration")
    .option("-i, --input <json>", "its input: JSON, @FILE, or @- for standard input")
    .option("--id <id>", "its id, so that starting twice is noticed (default: a random one)")
    .option("--version <version>", "pin a version (default: the newest that the worker has)")
    .option("--label <key=value>", "a label to find it by; may be repeated", label)
    .option("-w, --watch", "watch it until it ends")
    .option("--attach", "when the id is there, go on with that instance instead of failing")
    .action(async (name, { input, id, version, label: labels, attach, watch }) => {
      const given = await payload(input, "the input", session.io);
      await session.withClient(
        async (client, storage) => {
          const { instanceId } = await client.startOrchestration(name, given, {
            ...(id !== undefined && { instanceId: id }),
            ...(version !== undefined && { version }),
            ...(labels !== undefined && { labels }),
            ...(attach === true && { ifExists: "attach" as const }),
          });
          session.out.line({ instanceId }, () => instanceId);
          if (watch === true) await watchInstance(session, client, storage, instanceId);
        },
        { create: true },
      );
    });
