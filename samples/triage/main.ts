/**
 * `npm start`: triages a dozen tickets, kills the worker half-way, starts another one on the same database, and shows
 * that nothing was paid for twice. `npm start -- FILE-OR-FOLDER` does the same with your own texts.
 */
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readArguments } from "./arguments.ts";
import { isLive } from "./model.ts";
import { countAnswers, countOpen, readRecords } from "./records.ts";
import { report } from "./report.ts";
import { writeTally } from "./tally.ts";
import { styled } from "./timeline.ts";
import { readTickets } from "./tickets.ts";

const { path, database = join(mkdtempSync(join(tmpdir(), "stet-triage-")), "triage.db") } = readArguments();
const files = { database, tally: `${database}.tally.jsonl`, payments: `${database}.payments.jsonl` };
const tickets = readTickets(path);
if (tickets.length === 0) {
  console.error(`Expected ${path} to hold at least one .txt or .md file.`);
  process.exit(2);
}
mkdirSync(dirname(database), { recursive: true });
const startedAt = Date.now();
const client = await Client.connect({ storage: sqlite(database) });

console.log(`${styled("bold", "Stet: triage at a support desk")}

Tickets    ${tickets.length} from ${shortPath(path)}
Model      ${isLive ? "a real one, by OPENAI_API_KEY" : "a mock (set OPENAI_API_KEY to ask a real one)"}
Database   ${database}
Tally      ${files.tally}
           a line for each model call that is really made, written by the model's wrapper
`);
const finished = await triageAll();
const proved = report(await read(), files);
await client.close();
process.exitCode = finished && proved ? 0 : 1;

/** One worker until half-way, another one to the end. Answers whether the last one ended well. */
async function triageAll(): Promise<boolean> {
  if (countOpen(await read()) === 0) {
    say("all tickets of this database were finished earlier; this is how it went");
    return true;
  }
  let worker = startWorker("starts; tickets come in one after another");
  if (await waitForHalf(worker)) {
    await kill(worker);
    worker = startWorker("starts on the same database");
  }
  const code = await exitCodeOf(worker);
  say(code === 0 ? "all tickets are finished" : `worker ${worker.pid} ended with exit code ${code}`);
  return code === 0;
}

function startWorker(what: string): ChildProcess {
  const program = fileURLToPath(new URL("worker.ts", import.meta.url));
  const worker = fork(program, [files.database, files.tally, files.payments, path]);
  say(`worker ${worker.pid} ${what}`);
  worker.on("message", (message) => say(`worker ${worker.pid}: ${String(message)}`));
  return worker;
}

/** Waits until half of the model answers to come are in the database. `false`: the worker ended before that. */
async function waitForHalf(worker: ChildProcess): Promise<boolean> {
  const atFirst = countAnswers(await read());
  const leastToCome = Math.max(1, 3 * tickets.length - atFirst);
  while (isAlive(worker)) {
    if (countAnswers(await read()) - atFirst >= leastToCome / 2) return isAlive(worker);
    await sleep(20);
  }
  return false;
}

/** Kills the worker for real, and writes down what the database holds at that moment. */
async function kill(worker: ChildProcess): Promise<void> {
  worker.kill("SIGKILL");
  await exitCodeOf(worker);
  if (worker.signalCode !== "SIGKILL") return; // it ended by itself in the last moment
  const records = await read();
  const lastEventIds = Object.fromEntries(records.map(({ instanceId, events }) => [instanceId, events.length]));
  writeTally(files.tally, { kind: "killed", pid: worker.pid ?? 0, lastEventIds });
  const answers = countAnswers(records);
  say(
    `worker ${worker.pid} is killed (${worker.signalCode}): ${answers} model answers recorded, ${countOpen(records)} of ${tickets.length} tickets open`,
  );
}

async function exitCodeOf(worker: ChildProcess): Promise<number | null> {
  if (isAlive(worker)) await once(worker, "exit");
  return worker.exitCode;
}

function isAlive({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null;
}

function read() {
  return readRecords(client, tickets);
}

/** From here, when it is below; otherwise whole. */
function shortPath(absolute: string): string {
  const short = relative(process.cwd(), absolute);
  return short.startsWith("..") ? absolute : short;
}

function say(message: string): void {
  console.log(`${((Date.now() - startedAt) / 1000).toFixed(1).padStart(7)} s  ${message}`);
}
