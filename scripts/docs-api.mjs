// `npm run docs:api`: writes docs/api/<entry>.md from what the packages export: the doc comments and the emitted
// declarations, in the order and under the headings of each src/index.ts, and of the other public entries.
//
// --check   writes nothing and fails when a page is stale or a public name has no doc comment of its own
// --names   prints the public names of every package as JSON
//
// typedoc would need an older TypeScript beside ours. What it would do here fits in this file.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix, relative } from "node:path";
import { parseSync } from "oxc-parser";
import { root } from "./install.mjs";

const pagesFolder = join(root, "docs/api");
const [mode] = process.argv.slice(2);
const origin = "Made by `npm run docs:api` from the declarations and their comments. Edit those.";

const emitted = mkdtempSync(join(tmpdir(), "stet-api-"));
emitDeclarations();
const packages = readPackages();
rmSync(emitted, { recursive: true });
if (mode === "--names")
  console.log(JSON.stringify(packages.map(({ name, groups }) => ({ name, exports: namesOf(groups) }))));
else {
  const problems = [...packages.flatMap(undocumented), ...(mode === "--check" ? stale() : [])];
  if (mode !== "--check") write();
  if (problems.length > 0) {
    console.error(problems.join("\n"));
    process.exitCode = 1;
  }
}

/** Emits the declarations as they are now, whether or not everything type-checks. */
function emitDeclarations() {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const flags = [
    "--noCheck",
    "--declaration",
    "--emitDeclarationOnly",
    "--declarationMap",
    "false",
    "--composite",
    "false",
  ];
  for (const folder of packageFolders()) {
    const project = ["-p", join(root, folder), "--incremental", "false", "--tsBuildInfoFile", "null"];
    execFileSync(process.execPath, [tsc, ...project, ...flags, "--outDir", join(emitted, folder)], {
      stdio: "inherit",
    });
  }
}

function packageFolders() {
  return ["packages", "providers/storage", "providers/llm"]
    .flatMap((parent) => readdirSync(join(root, parent)).map((name) => `${parent}/${name}`))
    .filter((folder) => existsSync(join(root, folder, "src/index.ts")));
}

function readPackages() {
  return packageFolders().flatMap((folder) => {
    const { name, description, exports } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    return Object.entries(exports)
      .filter(([path]) => path !== "./internal")
      .map(([path, { "@stet/source": module }]) => ({
        name: posix.join(name, path),
        description: path === "." ? description : `A part of ${name}`,
        folder,
        groups: readGroups(folder, module),
      }));
  });
}

/** The exports of an entry, under the `//` comments that head them there. */
function readGroups(folder, module) {
  const source = readFileSync(join(root, folder, module), "utf8");
  const { program, comments } = parseSync(module, source);
  const groups = [];
  for (const statement of program.body) {
    const heading = comments.findLast(({ type, end }) => type === "Line" && end <= statement.start)?.value.trim() ?? "";
    if (groups.at(-1)?.heading !== heading) groups.push({ heading, declarations: [] });
    groups.at(-1).declarations.push(...exportedBy(statement, folder));
  }
  return groups;
}

function exportedBy(statement, folder) {
  const declared = readDeclarations(folder, statement.source.value);
  if (statement.type === "ExportAllDeclaration") return [...declared.values()];
  return statement.specifiers.map(({ local, exported, exportKind }) => {
    const declaration = declared.get(local.name);
    if (declaration === undefined)
      throw new Error(`Expected ${statement.source.value} of ${folder} to declare ${local.name}`);
    const isType = declaration.isType || exportKind === "type" || statement.exportKind === "type";
    return { ...declaration, isType, isDefault: exported.name === "default" };
  });
}

/** What a module declares for export, by name: comment and text of each declaration, overloads together. */
function readDeclarations(folder, module) {
  const file = posix.join(folder, "src", module);
  const source = readFileSync(join(emitted, folder, module.replace(/\.ts$/, ".d.ts")), "utf8");
  const { program, comments } = parseSync(file.replace(/\.ts$/, ".d.ts"), source);
  const declarations = new Map();
  for (const statement of program.body) {
    if (statement.type !== "ExportNamedDeclaration" || statement.declaration === null) continue;
    const { declaration } = statement;
    const name = (declaration.id ?? declaration.declarations[0].id).name;
    const comment = comments.findLast(({ type, value, end }) => {
      return (
        type === "Block" &&
        value.startsWith("*") &&
        end <= statement.start &&
        source.slice(end, statement.start).trim() === ""
      );
    });
    const known = declarations.get(name);
    const text = source.slice(statement.start, statement.end).replace(/^export (declare )?/, "");
    if (known !== undefined) known.texts.push(text);
    else declarations.set(name, { name, file, isType: isType(declaration), comment: textOf(comment), texts: [text] });
  }
  return declarations;
}

function isType({ type }) {
  return type === "TSInterfaceDeclaration" || type === "TSTypeAliasDeclaration";
}

/** A doc comment without its margin. */
function textOf(comment) {
  return (comment?.value ?? "")
    .slice(1)
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, ""))
    .join("\n")
    .trim();
}

function undocumented({ name, groups }) {
  return groups
    .flatMap(({ declarations }) => declarations)
    .filter(({ comment }) => comment === "" || comment.startsWith("See the head of the file"))
    .map(
      (declaration) =>
        `Expected ${declaration.name} of ${name} (${declaration.file}) to have a doc comment of its own.`,
    );
}

function namesOf(groups) {
  return groups
    .flatMap(({ declarations }) => declarations)
    .filter(({ isDefault }) => !isDefault) // it has the name that an importer gives it
    .map(({ name, isType: type }) => ({ name, isType: type }));
}

// Pages

function pages() {
  return new Map([...packages.map((entry) => [fileOf(entry), pageOf(entry)]), ["README.md", indexPage()]]);
}

function fileOf({ name }) {
  return `${name.replace("@stet/", "").replace("/", "-")}.md`;
}

function indexPage() {
  const lines = packages.map((entry) => `- [${entry.name}](${fileOf(entry)}): ${entry.description}`);
  return `# Reference\n\n${origin}\n\n${lines.join("\n")}\n`;
}

function pageOf({ name, description, groups }) {
  const parts = [`# ${name}`, `${description}.`, origin];
  for (const { heading, declarations } of groups) {
    if (heading !== "") parts.push(`## ${heading}`);
    for (const declaration of declarations) parts.push(...entryOf(declaration));
  }
  return parts.join("\n\n") + "\n";
}

function entryOf({ name, comment, texts }) {
  const text = texts.join("\n").replace(/^ {4}#private;\n/m, "");
  return [`### ${name}`, ...(comment === "" ? [] : [markdownOf(comment)]), "```ts\n" + text + "\n```"];
}

function markdownOf(comment) {
  return comment
    .replaceAll(/\{@link ([^}]+)\}/g, "`$1`")
    .replaceAll(/^@example *(.*)$/gm, (_, title) => `\n${title === "" ? "Example" : title}:\n`)
    .replaceAll(/^@param (\w+) - /gm, "\n`$1`: ")
    .replaceAll(/@throws (\w+)/g, "\nThrows `$1`")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();
}

function write() {
  rmSync(pagesFolder, { recursive: true, force: true });
  mkdirSync(pagesFolder, { recursive: true });
  for (const [file, text] of pages()) writeFileSync(join(pagesFolder, file), text);
}

function stale() {
  const wanted = pages();
  const present = existsSync(pagesFolder) ? readdirSync(pagesFolder) : [];
  const names = new Set([...wanted.keys(), ...present]);
  const read = (file) => (present.includes(file) ? readFileSync(join(pagesFolder, file), "utf8") : undefined);
  return [...names]
    .filter((file) => read(file) !== wanted.get(file))
    .map(
      (file) =>
        `Expected ${relative(root, join(pagesFolder, file))} to be up to date, got an old page: npm run docs:api`,
    );
}
