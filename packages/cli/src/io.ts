/** What the command line touches of the process it runs in. `bin.ts` gives the real one, tests their own. */

/** A place that text goes to. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** The process around one command. */
export interface Io {
  /** Results, and nothing else. */
  readonly stdout: Sink;
  /** Errors, notes, progress. */
  readonly stderr: Sink;
  readonly stdin: AsyncIterable<string | Uint8Array>;
  readonly env: { readonly [name: string]: string | undefined };
  /** The folder that relative paths begin at. */
  readonly cwd: string;
  /** Aborted by Ctrl-C: what runs is drained. */
  readonly signal: AbortSignal;
}
