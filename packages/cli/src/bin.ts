#!/usr/bin/env node
/**
 * The process: its streams, and Ctrl-C. The first one asks what runs to come to its end, the second one ends it. So does
 * the end of the process that started this one, where there is a channel to it.
 */
import { exitCodes } from "./exit-codes.ts";
import { run } from "./run.ts";

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (interruption.signal.aborted) process.exit(exitCodes.interrupted);
    interruption.abort();
  });
}
process.once("disconnect", () => interruption.abort());
process.channel?.unref();

const { stdout, stderr, stdin, env } = process;
stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(exitCodes.ok); // whoever reads, such as head, has enough
});

const cwd = process.cwd();
const code = await run(process.argv.slice(2), { stdout, stderr, stdin, env, cwd, signal: interruption.signal });
// The code of a project may have left something open. What was printed goes out first.
stdout.write("", () => stderr.write("", () => process.exit(code)));
