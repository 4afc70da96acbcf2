/** Where it happens: a folder with a store and a side file, and worker processes that are started, stopped and killed. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "@stet/core";
import { build } from "esbuild";
import { newDatabase, newFile, storeAt } from "./stores.ts";
import type { Assignment, Order, Report } from "./worker-process.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** A worker in a process of its own. */
export interface WorkerProcess {
  readonly name: string;
  readonly pid: number;
  /** What it logged so far, one JSON line each. */
  readonly log: () => string;
  /** What it said so far. */
  readonly reports: () => readonly Report[];
  readonly isAlive: () => boolean;
  /** Whether it has said that it is at work. */
  readonly isReady: () => boolean;
  readonly tell: (order: Order) => void;
  readonly signal: (signal: "SIGSTOP" | "SIGCONT") => void;
  /** Ends it at once. It is gone when the promise resolves. */
  readonly kill: () => Promise<void>;
}

/** See the head of the file. */
export interface Site {
  readonly folder: string;
  /** The address of the store: see `stores.ts`. */
  readonly store: string;
  readonly starts: string;
  /** Opened by the test, on the same store. */
  readonly client: Client;
  /** Starts a worker, and does not wait until it works. `through` is a command that runs the command it is given. */
  readonly launch: (name: string, assignment?: Partial<Assignment>, through?: readonly string[]) => WorkerProcess;
  /** What there is to say about it when something went wrong. */
  readonly describe: () => Promise<string>;
  readonly close: () => Promise<void>;
}

/** Makes a {@link Site}, with a file, or with a database on a server. */
export async function openSite(server?: string): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), "stet-chaos-"));
  const { address: store, remove } = server === undefined ? newFile(folder) : await newDatabase(server);
  const starts = join(folder, "starts.txt");
  const entry = await bundled(new URL("worker-process.ts", import.meta.url), join(folder, "code"));
  const client = await Client.connect({ storage: storeAt(store) });
  const workers: WorkerProcess[] = [];
  return {
    folder,
    store,
    starts,
    client,
    launch(name, assignment = {}, through = []) {
      const told = JSON.stringify({ store, starts, name, ...assignment } satisfies Assignment);
      const [command, ...more] = [...through, process.execPath, entry, told];
      const worker = started(name, spawn(command, more, { stdio: ["ignore", "pipe", "pipe", "ipc"] }));
      workers.push(worker);
      return worker;
    },
    async describe() {
      const stats = await client.stats().catch(String);
      const alive = workers.filter(({ isAlive }) => isAlive());
      return [JSON.stringify(stats), ...alive.map(({ name, log }) => `${name}: ${log().slice(-2_000)}`)].join("\n");
    },
    async close() {
      for (const worker of workers) await worker.kill();
      await client.close();
      await remove();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function started(name: string, child: ChildProcess): WorkerProcess {
  let [log, said] = ["", ""];
  child.stderr?.on("data", (chunk) => (log += String(chunk)));
  child.stdout?.on("data", (chunk) => (said += String(chunk)));
  child.on("error", (error) => (log += String(error)));
  const reports = () =>
    said
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Report);
  const isAlive = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;
  return {
    name,
    pid: child.pid ?? 0,
    log: () => log,
    reports,
    isAlive,
    isReady: () => said.includes('"at work"'),
    tell: (order) => void child.send(order),
    signal: (signal) => void child.kill(signal),
    async kill() {
      if (!isAlive()) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** One file, so that a process is at work in a fifth of a second: most of a kill is the start after it. */
export async function bundled(source: URL, folder: string): Promise<string> {
  mkdirSync(folder);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const outfile = join(folder, "process.mjs");
  await build({
    entryPoints: [fileURLToPath(source)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@stet/source"],
    external: ["better-sqlite3", "pg"],
    sourcemap: "inline",
  });
  return outfile;
}
