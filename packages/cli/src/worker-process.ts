/**
 * A worker in a process of its own, exchanged for a new one when the code has changed. What the old one ran goes on in the
 * new one from its history, as after any other restart: nothing of the old code is left anywhere.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Session } from "./session.ts";

/** Editors save in several steps. */
const settleMs = 100;

/** See the head of the file. */
export class WorkerProcess {
  readonly #session: Session;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Exchanges one after the other. */
  #exchange: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(session: Session) {
    this.#session = session;
    this.#start();
  }

  /** Soon, and once for all that is saved together. */
  reload(path: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#session.out.note(`${path} was saved: reloading`);
      this.#exchange = this.#exchange.then(() => this.#end()).then(() => this.#start());
    }, settleMs);
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopped = true;
    await this.#exchange;
    await this.#end();
  }

  #start(): void {
    if (this.#stopped) return;
    const { io, out, globalArguments } = this.#session;
    const bin = fileURLToPath(new URL(`./bin${extname(import.meta.url)}`, import.meta.url));
    const child = spawn(
      process.execPath,
      [...process.execArgv, bin, "worker", "--drain", "2s", ...globalArguments],
      // The channel is the leash: when it breaks, by us or because we are gone, the worker drains and ends.
      { cwd: io.cwd, env: { ...io.env }, stdio: ["ignore", "pipe", "pipe", "ipc"] },
    );
    // What the code prints is for people: results of this command are what happens in the store.
    child.stdout?.setEncoding("utf8").on("data", (text: string) => io.stderr.write(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => io.stderr.write(text));
    child.on("exit", (code) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      out.note(`the worker has ended with exit code ${code}: waiting for the code to be saved`);
    });
    this.#child = child;
  }

  async #end(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    if (child.connected) child.disconnect();
    await ended;
  }
}
