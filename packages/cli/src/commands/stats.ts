import { Command } from "@commander-js/extra-typings";
import type { ClientStats } from "@stet/core";
import type { CommandFile } from "../command.ts";
import type { Look } from "../output.ts";
import { durationInWords, missingInWords, ownedInWords } from "../words.ts";

/** `stet stats`: the whole store in numbers. */
export const stats: CommandFile = (session) =>
  new Command("stats").description("count instances, queues, workers and missing handlers").action(async () => {
    const numbers = await session.withClient((client) => client.stats());
    session.out.result(numbers, (look) => inWords(numbers, look));
  });

function inWords({ instances, blocked, messages, work, workers, missingHandlers }: ClientStats, look: Look): string {
  const { colors } = look;
  const missing = missingInWords(missingHandlers);
  const rows: string[][] = [
    ["instances", numbersOf({ ...instances, blocked })],
    ["messages", numbersOf(messages)],
    ["work", numbersOf(work)],
    ["workers", workers.length === 0 ? colors.yellow("none is alive") : ""],
    ...workers.map((worker) => [
      "",
      `${worker.name} on ${worker.host}, process ${worker.pid}, for ${durationInWords(Date.now() - worker.registeredAt)}: ${Math.round(worker.busy * 100)} % busy, ${ownedInWords(worker)}`,
    ]),
    ...missing.map((what) => ["missing", colors.red(what)]),
    ...(missing.length === 0 ? [] : [["", "fix: start a worker whose configuration has what is missing"]]),
  ];
  return rows.map(([what = "", value = ""]) => `${colors.dim(what.padEnd(10))} ${value}`.trimEnd()).join("\n");
}

function numbersOf(counts: { readonly [what: string]: number }): string {
  const present = Object.entries(counts).filter(([, number]) => number > 0);
  return present.length === 0 ? "none" : present.map(([what, number]) => `${number} ${what}`).join(", ");
}
