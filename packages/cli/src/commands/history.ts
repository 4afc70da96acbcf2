import { Command } from "@commander-js/extra-typings";
import type { HistoryEvent } from "@stet/core";
import type { CommandFile } from "../command.ts";
import type { Look } from "../output.ts";
import { table } from "../table.ts";
import { count } from "../values.ts";
import { brief, durationInWords } from "../words.ts";

/** `stet history`: the events of an execution, as they are recorded. */
export const history: CommandFile = (session) =>
  new Command("history")
    .description("print the recorded events of an instance, with --json as they are stored")
    .argument("<id>", "the instance")
    .option("--execution <number>", "an execution before the current one", count)
    .action(async (id, { execution }) => {
      const events = await session.withClient((client) => client.instance(id).history(execution));
      session.out.result(events, (look) => listing(events, look));
    });

function listing(events: readonly HistoryEvent[], look: Look): string {
  if (events.length === 0) return look.colors.dim("no events");
  const began = events[0]?.at ?? 0;
  const rows = events.map(({ id, at, kind, ...body }) => [
    String(id),
    look.colors.dim(`+${durationInWords(at - began)}`),
    kind,
    JSON.stringify(body) === "{}" ? "" : brief(body, 500),
  ]);
  return table(["EVENT", "AT", "KIND", "WITH"], rows, look);
}
