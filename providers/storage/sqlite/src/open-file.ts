/**
 * The file that a connection has open, and whether it is still the one at its path. SQLite goes on with a file that was
 * deleted or exchanged, and whatever is written then is gone when the process ends. It may come back, so this passes.
 */
import { statSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { StorageError } from "@stet/core";

/** Looking costs microseconds, but a verb may cost no more. */
const lookEveryMs = 50;

/** See the head of the file. */
export class OpenFile {
  readonly #path: string;
  readonly #identity: string | undefined;
  #lookedAt = 0;

  /** Of the file that has just been opened at this path. */
  constructor(path: string) {
    this.#path = path;
    this.#identity = identityOf(path);
  }

  /** @throws StorageError when the path leads to no file, or to another one. */
  assertInPlace(): void {
    const now = performance.now();
    if (now - this.#lookedAt < lookEveryMs) return;
    const found = identityOf(this.#path);
    if (found !== this.#identity) {
      throw new StorageError(
        `SQLite store ${this.#path}: expected the file to stay at its path while it is open, got ${found === undefined ? "none" : "another one"} there: put it back, or restart this process`,
        true,
      );
    }
    this.#lookedAt = now;
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined; // whatever keeps it from being looked at keeps others from opening it
  }
}
