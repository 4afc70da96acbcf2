/**
 * The layout of the house, read from its imports: which package may know which, and which floor of the core may look
 * where. Type imports count like any other.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseSync, Visitor } from "oxc-parser";

/** The floors of `packages/core/src`, lowest first. What is not listed is the shell; above it is only the roof. */
const FLOORS: readonly (readonly [name: string, files: readonly string[]])[] = [
  [
    "vocabulary",
    [
      "events.ts",
      "messages.ts",
      "payload.ts",
      "to-payload.ts",
      "errors.ts",
      "duration.ts",
      "options.ts",
      "budget.ts",
      "schema.ts",
      "llm/conversation.ts",
      "llm/usage.ts",
      "llm/provider-kit/secrets.ts",
    ],
  ],
  ["seams", ["storage.ts", "storage-admin.ts", "storage-budgets.ts", "storage-work.ts", "ports.ts", "llm/provider.ts"]],
  [
    "authoring",
    [
      "appearance.ts",
      "definitions.ts",
      "context.ts",
      "orchestration-context.ts",
      "recorder.ts",
      "recent-facts.ts",
      "recollection.ts",
      "deterministic-values.ts",
      "instance-handle.ts",
      "durable-promise.ts",
      "retry.ts",
      "registry.ts",
      "llm/operations.ts",
      "llm/llm-calls.ts",
      "llm/inquiry.ts",
      "llm/cache-scope.ts",
      "llm/words.ts",
      "llm/tools.ts",
      "llm/vectors.ts",
      "llm/prompts.ts",
      "llm/context-injection.ts",
      "llm/answers.ts",
      "llm/written-answer.ts",
    ],
  ],
  [
    "engine",
    [
      "small-map.ts",
      "fork-origin.ts",
      "execution.ts",
      "operation.ts",
      "course.ts",
      "turn.ts",
      "replay.ts",
      "nondeterminism.ts",
    ],
  ],
];
const ROOF = ["index.ts", "internal.ts"];

/** Which of our packages a package may import, by the folder it lives in. `cli` may import everything. */
const MAY_IMPORT: readonly (readonly [folder: RegExp, allowed: RegExp])[] = [
  [/^packages\/(core|lint)$/, /^$/],
  [/^packages\/(testing|agent|diagram)$/, /^@stet\/core$/],
  [/^packages\/replay$/, /^@stet\/(core|diagram)$/],
  [/^packages\/(mcp|openapi)$/, /^@stet\/(core|agent)$/],
  [/^packages\/cli$/, /^@stet\//],
  [/^providers\//, /^@stet\/core$/],
];

/** Import modules of the user's, whose names nobody knows here. All others import by a plain string. */
const LOADERS = ["packages/cli/src/import-module.ts", "packages/agent/src/tools-in.ts"];

const MAX_LINES = 500;
const DRAWERS = /^(utils?|types?|helpers?|common|misc)\.[cm]?[jt]sx?$/;

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = readPackages();

test("a package imports only the packages of ours that it may know", () => {
  const found = packages.flatMap(({ folder, imports, dependencies }) => [
    ...imports
      .filter(({ name }) => isOurs(name) && !mayImport(folder, packageOf(name)))
      .map(({ file, name }) => `${file} imports ${name}`),
    ...dependencies
      .filter((name) => isOurs(name) && !mayImport(folder, name))
      .map((name) => `${folder}/package.json depends on ${name}`),
  ]);

  assert.deepEqual(found, []);
});

test("a relative import stays inside its package and names a file that exists", () => {
  const found = packages.flatMap(({ files, relativeImports }) =>
    relativeImports.filter(({ to }) => !files.has(to)).map(({ file, to }) => `${file} imports ${to}`),
  );

  assert.deepEqual(found, []);
});

test("no file of a package imports itself in a circle, type imports included", () => {
  const found = packages.flatMap(({ relativeImports }) => circles(relativeImports));

  assert.deepEqual(found, []);
});

test("inside the core, imports go down or stay on their floor", () => {
  const core = packages.find(({ folder }) => folder === "packages/core");
  assert.ok(core, "Expected packages/core to exist.");

  const found = core.relativeImports
    .map(({ file, to }) => ({ file: inCore(file), to: inCore(to) }))
    .filter(({ file, to }) => floorOf(to) > floorOf(file))
    .map(({ file, to }) => `${file} (${floorName(file)}) imports ${to} (${floorName(to)})`);

  assert.deepEqual(found, []);
});

test(`no source file is longer than ${MAX_LINES} lines`, () => {
  const found = packages
    .flatMap(({ files }) => [...files])
    .map((file) => ({ file, lines: read(file).trimEnd().split("\n").length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file}: ${lines}`);

  assert.deepEqual(found, []);
});

test("no file is a drawer without a name", () => {
  const found = committedFiles().filter((file) => DRAWERS.test(basename(file)));

  assert.deepEqual(found, []);
});

test("no file names a package registry or a path of the machine it was written on", () => {
  // Spelled in pieces, so that this file passes its own test.
  const registries = [
    ["registry", "npmjs", "org"].join("."),
    ["registry", "yarnpkg", "com"].join("."),
    ["deb", "debian", "org"].join("."),
    new URL(execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8", stdio: "pipe" }).trim()).host,
  ];
  const machinePaths = [root, ["", "work", "main"].join("/"), ["", "work", "shared"].join("/")];

  const found = committedFiles().flatMap((file) => {
    const text = read(file);
    if (text.includes("\0")) return [];
    return [...new Set([...registries, ...machinePaths])]
      .filter((name) => text.includes(name))
      .map((name) => `${file}: ${name}`);
  });

  assert.deepEqual(found, []);
});

interface Import {
  readonly file: string;
  readonly name: string;
}

interface RelativeImport {
  readonly file: string;
  readonly to: string;
}

interface Package {
  readonly folder: string;
  readonly dependencies: readonly string[];
  /** Source files that are not tests, relative to the root. */
  readonly files: ReadonlySet<string>;
  readonly imports: readonly Import[];
  readonly relativeImports: readonly RelativeImport[];
}

function readPackages(): readonly Package[] {
  const folders = ["packages", "providers/storage", "providers/llm"].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => `${parent}/${name}`),
  );
  return folders.map((folder) => {
    const manifest = JSON.parse(read(`${folder}/package.json`)) as Record<string, Record<string, string> | undefined>;
    const files = sourceFiles(`${folder}/src`);
    const imports = files.flatMap((file) => importsOf(file).map((name) => ({ file, name })));
    return {
      folder,
      dependencies: ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"].flatMap((kind) =>
        Object.keys(manifest[kind] ?? {}),
      ),
      files: new Set(files),
      imports: imports.filter(({ name }) => !name.startsWith(".")),
      relativeImports: imports
        .filter(({ name }) => name.startsWith("."))
        .map(({ file, name }) => ({ file, to: posix.join(dirname(file), name) })),
    };
  });
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => posix.join(folder, name))
    .filter((file) => /\.[cm]?tsx?$/.test(file) && !/\.test\.tsx?$/.test(file))
    .sort();
}

/** Every module a file names: import, export from, import(), import("...") types and import = require. */
function importsOf(file: string): string[] {
  const { program, errors } = parseSync(join(root, file), read(file));
  assert.equal(errors.length, 0, `Expected ${file} to parse, got ${errors[0]?.message}.`);
  const found: string[] = [];
  const add = (source: { readonly type: string } | null): void => {
    if (!source) return;
    assert.ok("value" in source && typeof source.value === "string", `Expected ${file} to import by a plain string.`);
    found.push(source.value);
  };
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ImportExpression: (node) => {
      if (!LOADERS.includes(file) || node.source.type === "Literal") add(node.source);
    },
    TSImportType: (node) => add(node.source),
    TSExternalModuleReference: (node) => add(node.expression),
  }).visit(program);
  return found;
}

/** One line for every circle that a walk along the imports runs into. */
function circles(imports: readonly RelativeImport[]): string[] {
  const next = new Map<string, string[]>();
  for (const { file, to } of imports) next.set(file, [...(next.get(file) ?? []), to]);
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) found.push([...path.slice(start), file].join(" -> "));
    if (start >= 0 || done.has(file)) return;
    for (const to of next.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  return found;
}

function isOurs(name: string): boolean {
  return name === "stet" || name.startsWith("stet/") || name.startsWith("@stet/");
}

function packageOf(name: string): string {
  return name
    .split("/")
    .slice(0, name.startsWith("@") ? 2 : 1)
    .join("/");
}

function mayImport(folder: string, name: string): boolean {
  const rule = MAY_IMPORT.find(([pattern]) => pattern.test(folder));
  assert.ok(rule, `Expected a rule in MAY_IMPORT for ${folder}.`);
  return rule[1].test(name);
}

function inCore(file: string): string {
  return relative("packages/core/src", file);
}

function floorOf(file: string): number {
  if (ROOF.includes(file)) return FLOORS.length + 1;
  const floor = FLOORS.findIndex(([, files]) => files.includes(file));
  return floor < 0 ? FLOORS.length : floor;
}

function floorName(file: string): string {
  return ["shell", "roof"][floorOf(file) - FLOORS.length] ?? FLOORS[floorOf(file)]?.[0] ?? "nowhere";
}

/** What is committed or could be: tracked files and new ones that are not ignored. */
function committedFiles(): string[] {
  const listing = execFileSync(
    "git",
    ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"],
    {
      cwd: root,
      encoding: "utf8",
    },
  );
  return listing.split("\0").filter((file) => file !== "" && exists(file));
}

function exists(file: string): boolean {
  try {
    read(file);
    return true;
  } catch {
    return false; // deleted but not yet staged, or a folder that is a repository of its own
  }
}

function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}
