/** The discipline of output: results on stdout, all else on stderr; colours only where a terminal shows them. */
import { toFailure } from "@stet/core";
import pico from "picocolors";
import type { Io, Sink } from "./io.ts";

/** Paints text, or leaves it as it is. */
export type Colors = ReturnType<typeof pico.createColors>;

/** How a result looks to people: with which colours, and in how many columns. */
export interface Look {
  readonly colors: Colors;
  /** Absent where nobody cuts lines: in files and pipes. */
  readonly columns?: number;
}

/** Where one command writes to. */
export class Output {
  readonly json: boolean;
  readonly #io: Io;
  readonly #look: Look;
  readonly #noteColors: Colors;

  constructor(io: Io, options: { readonly json: boolean; readonly color: boolean }) {
    this.json = options.json;
    this.#io = io;
    const painted = (sink: Sink) => pico.createColors(options.color && isPainted(sink, io.env));
    const { columns } = io.stdout;
    this.#look = { colors: painted(io.stdout), ...(io.stdout.isTTY === true && columns !== undefined && { columns }) };
    this.#noteColors = painted(io.stderr);
  }

  /** The answer of a command: one JSON document with `--json`, a text for people without. */
  result(value: unknown, text: (look: Look) => string): void {
    this.#io.stdout.write(`${this.json ? JSON.stringify(value, withErrors, 2) : text(this.#look)}\n`);
  }

  /** One of many that come one after the other: a line of JSON with `--json`. */
  line(value: unknown, text: (look: Look) => string): void {
    this.#io.stdout.write(`${this.json ? JSON.stringify(value, withErrors) : text(this.#look)}\n`);
  }

  /** Something to know that is not the answer. */
  note(text: string): void {
    this.#io.stderr.write(`${this.#noteColors.dim(text)}\n`);
  }

  /** Why the command did not do what it was asked. */
  error(thrown: unknown, details?: string): void {
    if (this.json) this.#io.stderr.write(`${JSON.stringify({ error: toFailure(thrown) })}\n`);
    else this.#io.stderr.write(`${this.#noteColors.red("error:")} ${details ?? toFailure(thrown).message}\n`);
  }
}

function isPainted(sink: Sink, env: Io["env"]): boolean {
  return sink.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
}

/** An error says nothing in JSON by itself. */
function withErrors(_key: string, value: unknown): unknown {
  return value instanceof Error ? toFailure(value) : value;
}
