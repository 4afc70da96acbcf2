/** The orchestrations that the diagrams are tested on: all samples, and the hard syntax of `corpus/`. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type FlowGraph, type FlowNode, readFlowGraphs } from "@stet/diagram";

/** The root of the repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** A flow graph with the name that tells it from all others. */
export interface Specimen {
  readonly id: string;
  readonly graph: FlowGraph;
}

/** The flow graphs of the corpus. Reading them takes a second or two. */
export function readCorpus(): readonly Specimen[] {
  const files = [...filesIn("samples"), ...filesIn("samples/triage"), ...filesIn("test/diagram/corpus")];
  const count = new Map<string, number>();
  return readFlowGraphs({ files, folder: root }).map((graph) => {
    const stem = `${graph.at.file.replaceAll(/^.*\/|\.[jt]s$/g, "")}.${graph.name}`;
    const nth = (count.get(stem) ?? 0) + 1;
    count.set(stem, nth);
    return { id: nth === 1 ? stem : `${stem}-${nth}`, graph };
  });
}

/** Relative to the root. */
export function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => /\.[jt]s$/.test(name))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** What a picture has in a node. */
export function writtenIn({ icon, label }: FlowNode): string {
  return icon === undefined ? label : `${icon} ${label}`;
}
