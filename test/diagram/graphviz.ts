/** Graphviz, as a reader of DOT. */
import { instance } from "@viz-js/viz";

/** What Graphviz understood. */
export interface DotReading {
  /** `id: label` */
  readonly nodes: string[];
  /** `from -> to: label` */
  readonly edges: string[];
  /** `id: own and inner nodes` */
  readonly groups: string[];
}

/** The part of Graphviz's JSON that is looked at. */
interface DotJson {
  readonly objects: readonly {
    readonly _gvid: number;
    readonly name: string;
    readonly label: string;
    readonly nodes?: readonly number[];
  }[];
  readonly edges?: readonly { readonly tail: number; readonly head: number; readonly label?: string }[];
}

const graphviz = await instance();

/** Reads a graph and lays it out. @throws Error when Graphviz would not draw it. */
export function readDot(text: string): DotReading {
  const answer = graphviz.render(text, { format: "dot_json" });
  const [error] = answer.errors.filter(({ level }) => level === "error");
  if (answer.status === "failure" || error !== undefined) throw new Error(error?.message);
  const { objects, edges = [] } = JSON.parse(answer.output) as DotJson;
  const names = new Map(objects.map(({ _gvid, name }) => [_gvid, name]));
  const groups = objects.filter(({ name }) => name.startsWith("cluster_"));
  return {
    nodes: objects.filter((each) => !groups.includes(each)).map(({ name, label }) => `${name}: ${unescaped(label)}`),
    edges: edges.map(
      ({ tail, head, label = "" }) => `${names.get(tail)} -> ${names.get(head)}: ${unescaped(label).trim()}`,
    ),
    groups: groups.map(({ name, nodes = [] }) => {
      const own = nodes.flatMap((id) => names.get(id) ?? []).sort();
      return `${name.slice("cluster_".length)}: ${own.join(" ")}`;
    }),
  };
}

/** A label as it is drawn: lines are broken between words, and `\\`, `\"` and `&amp;` stand for one character. */
function unescaped(label: string): string {
  return label
    .replaceAll(/\\(.)/gs, (_whole, escaped: string) => (escaped === "n" ? " " : escaped))
    .replaceAll("&amp;", "&");
}
