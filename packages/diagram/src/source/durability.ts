/**
 * Whether a function may lead to anything durable. Asked before it is read where it is called, so that plain functions are
 * not looked into again and again. It may say yes too often, never too rarely.
 */
import ts from "typescript";
import type { Meaning } from "./meaning.ts";
import { functionOf, type FunctionNode } from "./values.ts";

/** What `ctx` does that is part of the flow. The rest tells or computes. */
const durable: ReadonlySet<string> = new Set([
  "activity",
  "timer",
  "waitForEvent",
  "subOrchestration",
  "startOrchestration",
  "sendEvent",
  "continueAsNew",
  "race",
]);

/** What `ctx` does that asks a model. */
export const modelOperations: ReadonlySet<string> = new Set([
  "generate",
  "generateWithSystem",
  "generateWithContext",
  "generateStructured",
  "generateValidated",
  "ifTrue",
  "classify",
  "extract",
  "extractFeatures",
  "summarize",
  "chat",
  "embed",
  "sentiment",
]);

/** Which functions of one program may be durable. */
export class Durability {
  readonly #checker: ts.TypeChecker;
  readonly #meaning: Meaning;
  /** `undefined` while it is being found out: a function that calls itself is durable for another reason or not at all. */
  readonly #known = new Map<ts.Node, boolean | undefined>();

  constructor(checker: ts.TypeChecker, meaning: Meaning) {
    this.#checker = checker;
    this.#meaning = meaning;
  }

  mayBe(node: FunctionNode): boolean {
    if (this.#known.has(node)) return this.#known.get(node) ?? false;
    this.#known.set(node, undefined);
    const found = this.#holds(node.body);
    this.#known.set(node, found);
    return found;
  }

  /** Whether a call whose target is unknown may be durable: it answers a promise, and nobody foreign made it. */
  isDynamic(call: ts.CallExpression): boolean {
    if (this.#meaning.isForeign(call)) return this.#meaning.handsOver(call);
    const type = this.#checker.getNonNullableType(this.#checker.getTypeAtLocation(call));
    return type.getProperty("then") !== undefined || (type.flags & ts.TypeFlags.Any) !== 0;
  }

  #holds(node: ts.Node): boolean {
    if (ts.isCallExpression(node)) {
      const method = this.#meaning.contextMethod(node);
      if (method !== undefined && (durable.has(method) || modelOperations.has(method))) return true;
      if (this.#meaning.definition(node) !== undefined) return false;
      const target = functionOf(this.#checker, { node: node.expression, scope: new Map() });
      if (target === undefined ? this.isDynamic(node) : this.mayBe(target.node)) return true;
    }
    return ts.forEachChild(node, (child) => this.#holds(child) || undefined) ?? false;
  }
}
