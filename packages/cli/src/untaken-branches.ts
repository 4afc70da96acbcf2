/** Branches of the flow graphs of a project that no recorded history has taken. */
import type { FlowCoverage, SourcePosition } from "@stet/diagram";
import type { RecordedHistory } from "@stet/replay";
import type { Colors } from "./output.ts";
import { brief } from "./words.ts";

/** What histories have not seen of one orchestration. */
export interface UntakenBranches {
  readonly orchestration: string;
  readonly version: string;
  /** Histories that took the ways of the graph, and those of other code that did not. */
  readonly followed: number;
  readonly strayed: number;
  readonly branches: number;
  readonly untaken: readonly { readonly at: SourcePosition; readonly from: string; readonly way: string }[];
}

/** Looks at histories on their way. */
export class BranchCount {
  readonly #coverages: ReadonlyMap<string, FlowCoverage>;

  constructor(coverages: readonly FlowCoverage[]) {
    this.#coverages = new Map(coverages.map((each) => [`${each.graph.name}@${each.graph.version}`, each]));
  }

  /** The same histories, counted as they go by. */
  async *counted(
    histories: AsyncIterable<RecordedHistory> | Iterable<RecordedHistory>,
  ): AsyncGenerator<RecordedHistory> {
    for await (const history of histories) {
      if ("length" in history.events) {
        const [started] = history.events;
        const key = started?.kind === "OrchestrationStarted" ? `${started.name}@${started.version}` : "";
        this.#coverages.get(key)?.add(history.events);
      }
      yield history;
    }
  }

  get untaken(): UntakenBranches[] {
    return [...this.#coverages.values()].map(({ graph, followed, strayed, branches }) => ({
      orchestration: graph.name,
      version: graph.version,
      followed,
      strayed,
      branches: branches.length,
      untaken: branches
        .filter(({ taken }) => taken === 0)
        .map(({ from, edge }) => ({ at: from.at, from: from.label, way: edge.label ?? edge.kind })),
    }));
  }
}

/** The branches for people. */
export function untakenInWords(coverage: readonly UntakenBranches[], colors: Colors): string {
  return coverage
    .map(({ orchestration, version, followed, branches, untaken }) => {
      const title = `${colors.bold(`${orchestration}@${version}`)}  ${branches - untaken.length} of ${branches} branches taken by ${followed} ${followed === 1 ? "history" : "histories"}`;
      const lines = untaken.map(
        ({ at, from, way }) =>
          `  ${colors.yellow("never")} ${brief(from, 60)}: ${way}  ${colors.dim(`${at.file}:${at.line}`)}`,
      );
      return [title, ...lines].join("\n");
    })
    .join("\n");
}
