/**
 * What an orchestration must not take from around it, and what to take instead. What the engine's guard answers or refuses
 * while code runs comes first, in its words; the rest it cannot see.
 */
import type { Name } from "./names.ts";

/** Something ambient. */
export interface Ambient {
  /** As it is written: `Date.now`, or `node:fs` for all of a module. */
  readonly name: string;
  readonly instead: string;
  /** What the engine's determinism guard does about it while an orchestration runs. Absent: it does not see it. */
  readonly guard?: "answers" | "refuses";
  /** How it is written by way of the context, where nothing else changes by that. */
  readonly fix?: "now" | "random" | "uuid" | "date" | "dateText";
}

const byActivity = "an activity, whose result is recorded";
const byInput = "the input of the orchestration, or an activity that reads it";

const globals: { readonly [name: string]: Omit<Ambient, "name"> } = {
  // The guard answers
  "Date.now": { instead: "ctx.now()", guard: "answers", fix: "now" },
  Date: { instead: "ctx.now()", guard: "answers" },
  "Math.random": { instead: "ctx.random()", guard: "answers", fix: "random" },
  "crypto.randomUUID": { instead: "ctx.uuid()", guard: "answers", fix: "uuid" },
  // The guard refuses
  setTimeout: { instead: "ctx.timer(duration)", guard: "refuses" },
  setInterval: { instead: "a loop with ctx.timer(duration)", guard: "refuses" },
  setImmediate: { instead: "ctx.timer(0), or nothing: durable promises need no yielding", guard: "refuses" },
  fetch: { instead: "an activity that fetches", guard: "refuses" },
  // The guard cannot see
  "performance.now": { instead: "ctx.now()" },
  "performance.timeOrigin": { instead: "ctx.now()" },
  "process.hrtime": { instead: "ctx.now()" },
  "process.uptime": { instead: "ctx.now()" },
  "crypto.getRandomValues": { instead: "ctx.random() or ctx.uuid()" },
  "crypto.subtle": { instead: byActivity },
  "process.env": { instead: byInput },
  "process.argv": { instead: byInput },
  "process.cwd": { instead: byInput },
  "process.pid": { instead: byInput },
  "process.platform": { instead: byInput },
  "process.memoryUsage": { instead: byActivity },
  "process.cpuUsage": { instead: byActivity },
  "process.stdin": { instead: byActivity },
  "navigator.language": { instead: byInput },
  XMLHttpRequest: { instead: byActivity },
  WebSocket: { instead: byActivity },
  EventSource: { instead: byActivity },
  Worker: { instead: byActivity },
  BroadcastChannel: { instead: "ctx.waitForEvent(name)" },
  MessageChannel: { instead: "ctx.waitForEvent(name)" },
  WeakRef: { instead: "a plain reference: when memory is collected is not recorded" },
  FinalizationRegistry: { instead: "try and finally: when memory is collected is not recorded" },
};

const modules: { readonly [name: string]: Omit<Ambient, "name"> } = {
  "timers.setTimeout": { instead: "ctx.timer(duration)", guard: "refuses" },
  "timers.setInterval": { instead: "a loop with ctx.timer(duration)", guard: "refuses" },
  "timers.setImmediate": { instead: "ctx.timer(0), or nothing: durable promises need no yielding", guard: "refuses" },
  "timers/promises.setTimeout": { instead: "ctx.timer(duration)", guard: "refuses" },
  "timers/promises.setInterval": { instead: "a loop with ctx.timer(duration)", guard: "refuses" },
  "timers/promises.setImmediate": {
    instead: "ctx.timer(0), or nothing: durable promises need no yielding",
    guard: "refuses",
  },
  "timers/promises.scheduler": { instead: "ctx.timer(duration)" },
  "crypto.randomUUID": { instead: "ctx.uuid()", guard: "answers", fix: "uuid" },
  "crypto.randomBytes": { instead: "ctx.random() or ctx.uuid()" },
  "crypto.randomInt": { instead: "ctx.random()" },
  "crypto.randomFillSync": { instead: "ctx.random() or ctx.uuid()" },
  "crypto.getRandomValues": { instead: "ctx.random() or ctx.uuid()" },
  "crypto.webcrypto": { instead: "ctx.random(), ctx.uuid(), or an activity" },
  "perf_hooks.performance": { instead: "ctx.now()" },
  "process.env": { instead: byInput },
  "process.hrtime": { instead: "ctx.now()" },
};

const wholeModules: ReadonlySet<string> = new Set([
  "child_process",
  "cluster",
  "dgram",
  "dns",
  "dns/promises",
  "fs",
  "fs/promises",
  "http",
  "http2",
  "https",
  "inspector",
  "net",
  "os",
  "readline",
  "readline/promises",
  "sqlite",
  "tls",
  "v8",
  "worker_threads",
]);

/** The ambient thing that a name means, if it is one. */
export function ambientOf({ module, path }: Name): Ambient | undefined {
  if (module === undefined) return found(globals, path, "");
  const name = module.replace(/^node:/, "");
  if (wholeModules.has(name) && path.length <= 1)
    return { name: [`node:${name}`, ...path].join(" "), instead: byActivity };
  return found(modules, [name, ...path], "node:");
}

function found(
  table: { readonly [name: string]: Omit<Ambient, "name"> },
  path: readonly string[],
  prefix: string,
): Ambient | undefined {
  const name = path.join(".");
  const entry = Object.hasOwn(table, name) ? table[name] : undefined;
  return entry === undefined ? undefined : { name: prefix === "" ? name : `${prefix}${name}`, ...entry };
}
