/**
 * The documents tell the truth: their code compiles, what they print is what it prints, their links lead somewhere, and
 * the reference is the one that the code has now.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { type Block, blocksOfComments, blocksOfDocument, documents, read, root } from "./blocks.ts";

const run = promisify(execFile);
const docs = documents();

test("the code in documents and doc comments compiles", { timeout: 250_000 }, async (t) => {
  const blocks = [...docs.flatMap(blocksOfDocument), ...blocksOfComments()];
  assert.ok(blocks.length > 0, "Expected documents and doc comments to hold code, got none.");
  const folder = await mkdtemp(join(tmpdir(), "stet-docs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await cp(join(root, "test/docs/prelude.ts"), join(folder, "prelude.ts"));
  const publicNames = await readPublicNames();
  const files = await Promise.all(
    blocks.map(async (block) => {
      const file = join(folder, block.file, `${block.line}.ts`);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, moduleOf(block, publicNames));
      return file;
    }),
  );
  const compilerOptions = {
    noEmit: true,
    composite: false,
    declarationMap: false,
    isolatedDeclarations: false,
    erasableSyntaxOnly: true,
    typeRoots: [join(root, "node_modules/@types")],
  };
  const project = { extends: join(root, "tsconfig.base.json"), compilerOptions, files };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(project));

  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { stdout } = await run(process.execPath, [tsc, "--pretty", "false"], { cwd: folder }).catch(
    (error: Error & { stdout: string }) => error,
  );

  // Line numbers are those of the document.
  const complaints = stdout.replaceAll(/^(.+)\/\d+\.ts\((\d+),/gm, "$1($2,").trim();
  assert.ok(complaints === "", complaints);
});

for (const file of docs) {
  for (const block of blocksOfDocument(file).filter(({ prints }) => prints !== undefined)) {
    test(`${file}:${block.line} prints what it says`, { timeout: 120_000 }, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), "stet-docs-"));
      t.after(() => rm(folder, { recursive: true, force: true }));
      await symlink(join(root, "node_modules"), join(folder, "node_modules"));
      await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
      await writeFile(join(folder, "program.ts"), block.text);
      const tsx = join(root, "node_modules/tsx/dist/loader.mjs");

      const { stdout } = await run(process.execPath, ["--conditions=@stet/source", "--import", tsx, "program.ts"], {
        cwd: folder,
        timeout: 110_000,
      });

      assert.equal(stdout, block.prints);
    });
  }
}

test("links lead somewhere", () => {
  const broken = docs.flatMap((file) =>
    [...proseOf(file).matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = ""]) => target)
      .filter((target) => !/^https?:/.test(target) && !leadsSomewhere(file, target))
      .map((target) => `${file}: ${target}`),
  );

  assert.deepEqual(broken, []);
});

test("files that documents name exist", () => {
  const missing = docs.flatMap((file) =>
    [...proseOf(file).matchAll(/`((?:packages|providers|samples|scripts|test|docs)\/[\w./-]+\.\w+)`/g)]
      .map(([, path = ""]) => path)
      .filter((path) => !existsSync(join(root, path)))
      .map((path) => `${file}: ${path}`),
  );

  assert.deepEqual(missing, []);
});

test("tests that docs/conformance.md names exist under that name", () => {
  const titles = ["packages/testing/src/conformance", "test"].flatMap(titlesBelow);
  const rows = read("docs/conformance.md")
    .split("\n")
    .filter((line) => line.startsWith("|"));
  const named = rows.flatMap((row) => [...row.matchAll(/(?<![\w*`])\*([^*]+)\*(?!\*)/g)].map(([, name = ""]) => name));
  assert.ok(named.length > 400, `${named.length} names`);

  const isTitle = (name: string) => titles.some((title) => title.test(name));
  assert.deepEqual(
    named.filter((name) => !isTitle(name)),
    [],
  );
});

test("every error code is explained", () => {
  const union = /export type StetErrorCode =([^;]+);/.exec(read("packages/core/src/errors.ts"))?.[1] ?? "";
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code = ""]) => code);
  assert.ok(codes.length > 0);
  const page = read("docs/writing-orchestrations.md");

  assert.deepEqual(
    codes.filter((code) => !page.includes(`\`${code}\``)),
    [],
  );
});

test("every document is in the index", () => {
  const index = read("docs/README.md");
  const pages = docs.filter((file) => file.startsWith("docs/") && file !== "docs/README.md");

  assert.deepEqual(
    pages.filter((file) => !index.includes(`](${file.slice("docs/".length)})`)),
    [],
  );
});

test("the reference is up to date and every public name has a doc comment", { timeout: 250_000 }, async () => {
  const checked = run(process.execPath, [join(root, "scripts/docs-api.mjs"), "--check"], { cwd: root });
  const { stderr } = await checked.catch((error: Error & { stderr: string }) => error);

  assert.equal(stderr, "");
});

/** The titles of the tests in a folder, without a subject before a colon or a seed that is filled in. */
function titlesBelow(folder: string): RegExp[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => [...read(join(folder, file)).matchAll(/\btest\(\s*(["`])((?:(?!\1)[^\\]|\\.)+)\1/g)])
    .map(([, , title = ""]) => title.replaceAll(/\\(.)/g, "$1").replaceAll(/^\$\{\w+\}: | \(seed \$\{\w+\}\)$/g, ""))
    .map((title) => title.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/))
    .filter((parts) => parts.join("").length > 10) // the others may be anything
    .map((parts) => new RegExp(`^${parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".+")}$`));
}

interface PublicNames {
  readonly name: string;
  readonly exports: readonly { readonly name: string; readonly isType: boolean }[];
}

async function readPublicNames(): Promise<readonly PublicNames[]> {
  const { stdout } = await run(process.execPath, [join(root, "scripts/docs-api.mjs"), "--names"], { cwd: root });
  return JSON.parse(stdout) as PublicNames[];
}

/** A block as a module of its own, with each line where it is in its file. */
function moduleOf({ file, line, text, fragment }: Block, publicNames: readonly PublicNames[]): string {
  const margin = "\n".repeat(line - 1);
  if (!fragment) return `${margin}${text}\nexport {};\n`;
  const imports = /^import .+;$/gm;
  const own = [...text.matchAll(imports)].map(([statement]) => statement);
  const isFree = (name: string) => !own.some((statement) => new RegExp(`\\b${name}\\b`).test(statement));
  const given = publicNames.map(({ name, exports }) => {
    const names = exports
      .filter((exported) => isFree(exported.name))
      .map((exported) => `${exported.isType ? "type " : ""}${exported.name}`);
    return `import { ${names.join(", ")} } from "${name}";`;
  });
  const prelude = relative(file, "prelude.ts").replace(/^(?!\.)/, "./");
  const props = [...read("test/docs/prelude.ts").matchAll(/^export (?:declare )?(const|function|interface) (\w+)/gm)]
    .filter(([, , name = ""]) => isFree(name))
    .map(([, kind, name]) => (kind === "interface" ? `type ${name}` : name));
  const world = `import { assert, test, ${props.join(", ")} } from "${prelude}";`;
  const head = [...given, world, ...own, "export async function example(): Promise<unknown> {"].join(" ");
  const body = text.replaceAll(imports, (statement) => statement.replaceAll(/[^\n]/g, ""));
  return `${"\n".repeat(Math.max(0, line - 2))}${head}\n${body}\nreturn undefined; }\n// ${basename(file)}\n`;
}

function proseOf(file: string): string {
  return read(file).replaceAll(/^```[\s\S]*?^```$/gm, "");
}

function leadsSomewhere(file: string, target: string): boolean {
  const [path = "", anchor] = target.split("#");
  const destination = path === "" ? file : join(dirname(file), path);
  if (!existsSync(join(root, destination))) return false;
  return anchor === undefined || headingsOf(destination).includes(anchor);
}

/** The anchors of a page as GitHub makes them. */
function headingsOf(file: string): string[] {
  return [...proseOf(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}
