/** What the exit code of a command says to scripts. */
import { CommanderError } from "@commander-js/extra-typings";
import { isStetError, type StetErrorCode } from "@stet/core";

/** The exit codes of the command line, by what they say. */
export const exitCodes = {
  /** Done. */
  ok: 0,
  /** Done, and the answer is bad: the instance failed, the doctor found something, a check does not hold. */
  bad: 1,
  /** Nothing was done: a flag, an argument, the input or the configuration is wrong. */
  usage: 2,
  /** Nothing was done: the instance is not there, or it exists, has ended or still runs where it must not. */
  instance: 3,
  /** The store cannot be reached or read. */
  storage: 4,
  /** Something that nobody expected, most likely a bug. */
  unexpected: 70,
  /** Ctrl-C ended what had not come to its end. */
  interrupted: 130,
} as const;

/** One of {@link exitCodes}. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What the exit code says of something thrown. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (!isStetError(error)) return exitCodes.unexpected;
  return byCode[error.code as StetErrorCode] ?? exitCodes.bad;
}

const byCode: { readonly [Code in StetErrorCode]?: ExitCode } = {
  configuration_invalid: exitCodes.usage,
  input_invalid: exitCodes.usage,
  payload_invalid: exitCodes.usage,
  payload_too_large: exitCodes.usage,
  instance_not_found: exitCodes.instance,
  instance_exists: exitCodes.instance,
  instance_ended: exitCodes.instance,
  instance_running: exitCodes.instance,
  storage_failed: exitCodes.storage,
};
