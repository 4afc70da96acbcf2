/**
 * Which functions of a file are orchestration code: what is given to `orchestration()`, what takes an
 * `OrchestrationContext`, what stands inside such functions, and the functions of the same file that they call or hand on.
 * Found once for a file and shared by all rules.
 */
import type { Rule, Scope, SourceCode } from "eslint";
import { bare, isConst, memberOf, type Node, Names } from "./names.ts";

type FunctionNode = Node & {
  type: "FunctionDeclaration" | "FunctionExpression" | "ArrowFunctionExpression";
};

/** See the head of the file. */
export class OrchestrationCode {
  readonly names: Names;
  readonly #sourceCode: SourceCode;
  readonly #functions = new Set<Node>();
  /** Bodies of activities that are defined inside an orchestration. */
  readonly #outside = new Set<Node>();
  readonly #contexts = new Set<Scope.Variable>();
  readonly #found: FunctionNode[] = [];

  constructor(sourceCode: SourceCode) {
    this.#sourceCode = sourceCode;
    this.names = new Names(sourceCode);
    this.#walk(sourceCode.ast as unknown as Node, (node) => this.#findRoots(node));
    for (let next = this.#found.pop(); next !== undefined; next = this.#found.pop()) {
      this.#walk(next, (node) => this.#follow(node));
    }
  }

  /** Whether the node runs when an orchestration does. */
  contains(node: Node): boolean {
    for (let each: Node | null = node; each !== null && each !== undefined; each = each.parent) {
      if (this.#outside.has(each)) return false;
      if (this.#functions.has(each)) return true;
    }
    return false;
  }

  /** Whether an expression is the context. */
  isContext(expression: Node): boolean {
    const variable = this.names.variable(bare(expression));
    return variable !== undefined && this.#contexts.has(variable);
  }

  /** What the context is called where the node stands, if it can be reached from there. */
  contextAt(node: Node): string | undefined {
    const seen = new Set<string>();
    for (let scope: Scope.Scope | null = this.#sourceCode.getScope(node); scope !== null; scope = scope.upper) {
      for (const variable of scope.variables) {
        if (this.#contexts.has(variable) && !seen.has(variable.name)) return variable.name;
        seen.add(variable.name);
      }
    }
    return undefined;
  }

  /** The function of this file that a callee means. */
  localFunction(callee: Node): Node | undefined {
    const node = bare(callee);
    if (isFunction(node)) return node;
    if (node.type === "MemberExpression") return this.#methodOf(node);
    const definition = this.names.variable(node)?.defs[0];
    if (definition?.type === "FunctionName") return definition.node as Node;
    if (definition?.type !== "Variable" || !isConst(definition.node as Node)) return undefined;
    const { init } = definition.node;
    return init !== null && init !== undefined && isFunction(bare(init as Node)) ? bare(init as Node) : undefined;
  }

  /** `helpers.charge` of `const helpers = { charge() {} }`. */
  #methodOf(node: Node & { type: "MemberExpression" }): Node | undefined {
    const declarator = this.names.variable(bare(node.object as Node))?.defs[0]?.node as Node | undefined;
    if (declarator?.type !== "VariableDeclarator" || declarator.init?.type !== "ObjectExpression") return undefined;
    for (const property of declarator.init.properties) {
      if (property.type !== "Property" || property.key.type !== "Identifier" || property.computed) continue;
      if (property.key.name === memberOf(node)) {
        const value = bare(property.value as Node);
        return isFunction(value) ? value : undefined;
      }
    }
    return undefined;
  }

  #findRoots(node: Node): void {
    if (node.type === "CallExpression") {
      const defined = this.#definitionBy(node);
      const body = node.arguments.at(-1) as Node | undefined;
      const code = body === undefined || defined === undefined ? undefined : this.localFunction(body);
      if (code === undefined) return;
      if (defined === "activity") this.#outside.add(code);
      else this.#add(code, 0);
    } else if (isFunction(node)) {
      for (const [i, parameter] of node.params.entries()) if (isTypedAsContext(parameter as Node)) this.#add(node, i);
    }
  }

  #definitionBy({ callee }: Node & { type: "CallExpression" }): "orchestration" | "activity" | undefined {
    const { module, path = [] } = this.names.nameOf(callee as Node) ?? {};
    const name = path.at(-1);
    return module !== undefined && (name === "orchestration" || name === "activity") ? name : undefined;
  }

  #follow(node: Node): void {
    if (node.type !== "CallExpression" || this.#definitionBy(node) !== undefined) return;
    const callee = this.localFunction(node.callee as Node);
    if (callee !== undefined) {
      this.#add(callee);
      for (const [i, argument] of node.arguments.entries()) if (this.isContext(argument as Node)) this.#add(callee, i);
    }
    for (const argument of node.arguments) {
      const handed = this.names.variable(argument as Node) && this.localFunction(argument as Node);
      if (handed !== undefined) this.#add(handed);
    }
  }

  /** @param context - Which parameter is the context. */
  #add(code: Node, context?: number): void {
    if (!isFunction(code) || this.#outside.has(code)) return;
    const parameter = context === undefined ? undefined : code.params[context];
    const variables = parameter === undefined ? [] : this.#sourceCode.getDeclaredVariables(code);
    const variable = variables.find(({ identifiers }) => identifiers.some((each) => each === parameter));
    const isNews = !this.#functions.has(code) || (variable !== undefined && !this.#contexts.has(variable));
    this.#functions.add(code);
    if (variable !== undefined) this.#contexts.add(variable);
    if (isNews) this.#found.push(code);
  }

  #walk(node: Node, visit: (node: Node) => void): void {
    visit(node);
    for (const key of this.#sourceCode.visitorKeys[node.type] ?? []) {
      const child = (node as unknown as { readonly [key: string]: unknown })[key];
      for (const each of Array.isArray(child) ? (child as unknown[]) : [child]) {
        if (typeof each === "object" && each !== null && "type" in each && !this.#outside.has(each as Node)) {
          this.#walk(each as Node, visit);
        }
      }
    }
  }
}

/** Whether a node is a function. */
export function isFunction(node: Node): node is FunctionNode {
  return (
    node.type === "FunctionDeclaration" || node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression"
  );
}

function isTypedAsContext(parameter: Node): boolean {
  const { typeAnnotation } = parameter as {
    readonly typeAnnotation?: { readonly typeAnnotation?: { readonly typeName?: { readonly name?: string } } };
  };
  return typeAnnotation?.typeAnnotation?.typeName?.name === "OrchestrationContext";
}

const known = new WeakMap<object, OrchestrationCode>();

/** The orchestration code of the file that is being linted. */
export function orchestrationCode({ sourceCode }: Rule.RuleContext): OrchestrationCode {
  const { ast } = sourceCode;
  const code = known.get(ast) ?? new OrchestrationCode(sourceCode);
  known.set(ast, code);
  return code;
}
