/** Where the time goes: samples of V8's profiler, summed up by area and by function. */
import { Session } from "node:inspector/promises";
import type { Profiler } from "node:inspector";

/** A share of the time that was not idle. */
export interface Share {
  readonly what: string;
  readonly percent: number;
}

/** See the head of the file. */
export interface Profile {
  readonly areas: readonly Share[];
  readonly functions: readonly Share[];
}

/** Runs `body` under the profiler. */
export async function profiled(body: () => Promise<void>): Promise<Profile> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: 200 });
    await session.post("Profiler.start");
    await body();
    const { profile } = await session.post("Profiler.stop");
    return summaryOf(profile);
  } finally {
    session.disconnect();
  }
}

type Frame = Profiler.ProfileNode["callFrame"];

function summaryOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Profile {
  const byId = new Map(nodes.map((node) => [node.id, node.callFrame]));
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)));
  const [areas, functions] = [new Map<string, number>(), new Map<string, number>()];
  samples.forEach((id, i) => {
    const stack: Frame[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const frame = byId.get(at);
      if (frame !== undefined) stack.push(frame);
    }
    const [frame] = stack;
    if (frame === undefined || frame.functionName === "(idle)" || stack.some(isNotTheWorkload)) return;
    const us = timeDeltas[i] ?? 0;
    const file = stack.find(({ url }) => url !== "")?.url ?? "";
    add(areas, areaOf(frame, file), us);
    add(functions, nameOf(frame, file), us);
  });
  return { areas: sharesOf(areas, 10), functions: sharesOf(functions, 20) };
}

/** Opening and closing the file, the journal that is the limit, and the profiler itself. */
function isNotTheWorkload({ functionName, url }: Frame): boolean {
  return (
    url.endsWith("-journal.ts") ||
    url.endsWith("/postgres-site.ts") ||
    url.endsWith("/bench/scratch.ts") ||
    url.startsWith("node:inspector") ||
    functionName === "openDatabase" ||
    (functionName === "close" && url.includes("/better-sqlite3/"))
  );
}

/** Native functions are counted where they were called from. */
function areaOf({ functionName, url }: Frame, file: string): string {
  if (functionName.startsWith("(")) return functionName.slice(1, -1); // the garbage collector and the like
  const inPackage = /\/(?:packages\/(\w+)|providers\/\w+\/(\w+))\/(?:src|dist)\//.exec(file);
  const name = inPackage?.[1] ?? inPackage?.[2];
  if (file.includes("/better-sqlite3/") || (url === "" && name === "sqlite")) return "SQLite";
  if (name !== undefined) return `@stet/${name}`;
  if (/\/node_modules\/pg[/-]/.test(file)) return "pg";
  if (file.includes("/test/bench/")) return "the benchmark";
  return file.includes("/node_modules/") ? "other dependencies" : "Node";
}

function nameOf({ functionName, url }: Frame, file: string): string {
  const name = functionName || "(anonymous)";
  if (file === "") return name;
  const where = file.startsWith("node:") ? file : file.split("/").slice(-3).join("/");
  return url === "" ? `${name} (native), called in ${where}` : `${name}, ${where}`;
}

function add(sums: Map<string, number>, key: string, us: number): void {
  sums.set(key, (sums.get(key) ?? 0) + us);
}

function sharesOf(sums: ReadonlyMap<string, number>, most: number): Share[] {
  const total = [...sums.values()].reduce((sum, us) => sum + us, 0);
  return [...sums]
    .map(([what, us]) => ({ what, percent: (us / total) * 100 }))
    .sort((a, b) => b.percent - a.percent)
    .slice(0, most);
}
