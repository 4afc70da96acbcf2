/**
 * What the parts of the reader share while they read one orchestration. Statements, expressions and calls hold each other,
 * so they meet here instead of importing one another.
 */
import type ts from "typescript";
import type { Block, Part } from "../graph.ts";
import type { Draft } from "./draft.ts";
import type { Durability } from "./durability.ts";
import type { Meaning } from "./meaning.ts";
import type { Bound, FunctionNode, Scope } from "./values.ts";

/** Where something is read: inside which function, which loops, and with what in its parameters. */
export interface Frame {
  readonly scope: Scope;
  /** The functions that are being read, outermost first. */
  readonly functions: readonly ts.Node[];
  /** The group of the helper that `return` ends; absent in the orchestration itself. */
  readonly helper?: string;
  /** Whether what the function returns is waited for. */
  readonly awaitsResult: boolean;
  /** What `break` and `continue` may name, innermost last. */
  readonly targets: readonly JumpTarget[];
}

/** A loop or a `switch`. */
export interface JumpTarget {
  readonly id: string;
  readonly isLoop: boolean;
  readonly label?: string;
}

/** How a function is called. */
export interface Invocation {
  readonly values: readonly Bound[];
  readonly awaited: boolean;
  readonly frame: Frame;
  readonly at: ts.Node;
  readonly label: string;
}

/** A call whose target is unknown, until it is known what it may be. */
export interface DynamicCall {
  readonly call: ts.CallExpression;
  readonly frame: Frame;
  /** Filled at the end. */
  readonly perhaps: Block[];
}

/** One orchestration being read. */
export interface Reader {
  readonly checker: ts.TypeChecker;
  readonly meaning: Meaning;
  readonly durability: Durability;
  readonly draft: Draft;
  /** Forks of what was begun and is held by a variable. */
  readonly begun: Map<ts.Symbol, string[]>;
  /** Functions that are put somewhere, to be called later by somebody. */
  readonly kept: Bound<FunctionNode>[];
  readonly dynamicCalls: DynamicCall[];

  statements(list: readonly ts.Statement[], frame: Frame): Block;
  /** `awaited`: whether the value is waited for where it stands. */
  expression(node: ts.Expression, frame: Frame, awaited?: boolean): Block;
  call(node: ts.CallExpression, frame: Frame, awaited: boolean): Block;
  /** The body of a function where it is called, or nothing when nothing in it is durable. */
  invoke(target: Bound<FunctionNode>, invocation: Invocation): Block;
}

/** Whether a block is worth showing: it calls something durable, or leaves what it stands in. */
export function matters(block: Block, within: readonly string[] = []): boolean {
  return block.some((part) => partMatters(part, within));
}

/** Whether a block calls something durable. */
export function callsDurable(block: Block): boolean {
  return block.some((part): boolean => {
    switch (part.part) {
      case "node":
      case "dynamic":
      case "concurrent":
      case "join":
        return true;
      case "begin":
        return callsDurable(part.arm.block);
      case "choice":
        return part.arms.some((arm) => callsDurable(arm.block));
      case "loop":
        return callsDurable(part.test) || callsDurable(part.block);
      case "attempt":
        return [part.block, part.caught?.block ?? [], part.finally ?? []].some(callsDurable);
      case "helper":
        return callsDurable(part.block);
      case "jump":
        return false;
    }
  });
}

function partMatters(part: Part, within: readonly string[]): boolean {
  switch (part.part) {
    case "node":
    case "dynamic":
    case "concurrent":
    case "join":
      return true;
    case "begin":
      return matters(part.arm.block, within);
    case "choice":
      return part.arms.some((arm) => matters(arm.block, [...within, part.id]));
    case "loop":
      return matters(part.test, [...within, part.id]) || matters(part.block, [...within, part.id]);
    case "attempt":
      return [part.block, part.caught?.block ?? [], part.finally ?? []].some((block) => matters(block, within));
    case "helper":
      return matters(part.block, [...within, part.group]);
    case "jump":
      return part.target === undefined || !within.includes(part.target);
  }
}
