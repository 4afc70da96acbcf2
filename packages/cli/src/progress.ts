/** How far something long has come, on one line of a terminal that is written over and over. */
import type { Sink } from "./io.ts";

const width = 24;

/** Tells how far it is. Nothing is told where nobody watches. */
export class Progress {
  readonly #sink: Sink;
  readonly #thing: string;
  readonly #total: number | undefined;
  #isShown = false;

  /** @param total - Absent when nobody knows: then it counts. */
  constructor(sink: Sink, thing: string, total?: number) {
    this.#sink = sink;
    this.#thing = thing;
    this.#total = total;
  }

  tell(done: number): void {
    if (this.#sink.isTTY !== true) return;
    this.#isShown = true;
    this.#sink.write(`\r${this.#bar(done)}${done} ${this.#thing}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.#isShown) this.#sink.write(`\r${" ".repeat(this.#sink.columns ?? 79)}\r`);
  }

  #bar(done: number): string {
    if (this.#total === undefined || this.#total === 0) return "";
    const filled = Math.round(Math.min(1, done / this.#total) * width);
    return `[${"#".repeat(filled)}${" ".repeat(width - filled)}] `;
  }
}
