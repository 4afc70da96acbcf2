/**
 * This process as other workers on the same machine see it, and whether one of theirs is still there. A dead process
 * need not be waited for.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import type { WorkerRecord } from "./storage.ts";

/** What a worker registers of its process. */
export interface ProcessIdentity {
  /** Equal for processes that can see each other: same machine, same boot, same process namespace. */
  readonly host: string;
  readonly pid: number;
  readonly processStart?: string;
}

/** The identity of this process. */
export function thisProcess(): ProcessIdentity {
  const processStart = startOf(process.pid);
  return { host: thisHost(), pid: process.pid, ...(processStart !== undefined && { processStart }) };
}

/** Whether the worker's process is known to be gone: it was on this host and is there no longer. */
export function isGone(worker: Pick<WorkerRecord, "host" | "pid" | "processStart">): boolean {
  if (worker.host !== thisHost()) return false;
  if (!exists(worker.pid)) return true;
  const start = startOf(worker.pid);
  return start !== undefined && worker.processStart !== undefined && start !== worker.processStart;
}

let host: string | undefined;

function thisHost(): string {
  host ??= [hostname(), read("/proc/sys/kernel/random/boot_id"), link("/proc/self/ns/pid")].filter(Boolean).join("|");
  return host;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !isZombie(pid);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // there, and somebody else's
  }
}

/** Field 22 of `/proc/pid/stat` (proc(5)): ticks from boot to the start of the process. Linux only. */
function startOf(pid: number): string | undefined {
  return fieldsOf(pid)?.[19];
}

/** Killed and not yet collected by its parent: as dead as can be. */
function isZombie(pid: number): boolean {
  return fieldsOf(pid)?.[0] === "Z";
}

/** The fields after the command, which may itself hold spaces and parentheses. */
function fieldsOf(pid: number): string[] | undefined {
  const stat = read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined; // not Linux, or the process is gone
  }
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // not Linux
  }
}
