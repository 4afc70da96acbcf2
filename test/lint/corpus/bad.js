// Every line with a mark is found by the rule that it names, and no other line is found. See `test/lint/10-corpus.test.ts`.
import { readFileSync } from "node:fs";
import * as files from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { activity, orchestration } from "@stet/core";
import { get } from "some-package";
import { db, helper, pure } from "./elsewhere.js";

const { now } = Date;
let count = 0;
let limit = 3;
const seen = new Map();
const recent = [];
const settled = new Set(["a", "b"]); // filled once, while the module is loaded
settled.add("c");

const note = activity("note", async () => {
  limit = Number(process.env["LIMIT"]); // activities may do all this
  recent.push(Date.now());
  await fetch("https://example.org");
});

export const ambient = orchestration("ambient", async (ctx, id) => {
  const at = Date.now(); // no-ambient
  const day = new Date(); // no-ambient
  const told = Date(); // no-ambient
  const known = new Date(at).toISOString();
  const again = now(); // no-ambient
  const chance = Math.random(); // no-ambient
  const ids = [crypto.randomUUID(), randomUUID()]; // no-ambient no-ambient
  const name = globalThis.process.env.NAME; // no-ambient
  const { pid } = process; // no-ambient
  const text = readFileSync("x.txt", "utf8"); // no-ambient
  await files.writeFile("x.txt", text); // no-ambient
  await sleep(500); // no-ambient
  setTimeout(() => {}, 5); // no-ambient
  await fetch("https://example.org"); // no-ambient
  const measured = performance.now(); // no-ambient
  const started = process.hrtime.bigint(); // no-ambient
  const hour = new Date(at).getHours(); // no-ambient
  const shown = new Date(at).toLocaleDateString(); // no-ambient
  const fixed = new Date(at).toLocaleDateString("en", { timeZone: "UTC" });
  const weak = new WeakRef(ctx); // no-ambient
  const Date2 = { now: () => 1 };
  Date2.now();
  return [at, day, told, known, again, chance, ids, name, pid, measured, started, hour, shown, fixed, weak, id];
});

export const floating = orchestration("floating", async (ctx, ids) => {
  ctx.activity(note, 1); // no-floating-durable
  void ctx.activity(note, 2);
  Promise.all([ctx.timer("1s")]); // no-floating-durable
  ctx.timer("1s").then(() => ctx.setStatus("late")); // no-floating-durable
  const wait = ctx.waitForEvent("go"); // no-floating-durable
  const used = ctx.waitForEvent("stop");
  ids.forEach((id) => ctx.activity(note, id)); // no-floating-durable
  ids.forEach(async (id) => void (await ctx.timer(id))); // no-floating-durable
  await Promise.all(ids.map((id) => ctx.activity(note, id)));
  charged(ctx); // no-floating-durable
  ctx.continueAsNew(ids); // no-floating-durable
  ctx.setStatus("done");
  ctx.startOrchestration("other");
  return used;
});

async function charged(durable) {
  await durable.activity(note);
  return Date.now(); // no-ambient
}

export const foreign = orchestration("foreign", async (ctx, id) => {
  const row = await db.find(id); // no-foreign-await
  const other = await helper("x"); // no-foreign-await
  const perhaps = await helper(id);
  const page = await get(id); // no-foreign-await
  const fine = await helper(ctx, id);
  const both = await helper([ctx.timer("1s")]);
  await new Promise((resolve) => resolve()); // no-foreign-await
  for await (const line of db.lines()) ctx.setStatus(line); // no-foreign-await
  const made = await ctx.race({ a: ctx.timer("1s"), b: ctx.waitForEvent("b") });
  const later = ctx.activity(note);
  const size = pure(id);
  return [row, other, perhaps, page, fine, both, made, size, await later, await id];
});

export const stateful = orchestration("stateful", async (ctx, id) => {
  count++; // no-module-state
  seen.set(id, count); // no-module-state no-module-state
  const most = limit; // no-module-state
  const last = recent.at(-1); // no-module-state
  const local = new Map();
  local.set(id, 1);
  return [most, last, settled.has(id), [...local.keys()]];
});

export const unordered = orchestration("unordered", async (ctx, list) => {
  for (const key of seen.keys()) await ctx.activity(note, key); // no-unordered-iteration no-module-state
  for (const name in process.env) ctx.setStatus(name); // no-unordered-iteration no-ambient
  for (const file of await files.readdir(".")) ctx.setStatus(file); // no-ambient
  const sorted = list.toSorted((a, b) => a.localeCompare(b)); // no-unordered-iteration
  const named = list.toSorted((a, b) => a.localeCompare(b, "en"));
  for (const name of settled) await ctx.activity(note, name);
  return [sorted, named, Object.keys({ b: 1, a: 2 })];
});

const steps = {
  price: (ctx) => Math.random() * ctx.random(), // no-ambient
  unused: () => Math.random(),
};

export const helped = orchestration("helped", { version: "2" }, priced);

async function priced(ctx) {
  const prices = [1, 2].map(withTime);
  return [steps.price(ctx), prices];
}

function withTime(price) {
  return { price, at: Date.now() }; // no-ambient
}

export function service() {
  count = 0;
  return { at: Date.now(), settings: process.env, file: readFileSync("x.txt"), id: randomUUID(), day: new Date() };
}
