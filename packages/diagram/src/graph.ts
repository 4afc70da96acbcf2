/**
 * The flow graph: what an orchestration may do, as plain data. It is read from source (`source/`), and every picture is a
 * function of it (`render/`).
 *
 * The same flow is told twice. `outline` is its structure, as the code has it: blocks in blocks. `nodes` and `edges` are
 * what follows from it: who comes after whom. Both name nodes by id.
 *
 * Invariants
 *   G1  Ids are made of kind and name, and numbered in source order only among equals: an insertion elsewhere changes none.
 *   G2  Nodes, edges and groups stand in source order.
 *   G3  What the source does not say is absent or a `dynamic` node. Nothing is guessed.
 */

import type { DiagramColor } from "@stet/core";

/** Where something stands in the source. */
export interface SourcePosition {
  /** Relative to the folder of the project, with forward slashes. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** How a definition wants to be shown. What it does not say is absent. */
export interface Looks {
  readonly title?: string;
  readonly icon?: string;
  readonly color?: DiagramColor;
}

/** What a node stands for. */
export type FlowNodeKind =
  | "start"
  | "completed"
  | "failed"
  | "activity"
  | "timer"
  | "event"
  | "subOrchestration"
  | "startOrchestration"
  | "sendEvent"
  | "model"
  | "decision"
  | "loop"
  | "fork"
  | "join"
  | "catch"
  | "return"
  | "throw"
  | "continueAsNew"
  /** A call whose target is known only when it runs. */
  | "dynamic";

/** A place in a flow, with the looks of the definition that is called there. */
export interface FlowNode extends Looks {
  readonly id: string;
  readonly kind: FlowNodeKind;
  /** For people: one line, with the title where there is one. */
  readonly label: string;
  /** What is called: the activity, the event, the orchestration, the model operation. Absent when the source does not say. */
  readonly name?: string;
  /** The categories of a `classify`. */
  readonly categories?: readonly string[];
  /** What a fork begins and a join waits for. */
  readonly mode?: Concurrency;
  /** The join at which the flow stops for what this fork begins. Absent when it goes on. */
  readonly join?: string;
  /** What recorded executions did here. Absent unless histories are marked. */
  readonly mark?: NodeMark;
  readonly at: SourcePosition;
}

/** What recorded executions did at a node: all of them together. Where nothing is asked for, only `visits` counts. */
export interface NodeMark {
  readonly visits: number;
  /** Requests that failed, were cancelled or refused, and waits that ended by their timeout. */
  readonly failures: number;
  /** Requests without an answer. */
  readonly open: number;
  /** Attempts of activities and model calls. */
  readonly attempts: number;
  /** Input and output of models. */
  readonly tokens: number;
  readonly costUsd: number;
  /** From a request to its answer, the time that half of them did not exceed. Absent without answers. */
  readonly p50Ms?: number;
  /** The time that 19 of 20 did not exceed. */
  readonly p95Ms?: number;
}

/**
 * How calls run beside each other. `all`, `allSettled`, `race` and `any` are those of `Promise`; `first` is `ctx.race`,
 * which gives up the losers; `begin` is a call that is not awaited where it is made.
 */
export type Concurrency = "all" | "allSettled" | "race" | "any" | "first" | "begin";

/** From one node to the one that may follow it. */
export interface FlowEdge {
  readonly from: string;
  readonly to: string;
  /**
   * `next` follows; `failure` is taken when `from` fails; `fork` begins beside what follows; `nextExecution` goes back to
   * the start with a fresh history.
   */
  readonly kind: "next" | "failure" | "fork" | "nextExecution";
  readonly label?: string;
  /** A fork that happens any number of times. */
  readonly many?: true;
  /** How often recorded executions went this way. Absent unless histories are marked. */
  readonly taken?: number;
}

/** Nodes that belong together. */
export interface FlowGroup {
  readonly id: string;
  readonly kind: "try" | "loop" | "concurrent" | "helper";
  readonly label: string;
  /** The group that it stands in. */
  readonly parent?: string;
  /** Its own nodes, without those of the groups in it. */
  readonly nodes: readonly string[];
}

/** Parts one after another. */
export type Block = readonly Part[];

/** One of several ways. */
export interface Arm {
  readonly label: string;
  readonly block: Block;
  /** Goes on with the next arm, as a `case` without a `break` does. */
  readonly falls?: true;
  /** Runs any number of times, beside itself. */
  readonly many?: true;
}

/** A piece of an outline. `id` is that of its node. */
export type Part =
  | { readonly part: "node"; readonly id: string }
  /** One arm is taken. */
  | { readonly part: "choice"; readonly id: string; readonly arms: readonly Arm[] }
  /** An unknown target is called. `perhaps`: functions that were put somewhere and could be it. There may be others. */
  | { readonly part: "dynamic"; readonly id: string; readonly perhaps: readonly Block[] }
  /** `test` and then `block`, again and again; `endless` ends by a jump only. */
  | {
      readonly part: "loop";
      readonly id: string;
      readonly group: string;
      readonly test: Block;
      readonly block: Block;
      readonly form: "while" | "doWhile" | "endless";
    }
  | {
      readonly part: "attempt";
      readonly group: string;
      readonly block: Block;
      readonly caught?: { readonly id: string; readonly block: Block };
      readonly finally?: Block;
    }
  /** All arms begin, and the join waits for them and for what was begun before (ids of forks). */
  | {
      readonly part: "concurrent";
      readonly group: string;
      readonly fork: string;
      readonly join: string;
      readonly arms: readonly Arm[];
      readonly begun: readonly string[];
    }
  /** Begins beside what follows. */
  | { readonly part: "begin"; readonly fork: string; readonly arm: Arm }
  /** Waits for what was begun before. */
  | { readonly part: "join"; readonly id: string; readonly begun: readonly string[] }
  /** The body of a function that is called here. */
  | { readonly part: "helper"; readonly group: string; readonly block: Block }
  /** `target` is the loop or choice that is left or gone on with, or the group of the helper that returns. */
  | {
      readonly part: "jump";
      readonly to: "return" | "break" | "continue" | "throw";
      readonly target?: string;
      readonly id?: string;
    };

/** What an orchestration may do, with the looks of its definition. */
export interface FlowGraph extends Looks {
  /** Of the orchestration. */
  readonly name: string;
  readonly version: string;
  /** From the definition. */
  readonly description?: string;
  /** What it does, in the words of a model. */
  readonly summary?: string;
  readonly at: SourcePosition;
  readonly nodes: readonly FlowNode[];
  readonly edges: readonly FlowEdge[];
  readonly groups: readonly FlowGroup[];
  readonly outline: Block;
}
