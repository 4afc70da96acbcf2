/** What a piece of code names: the global or the member of a module behind an expression, however it came there. */
import type { Rule, Scope, SourceCode } from "eslint";

/** Any node. Those of TypeScript come as well. */
export type Node = Rule.Node;

/** A global (`Date.now`) or a member of a module (`node:fs` `readFileSync`). */
export interface Name {
  /** Absent for globals. */
  readonly module?: string;
  /** Members behind it. Empty for a module as a whole. */
  readonly path: readonly string[];
}

/** Which variable each identifier means. */
export class Names {
  readonly #variables = new Map<unknown, Scope.Variable | null>();

  constructor({ scopeManager }: SourceCode) {
    for (const scope of scopeManager.scopes) {
      for (const { identifier, resolved } of scope.references) this.#variables.set(identifier, resolved);
    }
  }

  /** The variable that an identifier reads or writes. Absent for globals. */
  variable(node: Node | undefined): Scope.Variable | undefined {
    if (node?.type !== "Identifier") return undefined;
    const variable = this.#variables.get(node);
    return variable !== undefined && variable !== null && variable.defs.length > 0 ? variable : undefined;
  }

  /** What an expression names, if that can be seen. */
  nameOf(expression: Node): Name | undefined {
    const node = bare(expression);
    if (node.type === "Identifier") return this.#nameOfIdentifier(node);
    if (node.type !== "MemberExpression") return undefined;
    const owner = this.nameOf(node.object as Node);
    const member = memberOf(node);
    if (owner === undefined || member === undefined) return undefined;
    if (owner.module === undefined && owner.path.length === 1 && globalObjects.has(owner.path[0] ?? "")) {
      return { path: [member] };
    }
    return { ...owner, path: [...owner.path, member] };
  }

  #nameOfIdentifier(node: Node & { type: "Identifier" }): Name | undefined {
    const variable = this.variable(node);
    if (variable === undefined) return { path: [node.name] };
    const [definition] = variable.defs;
    if (definition?.type === "ImportBinding") {
      const module = String(definition.parent.source.value);
      const { node: specifier } = definition;
      if (specifier.type !== "ImportSpecifier") return { module, path: [] };
      const { imported } = specifier;
      const name = imported.type === "Identifier" ? imported.name : String(imported.value);
      return { module, path: name === "default" ? [] : [name] };
    }
    return this.#nameOfTaken(node, variable);
  }

  /** `const { now } = Date` and `const now = Date.now`. */
  #nameOfTaken(node: Node & { type: "Identifier" }, { defs }: Scope.Variable): Name | undefined {
    const declarator = defs[0]?.node as Node | undefined;
    if (declarator?.type !== "VariableDeclarator" || !isConst(declarator)) return undefined;
    const { id, init } = declarator;
    if (init === null || init === undefined) return undefined;
    if (id.type === "Identifier") return this.nameOf(init as Node);
    const owner = id.type === "ObjectPattern" ? this.nameOf(init as Node) : undefined;
    if (owner === undefined || id.type !== "ObjectPattern") return undefined;
    for (const property of id.properties) {
      if (property.type !== "Property" || property.value.type !== "Identifier" || property.key.type !== "Identifier")
        continue;
      if (property.value.name === node.name) return { ...owner, path: [...owner.path, property.key.name] };
    }
    return undefined;
  }
}

const globalObjects: ReadonlySet<string> = new Set(["globalThis", "global", "window", "self"]);

/** The expression without parentheses, assertions and `?.` around it. */
export function bare(node: Node): Node {
  const { type } = node as { readonly type: string };
  const wraps = [
    "ChainExpression",
    "TSAsExpression",
    "TSNonNullExpression",
    "TSSatisfiesExpression",
    "TSTypeAssertion",
  ];
  return wraps.includes(type) || type === "ParenthesizedExpression"
    ? bare((node as unknown as { readonly expression: Node }).expression)
    : node;
}

/** The name behind the dot, if it can be seen. */
export function memberOf(node: Node & { type: "MemberExpression" }): string | undefined {
  if (!node.computed) return node.property.type === "Identifier" ? node.property.name : undefined;
  return node.property.type === "Literal" ? String(node.property.value) : undefined;
}

/** What a node stands in. A program stands in itself. */
export function parentOf(node: Node): Node {
  return node.parent ?? node;
}

/** Whether a declarator is one of a `const`. */
export function isConst(declarator: Node): boolean {
  const declaration = parentOf(declarator);
  return declaration.type === "VariableDeclaration" && declaration.kind === "const";
}
