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

function summaryOf({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Profile {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)));
  const fileOf = (id: number | undefined): string => {
    const node = id === undefined ? undefined : byId.get(id);
    return node === undefined ? "" : node.callFrame.url || fileOf(parents.get(node.id));
  };
  const [areas, functions] = [new Map<string, number>(), new Map<string, number>()];
  samples.forEach((id, i) => {
    const frame = byId.get(id)?.callFrame;
    if (frame === undefined || frame.functionName === "(idle)") return;
    const us = timeDeltas[i] ?? 0;
    const file = fileOf(id);
    const name = frame.functionName || "(anonymous)";
    add(areas, areaOf(frame, file), us);
    add(functions, frame.url === "" && file === "" ? name : `${name} ${shortFile(file)}`, us);
  });
  return { areas: sharesOf(areas, 10), functions: sharesOf(functions, 20) };
}

/** Native functions are counted where they were called from. */
function areaOf({ functionName, url }: { functionName: string; url: string }, file: string): string {
  if (functionName.startsWith("(")) return functionName.slice(1, -1); // the garbage collector and the like
  const inPackage = /\/(?:packages\/(\w+)|providers\/\w+\/(\w+))\/(?:src|dist)\//.exec(file);
  const name = inPackage?.[1] ?? inPackage?.[2];
  if (name !== undefined) return url === "" && name === "sqlite" ? "SQLite itself" : `@stet/${name}`;
  if (file.includes("/test/bench/")) return "the benchmark";
  return file.includes("/node_modules/") ? "dependencies" : "Node";
}

function shortFile(file: string): string {
  return file.split("/").slice(-3).join("/");
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
