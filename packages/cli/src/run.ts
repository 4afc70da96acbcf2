/** One command line, from its arguments to its exit code. */
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { isStetError } from "@stet/core";
import { commands } from "./commands.ts";
import { type ExitCode, exitCodeOf } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { type GlobalOptions, Session } from "./session.ts";
import { versionOfThis } from "./version.ts";

/** Runs `stet` with these arguments. Answers the exit code; throws nothing. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  const session = new Session(io);
  try {
    await programOf(session).parseAsync(argv, { from: "user" });
    return session.exitCode;
  } catch (error) {
    // The argument library has said already what it has to say.
    if (!(error instanceof CommanderError)) session.out.error(error, detailsOf(error));
    return exitCodeOf(error);
  }
}

/** All commands, under their headings. */
function programOf(session: Session): CommandUnknownOpts {
  const program = new Command("stet")
    .description("Durable orchestrations: start, watch and manage them")
    .version(versionOfThis(), "-v, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .enablePositionalOptions()
    .showHelpAfterError("(stet --help lists the commands, stet COMMAND --help their options)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void session.io.stdout.write(text),
      writeErr: (text) => void session.io.stderr.write(text),
      getOutHelpWidth: () => session.io.stdout.columns ?? 80,
      getErrHelpWidth: () => session.io.stderr.columns ?? 80,
    })
    .hook("preAction", (_program, command) => session.begin(globalOptionsOf(program, command)));
  for (const [heading, files] of commands) {
    for (const file of files) {
      const command = file(session);
      command.copyInheritedSettings(program as CommandUnknownOpts);
      command.helpGroup(heading);
      program.addCommand(addGlobalOptions(command));
    }
  }
  return addGlobalOptions(program);
}

/** They may stand before the command and after it. */
function addGlobalOptions(command: CommandUnknownOpts): CommandUnknownOpts {
  return command
    .optionsGroup("Everywhere:")
    .option("-s, --storage <store>", "sqlite:FILE or postgres://USER@HOST/DATABASE (environment: STET_STORAGE)")
    .option("-c, --config <file>", "the configuration, instead of ./stet.config.ts (environment: STET_CONFIG)")
    .option("--json", "print the result as JSON")
    .option("--no-color", "print without colours (environment: NO_COLOR)");
}

/** What stands after the command goes before what stands in front of it. */
function globalOptionsOf(program: CommandUnknownOpts, command: CommandUnknownOpts): GlobalOptions {
  const [outer, inner]: readonly GlobalOptions[] = [program.opts(), command.opts()];
  return { ...outer, ...inner, color: outer?.color !== false && inner?.color !== false };
}

/** What is nobody's fault but ours needs its stack. */
function detailsOf(error: unknown): string | undefined {
  return error instanceof Error && !isStetError(error) ? (error.stack ?? error.message) : undefined;
}
