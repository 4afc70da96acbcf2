/** The flow graph itself, written down. */
import type { FlowGraph } from "../graph.ts";

/** The number of the format that {@link toJson} writes. A graph with another number means something else. */
const formatVersion = 1;

/**
 * A flow graph as JSON, for other tools. `flowGraphSchema` says what is in it; `formatVersion` rises
 * when a reader of the old format could misunderstand the new one.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(toJson(graph));
 * ```
 */
export function toJson(graph: FlowGraph): string {
  return `${JSON.stringify({ formatVersion, ...graph }, null, 2)}\n`;
}
