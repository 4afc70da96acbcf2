/** Where it happens: a folder with a store and a side file, and worker processes that are started, stopped and killed. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { build } from "esbuild";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A worker in a process of its own. */
export interface WorkerProcess {
  readonly name: string;
  readonly process: ChildProcess;
  /** What it logged so far, one JSON line each. */
  readonly log: () => string;
  readonly isAlive: () => boolean;
  /** Whether it has said that it is at work. */
  readonly isReady: () => boolean;
  /** Ends it at once. It is gone when the promise resolves. */
  kill(): Promise<void>;
}

/** See the head of the file. */
export interface Site {
  readonly folder: string;
  readonly store: string;
  readonly starts: string;
  readonly client: Client;
  /** Starts a file of this folder with the store, the side file, a name and more. Does not wait until it works. */
  launch(file: string, name: string, ...more: readonly string[]): WorkerProcess;
  close(): Promise<void>;
}

/** Makes a {@link Site}. */
export async function openSite(files: readonly string[]): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), "stet-chaos-"));
  const [store, starts] = [join(folder, "store.db"), join(folder, "starts.txt")];
  await bundle(files, join(folder, "code"));
  const client = await Client.connect({ storage: sqlite(store) });
  const workers: WorkerProcess[] = [];
  return {
    folder,
    store,
    starts,
    client,
    launch(file, name, ...more) {
      const entry = join(folder, "code", file.replace(/\.ts$/, ".mjs"));
      const worker = started(name, spawn(process.execPath, [entry, store, starts, name, ...more]));
      workers.push(worker);
      return worker;
    },
    async close() {
      for (const worker of workers) await worker.kill();
      await client.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function started(name: string, process: ChildProcess): WorkerProcess {
  let log = "";
  let ready = false;
  process.stdout?.once("data", () => (ready = true));
  process.stderr?.on("data", (chunk) => (log += String(chunk)));
  const isAlive = () => process.exitCode === null && process.signalCode === null;
  return {
    name,
    process,
    log: () => log,
    isAlive,
    isReady: () => ready,
    async kill() {
      if (!isAlive()) return;
      const gone = once(process, "exit");
      process.kill("SIGKILL");
      await gone;
    },
  };
}

/** One file each, so that a process is at work in a fifth of a second: most of a kill is the start after it. */
async function bundle(files: readonly string[], folder: string): Promise<void> {
  mkdirSync(folder);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  await build({
    entryPoints: files.map((file) => fileURLToPath(new URL(file, import.meta.url))),
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@stet/source"],
    external: ["better-sqlite3"],
    sourcemap: "inline",
  });
}

/** Looks until a condition holds. The work is in other processes, so there is nothing to wait for but time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { withinMs = 60_000, everyMs = 10 } = {},
): Promise<void> {
  const giveUpAt = performance.now() + withinMs; // a loaded machine is slow, not wrong
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`Expected ${what} within ${withinMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
