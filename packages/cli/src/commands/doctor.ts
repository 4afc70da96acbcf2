import { Command } from "@commander-js/extra-typings";
import type { CommandFile } from "../command.ts";
import { examine, type Finding } from "../examination.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Colors } from "../output.ts";

/** `stet doctor`: what is wrong here, and what mends it. */
export const doctor: CommandFile = (session) =>
  new Command("doctor")
    .description("look for what is wrong: Node, configuration, keys, store, clocks, workers, handlers; each with a fix")
    .action(async () => {
      for await (const finding of examine(session)) {
        session.out.line(finding, ({ colors }) => inWords(finding, colors));
        if (finding.verdict === "bad") session.exitCode = exitCodes.bad;
      }
    });

function inWords({ what, verdict, says, fix }: Finding, colors: Colors): string {
  const mark = { good: colors.green("ok  "), warning: colors.yellow("note"), bad: colors.red("bad ") }[verdict];
  const lines = [`${mark}  ${colors.bold(what)}  ${says}`];
  if (fix !== undefined) lines.push(`      ${colors.dim("fix:")} ${fix}`);
  return lines.join("\n");
}
