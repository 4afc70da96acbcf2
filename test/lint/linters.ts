/** The rules, run by the two linters that they are for. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import stet from "@stet/lint";
import { build } from "esbuild";
import { Linter } from "eslint";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a rule says of a line. */
export interface Complaint {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

/** ESLint, on JavaScript. */
export function byEslint(code: string): Complaint[] {
  return new Linter().verify(code, [stet.configs.recommended], "code.js").map(({ ruleId, line, message }) => {
    assert.ok(ruleId, message);
    return { file: "code.js", line, rule: ruleId.replace("@stet/lint/", ""), message };
  });
}

/** The same code with all that can be fixed. */
export function fixedByEslint(code: string): string {
  return new Linter().verifyAndFix(code, [stet.configs.recommended], "code.js").output;
}

/** oxlint, on files relative to the root. It runs no TypeScript, so it gets the plugin as users do. */
export async function byOxlint(t: TestContext, files: readonly string[]): Promise<Complaint[]> {
  const folder = await mkdtemp(join(tmpdir(), "stet-lint-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const plugin = join(folder, "plugin.mjs");
  await build({
    entryPoints: [join(root, "packages/lint/src/index.ts")],
    bundle: true,
    format: "esm",
    outfile: plugin,
  });
  const config = {
    plugins: [],
    categories: { correctness: "off" },
    jsPlugins: [plugin],
    rules: stet.configs.recommended.rules,
  };
  await writeFile(join(folder, "oxlint.json"), JSON.stringify(config));
  const output = join(folder, "output.json");
  const given = ["-c", join(folder, "oxlint.json"), "--no-ignore", "--format", "json", ...files];
  await writeFile(output, await stdoutOf(join(root, "node_modules/.bin/oxlint"), given));
  const { diagnostics } = JSON.parse(await readFile(output, "utf8")) as { diagnostics: readonly Diagnostic[] };
  return diagnostics.map(({ filename, code = "", message, labels }) => {
    const rule = /^@stet\/lint\((.+)\)$/.exec(code)?.[1];
    assert.ok(rule, `${code} ${message}`);
    return { file: filename, line: labels[0]?.span.line ?? 0, rule, message };
  });
}

interface Diagnostic {
  readonly filename: string;
  readonly code?: string;
  readonly message: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}

function stdoutOf(command: string, given: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, given, { cwd: root, maxBuffer: 50_000_000 }, (error, stdout, stderr) => {
      if (stdout === "") reject(new Error(`Expected ${command} to say something, got ${stderr}`, { cause: error }));
      else resolve(stdout); // it fails when it finds something
    });
  });
}
