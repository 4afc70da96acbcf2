/**
 * List against list: what the engine's guard answers or refuses while code runs, the lint says while it is typed, and
 * with the same replacement. What is guarded is found by looking, not by a list of it.
 */
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { test } from "node:test";
import timers from "node:timers";
import timersPromises from "node:timers/promises";
import { orchestration } from "@stet/core";
import { installDeterminismGuard } from "@stet/core/internal";
import { given, start } from "@stet/testing";
import { byEslint } from "./linters.ts";

/** Whatever could be wrapped, and how code comes to it. */
const owners: readonly { readonly owner: object; readonly module?: string; readonly name?: string }[] = [
  { owner: globalThis },
  { owner: Math, name: "Math" },
  { owner: JSON, name: "JSON" },
  { owner: Promise, name: "Promise" },
  { owner: Intl, name: "Intl" },
  { owner: Atomics, name: "Atomics" },
  { owner: process, name: "process" },
  { owner: performance, name: "performance" },
  { owner: globalThis.crypto, name: "crypto" },
  { owner: crypto, module: "node:crypto" },
  { owner: timers, module: "node:timers" },
  { owner: timersPromises, module: "node:timers/promises" },
];

interface Guarded {
  readonly member: string;
  readonly owner: object;
  readonly module?: string;
  readonly name?: string;
}

test("the guard guards what it did when this was written", () => {
  const found = guarded().map(({ member, module, name }) => [module, name, member].filter(Boolean).join(" "));

  assert.deepEqual(found.sort(), [
    "Date",
    "Math random",
    "crypto randomUUID",
    "fetch",
    "node:crypto randomUUID",
    "node:timers setImmediate",
    "node:timers setInterval",
    "node:timers setTimeout",
    "node:timers/promises setImmediate",
    "node:timers/promises setInterval",
    "node:timers/promises setTimeout",
    "setImmediate",
    "setInterval",
    "setTimeout",
  ]);
});

for (const each of guarded()) {
  const { member, owner, module, name } = each;
  const written = name === undefined ? member : `${name}.${member}`;
  test(`the lint says of ${module ?? ""} ${written} what the guard does`, async () => {
    const done = await said(() => (owner as { readonly [member: string]: () => unknown })[member]?.());
    const imported = module === undefined ? "" : `import { ${member} as guarded } from "${module}";\n`;

    const complaints = byEslint(
      `import { orchestration } from "@stet/core";\n${imported}orchestration("o", (ctx) => { ${module === undefined ? written : "guarded"}(); });`,
    );

    assert.equal(complaints.length, 1, JSON.stringify(complaints));
    const [{ message, rule } = { message: "", rule: "" }] = complaints;
    assert.equal(rule, "no-ambient");
    const replacement = /: use (.+)$/.exec(done ?? "")?.[1];
    if (replacement === undefined) assert.match(message, /^\S+ answers as .*ctx\..* in an orchestration/);
    else assert.ok(message.endsWith(`throws a DeterminismError in an orchestration: use ${replacement}.`), message);
  });
}

test("what the lint says that the guard answers, the guard answers", async () => {
  for (const [code, value] of Object.entries({
    "Date.now()": () => Date.now(),
    "new Date()": () => new Date().getTime(),
    "Date()": () => Date(),
    "Math.random()": () => Math.random(),
    "crypto.randomUUID()": () => globalThis.crypto.randomUUID(),
  })) {
    const [{ message } = { message: "" }] = byEslint(
      `import { orchestration } from "@stet/core";\norchestration("o", (ctx) => ${code});`,
    );
    assert.match(message, /answers as/, code);
    assert.deepEqual(await twice(value), await twice(value), code);
  }
});

/** What is another one while the guard is there. */
function guarded(): Guarded[] {
  const before = owners.map(({ owner }) => membersOf(owner));
  const restore = installDeterminismGuard();
  try {
    return owners.flatMap(({ owner, ...place }, i) =>
      Object.entries(membersOf(owner))
        .filter(([member, value]) => before[i]?.[member] !== value)
        .map(([member]) => ({ member, owner, ...place })),
    );
  } finally {
    restore();
  }
}

function membersOf(owner: object): { readonly [member: string]: unknown } {
  const functions: { [member: string]: unknown } = {};
  for (const member of Object.getOwnPropertyNames(owner)) {
    const { value } = Object.getOwnPropertyDescriptor(owner, member) ?? {};
    if (typeof value === "function") functions[member] = value;
  }
  // What stands on the prototype, as randomUUID does before it is wrapped.
  const { randomUUID } = owner as { readonly randomUUID?: unknown };
  return typeof randomUUID === "function" ? { ...functions, randomUUID } : functions;
}

/** The message of what it throws in an orchestration. */
async function said(call: () => unknown): Promise<string | undefined> {
  const { failure } = await given(orchestration("calls", async () => void call())).when(start());
  return failure?.message;
}

/** What it answers in an orchestration of the same history. */
async function twice(value: () => unknown): Promise<unknown> {
  const { closing } = await given(orchestration("answers", async () => [value(), value()])).when(start());
  return closing;
}
