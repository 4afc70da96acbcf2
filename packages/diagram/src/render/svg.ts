/** SVG, laid out by Graphviz, which `@viz-js/viz` brings along as WebAssembly: no browser, no Java, no installation. */
import type { Viz } from "@viz-js/viz";
import type { FlowGraph } from "../graph.ts";
import { toDot } from "./dot.ts";

/**
 * An SVG picture. The same graph always gives the same text.
 *
 * @example
 * ```ts
 * const [graph] = readFlowGraphs({ files: ["src/orchestrations.ts"] });
 * if (graph !== undefined) console.log(await toSvg(graph));
 * ```
 */
export async function toSvg(graph: FlowGraph): Promise<string> {
  const svg = (await graphviz()).renderString(toDot(graph), { format: "svg" });
  // What Graphviz says about itself would be a difference after each upgrade.
  return svg.slice(svg.indexOf("<svg")).replaceAll(/<!--.*?-->\n?/gs, "");
}

let loaded: Promise<Viz> | undefined;

/** Some megabytes: loaded once, and only for who wants a picture. */
function graphviz(): Promise<Viz> {
  return (loaded ??= import("@viz-js/viz").then(({ instance }) => instance()));
}
