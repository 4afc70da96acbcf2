import { Command } from "@commander-js/extra-typings";
import type { OutputRow } from "@stet/core";
import type { CommandFile } from "../command.ts";
import { offset } from "../values.ts";

/** `stet outputs`: what an instance emits, and what models say to it while they speak. */
export const outputs: CommandFile = (session) =>
  new Command("outputs")
    .description("print the output stream of an instance while it grows, until the instance has ended")
    .argument("<id>", "the instance")
    .option("--from <offset>", "go on after this offset", offset, 0)
    .action((id, { from }) =>
      session.withClient(async (client) => {
        const { signal } = session.io;
        for await (const row of client.instance(id).outputs({ from, signal })) {
          if (session.out.json) session.out.line(row, () => "");
          else session.io.stdout.write(textOf(row));
        }
      }),
    );

/** Pieces of a model's answer follow each other as they were said; all else is a line. */
function textOf({ data, stream }: OutputRow): string {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  switch (stream?.kind) {
    case undefined:
    case "end":
      return `${text}\n`;
    case "delta":
      return text;
    case "superseded":
      return "\n(again)\n";
  }
}
