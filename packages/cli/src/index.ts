/** The public names of `stet`. */
export { defineConfig, type StetConfig } from "./config.ts";
export { type ExitCode, exitCodes } from "./exit-codes.ts";
export type { Io, Sink } from "./io.ts";
export { run } from "./run.ts";
