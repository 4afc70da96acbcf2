/** The command line in the process of a test: what was typed, what was printed, what it ended with. */
import { stripVTControlCharacters } from "node:util";
import { type ExitCode, type Io, run } from "stet";

/** How a command came out. */
export interface Printed {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
}

/** What is around a command. */
export interface Around {
  readonly cwd?: string;
  readonly env?: Io["env"];
  readonly stdin?: string;
  readonly signal?: AbortSignal;
  /** Prints to a terminal of this width. */
  readonly columns?: number;
  /** Hears what is printed to stdout while it is printed. */
  readonly onPrint?: (text: string) => void;
}

/** Types a command, and waits for its end. */
export async function type(argv: readonly string[], around: Around = {}): Promise<Printed> {
  const printed = { stdout: "", stderr: "" };
  const { columns, onPrint } = around;
  const terminal = columns === undefined ? {} : { isTTY: true, columns };
  const code = await run(argv, {
    stdout: {
      write: (text) => {
        printed.stdout += text;
        onPrint?.(text);
      },
      ...terminal,
    },
    stderr: { write: (text) => void (printed.stderr += text), ...terminal },
    stdin: (async function* () {
      await Promise.resolve();
      yield around.stdin ?? "";
    })(),
    env: around.env ?? {},
    cwd: around.cwd ?? process.cwd(),
    signal: around.signal ?? new AbortController().signal,
  });
  return { code, ...printed };
}

/** What a command printed, as the JSON that it is. */
export function json<Value>({ stdout }: Printed): Value {
  return JSON.parse(stdout) as Value;
}

/** Text as somebody who sees no colours reads it. */
export function plain(text: string): string {
  return stripVTControlCharacters(text);
}
