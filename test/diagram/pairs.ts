/** Orchestrations with the graphs of their source. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AnyOrchestration } from "@stet/core";
import { type FlowGraph, readFlowGraphs } from "@stet/diagram";

/** An orchestration and its graph. */
export interface Pair {
  readonly orchestration: AnyOrchestration;
  readonly graph: FlowGraph;
}

/** What the modules export, each with the graph of its source. */
export async function pairs(paths: readonly string[], folder: string): Promise<readonly Pair[]> {
  const modules = await Promise.all(paths.map((path) => import(pathToFileURL(join(folder, path)).href)));
  const exported = modules
    .flatMap((module) => Object.values(module as Record<string, unknown>))
    .filter(isOrchestration);
  const graphs = readFlowGraphs({ files: paths, folder });
  return graphs.flatMap((graph) => {
    const orchestration = exported.find(({ name }) => name === graph.name);
    return orchestration === undefined ? [] : [{ orchestration, graph }];
  });
}

function isOrchestration(value: unknown): value is AnyOrchestration {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "orchestration";
}
