/**
 * What a call means to the core: found by the declaration that the compiler resolves it to, never by the name of a variable.
 * So `ctx` may be called anything, be destructured, bound, passed on and re-exported.
 */
import { dirname, join } from "node:path";
import ts from "typescript";

/** The package whose declarations have a meaning. */
const core = "@stet/core";

/** The interfaces whose methods are durable operations. */
const contexts: ReadonlySet<string> = new Set(["OrchestrationContext", "LlmOperations"]);

/** What calls mean in one program. */
export class Meaning {
  readonly #checker: ts.TypeChecker;
  readonly #packages = new Map<string, string | undefined>();

  constructor(checker: ts.TypeChecker) {
    this.#checker = checker;
  }

  /** The method of the orchestration context that is called, such as `activity`. */
  contextMethod(call: ts.CallExpression): string | undefined {
    const declaration = this.#declarationOf(call);
    if (declaration === undefined || !ts.isMethodSignature(declaration)) return undefined;
    const owner = declaration.parent;
    if (!ts.isInterfaceDeclaration(owner) || !contexts.has(owner.name.text) || !this.isCore(declaration))
      return undefined;
    return ts.isIdentifier(declaration.name) ? declaration.name.text : undefined;
  }

  /** The function of the core that is called: `activity` or `orchestration`. */
  definition(call: ts.CallExpression): "activity" | "orchestration" | undefined {
    const declaration = this.#declarationOf(call);
    if (declaration === undefined || !ts.isFunctionDeclaration(declaration) || !this.isCore(declaration))
      return undefined;
    const name = declaration.name?.text;
    return name === "activity" || name === "orchestration" ? name : undefined;
  }

  /** The method of `Promise` that is called, on the constructor (`all`) or on a promise (`then`). */
  promiseMethod(call: ts.CallExpression): string | undefined {
    const declaration = this.#declarationOf(call);
    if (declaration === undefined || !ts.isMethodSignature(declaration)) return undefined;
    const owner = declaration.parent;
    if (!ts.isInterfaceDeclaration(owner) || !["Promise", "PromiseConstructor"].includes(owner.name.text))
      return undefined;
    return ts.isIdentifier(declaration.name) ? declaration.name.text : undefined;
  }

  /** Whether the called function is somebody's whose source is not part of the project. */
  isForeign(call: ts.CallExpression): boolean {
    const declaration = this.#declarationOf(call);
    return declaration !== undefined && this.#isForeign(declaration.getSourceFile());
  }

  /** Whether a call hands the orchestration context, or an object that holds it, to what it calls. */
  handsOver(call: ts.CallExpression): boolean {
    const { expression } = call;
    if (ts.isPropertyAccessExpression(expression) && expression.name.text === "bind") return false; // calls nothing
    return call.arguments.some((argument) => {
      const type = this.#checker.getTypeAtLocation(argument);
      return (
        this.#isContext(type) || type.getProperties().some((property) => this.#isContextProperty(property, argument))
      );
    });
  }

  isCore(node: ts.Node): boolean {
    return this.#packageOf(node.getSourceFile().fileName) === core;
  }

  #isContextProperty(property: ts.Symbol, at: ts.Node): boolean {
    return this.#isContext(this.#checker.getTypeOfSymbolAtLocation(property, at));
  }

  #isContext(type: ts.Type): boolean {
    const [declaration] = type.symbol?.declarations ?? [];
    return type.symbol?.name === "OrchestrationContext" && declaration !== undefined && this.isCore(declaration);
  }

  #declarationOf(call: ts.CallExpression): ts.SignatureDeclaration | ts.JSDocSignature | undefined {
    return this.#checker.getResolvedSignature(call)?.declaration;
  }

  #isForeign(file: ts.SourceFile): boolean {
    return (
      file.isDeclarationFile || this.#packageOf(file.fileName) === core || file.fileName.includes("/node_modules/")
    );
  }

  /** The name in the nearest package.json. */
  #packageOf(file: string): string | undefined {
    const folder = dirname(file);
    if (this.#packages.has(folder)) return this.#packages.get(folder);
    const text = ts.sys.readFile(join(folder, "package.json"));
    const name =
      text !== undefined
        ? (JSON.parse(text) as { readonly name?: string }).name
        : folder === dirname(folder)
          ? undefined
          : this.#packageOf(folder);
    this.#packages.set(folder, name);
    return name;
  }
}
