/** What the documents hold that can be checked: blocks of TypeScript, links, and names of files. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A block of code in a document or a doc comment. */
export interface Block {
  /** Relative to the root. */
  readonly file: string;
  /** Of its first line of code. */
  readonly line: number;
  readonly text: string;
  /** Whether it is a piece of a program: the names of the packages and of the prelude are in scope. */
  readonly fragment: boolean;
  /** What it prints, when it stands after `<!-- run -->` and before the next text block. */
  readonly prints?: string;
}

/** README.md, CHANGELOG.md and everything below docs/ that people wrote. */
export function documents(): string[] {
  const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md") && !/^api[\\/]/.test(name))
    .map((name) => join("docs", name));
  return ["README.md", "CHANGELOG.md", ...pages.sort()];
}

/** The TypeScript blocks of a document. */
export function blocksOfDocument(file: string): Block[] {
  const source = read(file);
  const blocks = source.matchAll(/(^<!-- run -->\n)?^( *)```ts( fragment)?\n([\s\S]*?)^ *```$/gm);
  return Array.from(blocks, ({ 0: whole, 1: run, 2: margin = "", 3: fragment, 4: body = "", index }) => {
    const line = lineAt(source, index + whole.indexOf("```ts")) + 1;
    const text = body.replaceAll(new RegExp(`^${margin}`, "gm"), "");
    const block = { file, line, text, fragment: fragment !== undefined };
    if (run === undefined) return block;
    const prints = /^```text\n([\s\S]*?)^```$/m.exec(source.slice(index + whole.length))?.[1];
    return { ...block, prints: prints ?? "" };
  });
}

/** The examples in the doc comments of the packages. */
export function blocksOfComments(): Block[] {
  return sources().flatMap((file) => {
    const source = read(file);
    return [...source.matchAll(/^ *\* ```ts\n([\s\S]*?)^ *\* ```$/gm)].map(({ 1: body = "", index }) => {
      const text = body.replaceAll(/^ *\* ?/gm, "");
      return { file, line: lineAt(source, index) + 1, text, fragment: true };
    });
  });
}

function sources(): string[] {
  return ["packages", "providers/storage", "providers/llm"].flatMap((parent) =>
    readdirSync(join(root, parent)).flatMap((name) => {
      const folder = join(root, parent, name, "src");
      return readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts"))
        .map((file) => relative(root, join(folder, file)));
    }),
  );
}

/** The text of a file, by its path from the root. */
export function read(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

function lineAt(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}
