/**
 * What the lint says of bad code, line by line, the same by ESLint and by oxlint; and that it says nothing of the samples.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { byEslint, byOxlint, type Complaint, fixedByEslint, root } from "./linters.ts";

const javaScript = "test/lint/corpus/bad.js";
const typeScript = "test/lint/corpus/bad.ts";

test("ESLint finds exactly the marked lines", () => {
  const code = read(javaScript);

  assert.deepEqual(marksOf(byEslint(code), "code.js"), expectedMarks(code));
});

test("oxlint finds exactly the marked lines, with types too, and nothing in the samples", async (t) => {
  const samples = ["samples", "samples/triage"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name}`),
  );
  assert.ok(samples.length >= 19);

  const complaints = await byOxlint(t, [javaScript, typeScript, ...samples]);

  for (const file of [javaScript, typeScript]) {
    assert.deepEqual(marksOf(complaints, file), expectedMarks(read(file)), file);
  }
  const others = complaints.filter(({ file }) => file !== javaScript && file !== typeScript);
  assert.deepEqual(others, []);
  const said = (each: readonly Complaint[]) => each.map(({ line, message }) => `${line} ${message}`).sort();
  const inJavaScript = complaints.filter(({ file }) => file === javaScript);
  assert.deepEqual(said(inJavaScript), said(byEslint(read(javaScript))));
});

test("what is safe to write otherwise is written so, by the name that the context has", () => {
  const code = `import { randomUUID as id } from "node:crypto";
import { orchestration } from "@stet/core";
orchestration("o", async (durable, names) => {
  const given = [Date.now(), new Date(), Date(), Math.random(), crypto.randomUUID(), id(), globalThis.Math.random()];
  names.sort((a, b) => a.localeCompare(b));
  const withoutContext = (durable) => Math.random() + durable;
  await setTimeout(5);
  await new Date(0);
  return given;
});
const outside = Date.now();
`;

  assert.equal(
    fixedByEslint(code),
    `import { randomUUID as id } from "node:crypto";
import { orchestration } from "@stet/core";
orchestration("o", async (durable, names) => {
  const given = [durable.now(), new Date(durable.now()), new Date(durable.now()).toString(), durable.random(), durable.uuid(), durable.uuid(), durable.random()];
  names.sort((a, b) => a.localeCompare(b, "en"));
  const withoutContext = (durable) => Math.random() + durable;
  await setTimeout(5);
  await new Date(0);
  return given;
});
const outside = Date.now();
`,
  );
});

test("files without orchestrations are left alone", () => {
  const code = `import { activity } from "@stet/core";
let count = 0;
export const note = activity("note", async () => { count++; await fetch("x"); return [Date.now(), process.env, count]; });
function orchestration(name, run) { return run(); }
orchestration("mine", async () => Math.random());
`;

  assert.deepEqual(byEslint(code), []);
});

/** `line rule` for each. */
function marksOf(complaints: readonly Complaint[], file: string): string[] {
  return complaints
    .filter((each) => each.file === file)
    .map(({ line, rule }) => `${line} ${rule}`)
    .sort();
}

function expectedMarks(code: string): string[] {
  return code
    .split("\n")
    .flatMap((text, i) => {
      const marks = / \/\/ ((?:no-[a-z-]+ ?)+)$/.exec(text)?.[1] ?? "";
      return marks.split(" ").flatMap((mark) => (mark === "" ? [] : [`${i + 1} ${mark}`]));
    })
    .sort();
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
