/**
 * Descriptions beside the diagrams, in `descriptions.json` of the output folder: drawing needs no model, and draws the same
 * wherever it runs. A description holds for the graph that it was written for; when the code has changed it is not used.
 */
import { readFileSync } from "node:fs";
import { posix, resolve } from "node:path";
import { ConfigurationError } from "@stet/core";
import { type Description, flowHash, readDescription, withDescription } from "../describe/description.ts";
import type { FlowGraph } from "../graph.ts";
import { changeOf, type FileChange } from "./changes.ts";
import type { DiagramProject } from "./project.ts";

/** A description, and for which graph it was written. */
interface Written extends Description {
  readonly flow: string;
}

type Stored = { readonly [orchestration: string]: Written };

/** The graphs in the words that were written for them, and those for which none hold. */
export function describedGraphs(
  project: DiagramProject,
  graphs: readonly FlowGraph[],
): { readonly graphs: FlowGraph[]; readonly undescribed: FlowGraph[] } {
  const stored = readStored(project);
  const undescribed: FlowGraph[] = [];
  const described = graphs.map((graph) => {
    const written = stored[keyOf(graph)];
    const { summary, labels } = written ?? {};
    // The file may have been edited: what it says is held against the graph like an answer.
    const description =
      written?.flow === flowHash(graph) ? readDescription(graph, JSON.stringify({ summary, labels })) : "";
    if (typeof description !== "string") return withDescription(graph, description);
    undescribed.push(graph);
    return graph;
  });
  return { graphs: described, undescribed };
}

/** What has to change so that these descriptions are kept, and those of orchestrations that are gone are not. */
export function planDescriptions(
  project: DiagramProject,
  graphs: readonly FlowGraph[],
  descriptions: ReadonlyMap<FlowGraph, Description>,
): FileChange[] {
  const stored = readStored(project);
  const kept = graphs.flatMap((graph): [string, Written][] => {
    const key = keyOf(graph);
    const description = descriptions.get(graph);
    if (description !== undefined) return [[key, { flow: flowHash(graph), ...description }]];
    return stored[key] === undefined ? [] : [[key, stored[key]]];
  });
  const sorted = kept.toSorted(([a], [b]) => (a < b ? -1 : 1));
  const $comment = "Written by a model for stet diagram --describe. Words may be edited; ids are those of the code.";
  const text = `${JSON.stringify({ $comment, orchestrations: Object.fromEntries(sorted) }, null, 2)}\n`;
  return changeOf(project.folder, fileOf(project), text);
}

function fileOf({ outputDir }: DiagramProject): string {
  return posix.join(outputDir, "descriptions.json");
}

function keyOf({ name, version }: FlowGraph): string {
  return `${name}@${version}`;
}

function readStored(project: DiagramProject): Stored {
  const file = resolve(project.folder, fileOf(project));
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  try {
    return (JSON.parse(text) as { readonly orchestrations?: Stored }).orchestrations ?? {};
  } catch (error) {
    throw new ConfigurationError(
      `Expected ${file} to be JSON, got ${(error as Error).message}: remove it, and describe again`,
    );
  }
}
