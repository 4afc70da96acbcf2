/** Source as labels: one line, short enough for a box. */
import ts from "typescript";

const longest = 50;

/** The text of a piece of source on one line. */
export function textOfNode(node: ts.Node): string {
  return shortened(node.getText().replaceAll(/\bawait /g, ""));
}

/** A text on one line. */
export function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1).trimEnd()}…`;
}

/** What the two ways of a condition are called: by the values that a type allows, or yes and no. */
export function waysOf(checker: ts.TypeChecker, condition: ts.Expression): readonly [yes: string, no: string] {
  if (!ts.isBinaryExpression(condition)) return ["yes", "no"];
  const { left, right, operatorToken } = condition;
  const isEqual = operatorToken.kind === ts.SyntaxKind.EqualsEqualsEqualsToken;
  if (!isEqual && operatorToken.kind !== ts.SyntaxKind.ExclamationEqualsEqualsToken) return ["yes", "no"];
  const [subject, literal] = ts.isStringLiteral(right) ? [left, right] : [right, left];
  if (!ts.isStringLiteral(literal)) return ["yes", "no"];
  const type = checker.getTypeAtLocation(subject);
  if (!type.isUnion() || !type.types.every((each) => each.isStringLiteral())) return ["yes", "no"];
  const others = type.types.flatMap((each) =>
    each.isStringLiteral() && each.value !== literal.text ? [each.value] : [],
  );
  // The compiler keeps unions in the order in which it met their members, which depends on what else was read.
  const rest = others.length <= 4 ? others.sort().join(" | ") : "otherwise";
  return isEqual ? [literal.text, rest] : [rest, literal.text];
}
