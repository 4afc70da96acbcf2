/** Expressions: what is asked for while a value is computed, in the order of evaluation. */
import ts from "typescript";
import type { Block } from "../graph.ts";
import { callsDurable, type Frame, type Reader } from "./reader.ts";
import { choice, readCondition, remember } from "./statements.ts";
import { functionOf, isFunction, isWrapping, symbolAt } from "./values.ts";

/** The parts of an expression. */
export function readExpression(reader: Reader, node: ts.Expression, frame: Frame, awaited: boolean): Block {
  if (isWrapping(node)) return reader.expression(node.expression, frame, awaited);
  if (ts.isAwaitExpression(node)) return reader.expression(node.expression, frame, true);
  if (ts.isCallExpression(node)) return reader.call(node, frame, awaited);
  if (ts.isConditionalExpression(node)) return readConditional(reader, node, frame, awaited);
  if (ts.isBinaryExpression(node)) return readBinary(reader, node, frame, awaited);
  if (ts.isIdentifier(node)) return readIdentifier(reader, node, frame, awaited);
  if (isFunction(node)) return keep(reader, node, frame);
  if (ts.isClassExpression(node) || ts.isTypeNode(node)) return [];
  return readChildren(reader, node, frame);
}

function readConditional(reader: Reader, node: ts.ConditionalExpression, frame: Frame, awaited: boolean): Block {
  const yes = reader.expression(node.whenTrue, frame, awaited);
  const no = reader.expression(node.whenFalse, frame, awaited);
  if (!callsDurable(yes) && !callsDurable(no)) return reader.expression(node.condition, frame, true);
  return readCondition(reader, node.condition, frame, yes, no);
}

function readBinary(reader: Reader, node: ts.BinaryExpression, frame: Frame, awaited: boolean): Block {
  const { left, operatorToken, right } = node;
  if (operatorToken.kind === ts.SyntaxKind.EqualsToken) {
    const parts = [
      ...(ts.isIdentifier(left) ? [] : reader.expression(left, frame)),
      ...reader.expression(right, frame),
    ];
    if (ts.isIdentifier(left)) remember(reader, left, parts);
    return parts;
  }
  const first = reader.expression(left, frame, awaited);
  const second = reader.expression(right, frame, awaited);
  const [ifTrue, ifFalse] = waysOn(operatorToken.kind);
  if (ifTrue === undefined || !callsDurable(second)) return [...first, ...second];
  const arms = [
    { label: ifTrue, block: second },
    { label: ifFalse, block: [] },
  ];
  return [...first, choice(reader, left, arms)];
}

/** What the ways of an operator are called whose right side may be left out: the one that evaluates it, and the other. */
function waysOn(operator: ts.SyntaxKind): readonly [string, string] | readonly [undefined, undefined] {
  switch (operator) {
    case ts.SyntaxKind.AmpersandAmpersandToken:
    case ts.SyntaxKind.AmpersandAmpersandEqualsToken:
      return ["yes", "no"];
    case ts.SyntaxKind.BarBarToken:
    case ts.SyntaxKind.BarBarEqualsToken:
      return ["no", "yes"];
    case ts.SyntaxKind.QuestionQuestionToken:
    case ts.SyntaxKind.QuestionQuestionEqualsToken:
      return ["nothing", "there is"];
    default:
      return [undefined, undefined];
  }
}

/** A variable that holds something begun is where it is waited for; one that holds a function puts it somewhere. */
function readIdentifier(reader: Reader, node: ts.Identifier, frame: Frame, awaited: boolean): Block {
  const symbol = symbolAt(reader.checker, node);
  if (symbol === undefined) return [];
  const begun = reader.begun.get(symbol);
  if (begun !== undefined && awaited) {
    const id = reader.draft.node({ kind: "join", label: `await ${node.text}`, mode: "begin" }, node);
    return [{ part: "join", id, begun }];
  }
  const held = functionOf(reader.checker, { node, scope: frame.scope });
  if (held !== undefined && reader.durability.mayBe(held.node)) reader.kept.push(held);
  return [];
}

/** A function that is made here and called later, by somebody. */
function keep(reader: Reader, node: ts.Node, frame: Frame): Block {
  if (isFunction(node) && reader.durability.mayBe(node)) reader.kept.push({ node, scope: frame.scope });
  return [];
}

function readChildren(reader: Reader, node: ts.Node, frame: Frame): Block {
  const parts: Block[] = [];
  ts.forEachChild(node, (child) => {
    if (ts.isMethodDeclaration(child)) keep(reader, child, frame);
    else if (ts.isShorthandPropertyAssignment(child)) parts.push(reader.expression(child.name, frame));
    else if (ts.isPropertyAssignment(child)) parts.push(reader.expression(child.initializer, frame));
    else if (ts.isPropertyAccessExpression(node) && child === node.name) return;
    else if (ts.isTypeNode(child)) return;
    else if (ts.isExpression(child)) parts.push(reader.expression(child, frame));
    else parts.push(readChildren(reader, child, frame));
  });
  return parts.flat();
}
