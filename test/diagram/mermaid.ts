/** Mermaid's own parser, which wants a browser around it: enough of one to find no fault with. */
import { Window } from "happy-dom";

/** What Mermaid understood. */
export interface MermaidReading {
  /** `id: label` */
  readonly nodes: string[];
  /** `from -> to` */
  readonly edges: string[];
  readonly groups: string[];
}

/** The part of Mermaid's flowchart database that is looked at. */
interface FlowchartDatabase {
  getVertices(): ReadonlyMap<string, { readonly id: string; readonly text: string }>;
  getEdges(): readonly { readonly start: string; readonly end: string }[];
  getSubGraphs(): readonly { readonly id: string }[];
}

/** Reads a flowchart. @throws Error when Mermaid would not draw it. */
export async function readMermaid(text: string): Promise<MermaidReading> {
  const mermaid = await loadMermaid();
  await mermaid.parse(text);
  const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
  const flowchart = db as unknown as FlowchartDatabase;
  const groups = flowchart.getSubGraphs().map(({ id }) => id);
  return {
    nodes: [...flowchart.getVertices().values()]
      .filter(({ id }) => !groups.includes(id))
      .map(({ id, text: label }) => `${id}: ${unescaped(label)}`),
    edges: flowchart.getEdges().map(({ start, end }) => `${start} -> ${end}`),
    groups,
  };
}

/** Checks any diagram. @throws Error when Mermaid would not draw it. */
export async function checkMermaid(text: string): Promise<void> {
  const mermaid = await loadMermaid();
  await mermaid.parse(text);
}

async function loadMermaid() {
  const page = new Window();
  const names = ["Element", "HTMLTemplateElement", "Node", "NodeFilter", "NamedNodeMap", "DOMParser"] as const;
  for (const name of [...names, "DocumentFragment", "HTMLFormElement"] as const) {
    Reflect.set(globalThis, name, page[name]);
  }
  Reflect.set(globalThis, "window", page);
  Reflect.set(globalThis, "document", page.document);
  const { default: mermaid } = await import("mermaid");
  return mermaid;
}

/** Mermaid keeps `#34;` as `ﬂ°°34¶ß` until it draws. */
function unescaped(text: string): string {
  return text.replaceAll(/ﬂ°°(\d+)¶ß/g, (_whole, code: string) => String.fromCodePoint(Number(code)));
}
