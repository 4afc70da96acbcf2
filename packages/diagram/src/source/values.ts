/**
 * What an expression stands for, as far as the source says: constants followed through imports, re-exports, destructuring,
 * members of object literals, and parameters of functions that are read where they are called.
 */
import ts from "typescript";

/** A node together with what the parameters in it stand for. */
export interface Bound<Node extends ts.Node = ts.Node> {
  readonly node: Node;
  readonly scope: Scope;
}

/** What the parameters stand for that are known where something is read. */
export type Scope = ReadonlyMap<ts.ParameterDeclaration, Bound>;

/** A function with a body. */
export type FunctionNode = ts.FunctionLikeDeclaration & { readonly body: ts.ConciseBody };

/** What a value is made of: a literal, a call, a function, an object. Variables and wrappings are looked through. */
export function valueOf(checker: ts.TypeChecker, { node, scope }: Bound, depth = 0): Bound | undefined {
  if (depth > 50) return undefined; // a value that is defined by itself
  const go = (next: ts.Node | undefined, within: Scope = scope) =>
    next === undefined ? undefined : valueOf(checker, { node: next, scope: within }, depth + 1);
  if (isWrapping(node)) return go(node.expression);
  if (ts.isIdentifier(node)) return ofSymbol(symbolAt(checker, node));
  if (ts.isPropertyAccessExpression(node)) {
    const owner = go(node.expression);
    const member = owner && memberOf(owner, node.name.text);
    if (member !== undefined) return valueOf(checker, member, depth + 1);
    return ofSymbol(aliased(checker, checker.getSymbolAtLocation(node.name)));
  }
  if (ts.isElementAccessExpression(node)) {
    const owner = go(node.expression);
    const key = literalOf(checker, node.argumentExpression);
    const member = owner && key !== undefined ? memberOf(owner, key) : undefined;
    return member && valueOf(checker, member, depth + 1);
  }
  return { node, scope };

  function ofSymbol(symbol: ts.Symbol | undefined): Bound | undefined {
    if (symbol === undefined) return undefined;
    const declaration = symbol.valueDeclaration;
    if (declaration === undefined) return undefined;
    if (ts.isParameter(declaration)) {
      const known = scope.get(declaration);
      return known && valueOf(checker, known, depth + 1);
    }
    if (ts.isVariableDeclaration(declaration)) return isConstant(declaration) ? go(declaration.initializer) : undefined;
    if (ts.isBindingElement(declaration)) return ofBinding(declaration);
    if (ts.isPropertyAssignment(declaration)) return go(declaration.initializer);
    if (ts.isShorthandPropertyAssignment(declaration)) {
      return ofSymbol(checker.getShorthandAssignmentValueSymbol(declaration));
    }
    if (ts.isPropertyDeclaration(declaration)) return isReadonly(declaration) ? go(declaration.initializer) : undefined;
    return isFunction(declaration) ? { node: declaration, scope } : undefined;
  }

  /** `const { charge } = activities`, and the same in a parameter. */
  function ofBinding(element: ts.BindingElement): Bound | undefined {
    const pattern = element.parent;
    const name = element.propertyName ?? element.name;
    if (!ts.isObjectBindingPattern(pattern) || !ts.isIdentifier(name)) return undefined;
    const holder = pattern.parent;
    const owner = ts.isParameter(holder)
      ? scope.get(holder)
      : ts.isVariableDeclaration(holder) && isConstant(holder) && holder.initializer
        ? { node: holder.initializer, scope }
        : undefined;
    const value = owner && valueOf(checker, owner, depth + 1);
    const member = value && memberOf(value, name.text);
    if (member !== undefined) return valueOf(checker, member, depth + 1);
    // Destructured from something that is not an object literal, such as a module.
    const type = owner && checker.getTypeAtLocation(owner.node);
    return ofSymbol(type && aliased(checker, type.getProperty(name.text)));
  }

  function memberOf(owner: Bound, name: string): Bound | undefined {
    if (!ts.isObjectLiteralExpression(owner.node)) return undefined;
    for (const property of owner.node.properties) {
      if (!property.name || !(ts.isIdentifier(property.name) || ts.isStringLiteral(property.name))) continue;
      if (property.name.text !== name) continue;
      if (ts.isPropertyAssignment(property)) return { node: property.initializer, scope: owner.scope };
      if (ts.isShorthandPropertyAssignment(property)) return { node: property.name, scope: owner.scope };
      if (ts.isMethodDeclaration(property)) return { node: property, scope: owner.scope };
    }
    return undefined;
  }
}

/** The function that an expression stands for, when its body is known. */
export function functionOf(checker: ts.TypeChecker, bound: Bound): Bound<FunctionNode> | undefined {
  const value = valueOf(checker, bound);
  return value !== undefined && isFunction(value.node) ? { node: value.node, scope: value.scope } : undefined;
}

/** The text of an expression whose value is one string, by its type or by what it stands for. */
export function textOf(checker: ts.TypeChecker, bound: Bound): string | undefined {
  const literal = literalOf(checker, bound.node);
  if (literal !== undefined) return literal;
  const value = valueOf(checker, bound);
  return value && literalOf(checker, value.node);
}

/** The property of an object literal, looked up through constants. */
export function propertyOf(checker: ts.TypeChecker, bound: Bound, name: string): Bound | undefined {
  const value = valueOf(checker, bound);
  if (value === undefined || !ts.isObjectLiteralExpression(value.node)) return undefined;
  for (const property of value.node.properties) {
    if (ts.isPropertyAssignment(property) && property.name.getText() === name) {
      return { node: property.initializer, scope: value.scope };
    }
    if (ts.isShorthandPropertyAssignment(property) && property.name.text === name) {
      return { node: property.name, scope: value.scope };
    }
  }
  return undefined;
}

/** Binds the parameters of a function to the arguments of a call. */
export function bindParameters({ node, scope }: Bound<FunctionNode>, values: readonly Bound[]): Scope {
  const bound = new Map(scope);
  node.parameters.forEach((parameter, i) => {
    const value = values[i] ?? (parameter.initializer && { node: parameter.initializer, scope });
    if (value === undefined || parameter.dotDotDotToken !== undefined) bound.delete(parameter);
    else bound.set(parameter, value);
  });
  return bound;
}

/** The symbol that a name stands for, behind imports and re-exports. */
export function symbolAt(checker: ts.TypeChecker, node: ts.Identifier): ts.Symbol | undefined {
  const { parent } = node;
  if (ts.isShorthandPropertyAssignment(parent)) {
    return aliased(checker, checker.getShorthandAssignmentValueSymbol(parent));
  }
  return aliased(checker, checker.getSymbolAtLocation(node));
}

/** What does nothing to a value. */
export function isWrapping(
  node: ts.Node,
): node is ts.ParenthesizedExpression | ts.AsExpression | ts.SatisfiesExpression | ts.NonNullExpression {
  return (
    ts.isParenthesizedExpression(node) ||
    ts.isAsExpression(node) ||
    ts.isSatisfiesExpression(node) ||
    ts.isNonNullExpression(node)
  );
}

function aliased(checker: ts.TypeChecker, symbol: ts.Symbol | undefined): ts.Symbol | undefined {
  return symbol && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

function literalOf(checker: ts.TypeChecker, node: ts.Node): string | undefined {
  if (ts.isStringLiteralLike(node) || ts.isNumericLiteral(node)) return node.text;
  if (!ts.isExpression(node)) return undefined;
  const type = checker.getTypeAtLocation(node);
  return type.isStringLiteral() ? type.value : undefined;
}

function isConstant(declaration: ts.VariableDeclaration): boolean {
  return (ts.getCombinedNodeFlags(declaration) & ts.NodeFlags.Const) !== 0;
}

function isReadonly(declaration: ts.PropertyDeclaration): boolean {
  return (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Readonly) !== 0;
}

export function isFunction(node: ts.Node): node is FunctionNode {
  return ts.isFunctionLike(node) && "body" in node && node.body !== undefined;
}
