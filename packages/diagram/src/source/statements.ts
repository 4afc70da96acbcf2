/** Statements: the structure of a flow. */
import ts from "typescript";
import type { Arm, Block, Part } from "../graph.ts";
import { type Frame, type JumpTarget, matters, callsDurable, type Reader } from "./reader.ts";
import { isFunction, isWrapping } from "./values.ts";
import { shortened, textOfNode, waysOf } from "./words.ts";

/** The parts of statements one after another. */
export function readStatements(reader: Reader, list: readonly ts.Statement[], frame: Frame): Block {
  return list.flatMap((statement) => readStatement(reader, statement, frame));
}

function readStatement(reader: Reader, node: ts.Statement, frame: Frame, label?: string): Block {
  if (ts.isBlock(node)) return reader.statements(node.statements, frame);
  if (ts.isExpressionStatement(node)) return reader.expression(node.expression, frame);
  if (ts.isVariableStatement(node)) return readDeclarations(reader, node.declarationList, frame);
  if (ts.isIfStatement(node)) return readIf(reader, node, frame);
  if (ts.isSwitchStatement(node)) return readSwitch(reader, node, frame);
  if (ts.isTryStatement(node)) return readTry(reader, node, frame);
  if (ts.isReturnStatement(node)) return readReturn(reader, node, frame);
  if (ts.isThrowStatement(node)) return readThrow(reader, node, frame);
  if (ts.isBreakStatement(node) || ts.isContinueStatement(node)) return readJump(node, frame);
  if (ts.isLabeledStatement(node)) return readLabelled(reader, node, frame);
  if (ts.isIterationStatement(node, false)) return readLoop(reader, node, frame, label);
  return []; // declarations of functions, classes and types do nothing by themselves
}

/** A label may also stand before what is no loop. */
function readLabelled(reader: Reader, { label, statement }: ts.LabeledStatement, frame: Frame): Block {
  return readStatement(reader, statement, frame, label.text);
}

function readDeclarations(reader: Reader, list: ts.VariableDeclarationList, frame: Frame): Block {
  return list.declarations.flatMap(({ name, initializer }) => {
    if (initializer === undefined || isFunctionValue(initializer)) return [];
    const parts = reader.expression(initializer, frame);
    if (ts.isIdentifier(name)) remember(reader, name, parts);
    return parts;
  });
}

/** A function that gets a name is read where it is called. */
function isFunctionValue(node: ts.Expression): boolean {
  return isWrapping(node) ? isFunctionValue(node.expression) : isFunction(node);
}

/** What was begun is held by a variable. */
export function remember(reader: Reader, name: ts.Identifier, parts: Block): void {
  const forks = parts.flatMap((part) => (part.part === "begin" ? [part.fork] : []));
  const symbol = reader.checker.getSymbolAtLocation(name);
  if (symbol === undefined || forks.length === 0) return;
  reader.begun.set(symbol, [...(reader.begun.get(symbol) ?? []), ...forks]);
}

function readIf(reader: Reader, node: ts.IfStatement, frame: Frame): Block {
  const yes = readStatement(reader, node.thenStatement, frame);
  const no = node.elseStatement === undefined ? [] : readStatement(reader, node.elseStatement, frame);
  if (!matters(yes) && !matters(no)) return reader.expression(node.expression, frame, true);
  return readCondition(reader, node.expression, frame, yes, no);
}

/** A condition with its two ways. `a && b` without an `else` is a condition in a condition. */
export function readCondition(reader: Reader, node: ts.Expression, frame: Frame, yes: Block, no: Block): Block {
  if (isWrapping(node)) return readCondition(reader, node.expression, frame, yes, no);
  if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
    return readCondition(reader, node.operand, frame, no, yes);
  }
  if (
    ts.isBinaryExpression(node) &&
    node.operatorToken.kind === ts.SyntaxKind.AmpersandAmpersandToken &&
    no.length === 0
  ) {
    const inner = reader.expression(node.right, frame, true);
    if (callsDurable(inner)) {
      return readCondition(reader, node.left, frame, readCondition(reader, node.right, frame, yes, []), []);
    }
  }
  const asked = reader.expression(node, frame, true);
  const [yesLabel, noLabel] = waysOf(reader.checker, node);
  return [
    ...asked,
    choice(reader, node, [
      { label: yesLabel, block: yes },
      { label: noLabel, block: no },
    ]),
  ];
}

/** A decision, labelled with its source. */
export function choice(reader: Reader, node: ts.Node, arms: readonly Arm[]): Part {
  const id = reader.draft.node({ kind: "decision", label: textOfNode(node) }, node);
  return { part: "choice", id, arms };
}

function readSwitch(reader: Reader, node: ts.SwitchStatement, frame: Frame): Block {
  const subject = reader.expression(node.expression, frame, true);
  const id = reader.draft.node({ kind: "decision", label: textOfNode(node.expression) }, node);
  const inner = inside(frame, { id, isLoop: false });
  const arms: Arm[] = [];
  let labels: string[] = [];
  const { clauses } = node.caseBlock;
  clauses.forEach((clause, i) => {
    labels.push(ts.isCaseClause(clause) ? caseLabel(clause.expression) : "otherwise");
    if (clause.statements.length === 0 && i < clauses.length - 1) return;
    const block = reader.statements(clause.statements, inner);
    const falls = i < clauses.length - 1 && !endsWithJump(clause.statements);
    arms.push({ label: labels.join(", "), block, ...(falls && { falls }) });
    labels = [];
  });
  if (!clauses.some(ts.isDefaultClause) && !isExhaustive(reader, node)) arms.push({ label: "otherwise", block: [] });
  const part: Part = { part: "choice", id, arms };
  return matters([part]) ? [...subject, part] : subject;
}

function caseLabel(node: ts.Expression): string {
  return ts.isStringLiteralLike(node) ? shortened(node.text) : textOfNode(node);
}

/** Whether the last statement leaves the clause: then nothing falls through. */
function endsWithJump(statements: readonly ts.Statement[]): boolean {
  const last = statements.at(-1);
  if (last === undefined) return false;
  if (ts.isBlock(last)) return endsWithJump(last.statements);
  if (ts.isIfStatement(last) && last.elseStatement !== undefined) {
    return endsWithJump([last.thenStatement]) && endsWithJump([last.elseStatement]);
  }
  return (
    ts.isBreakStatement(last) || ts.isContinueStatement(last) || ts.isReturnStatement(last) || ts.isThrowStatement(last)
  );
}

/** Whether the cases name every value that the type allows. */
function isExhaustive({ checker }: Reader, { expression, caseBlock }: ts.SwitchStatement): boolean {
  const type = checker.getTypeAtLocation(expression);
  const values = type.isUnion() ? type.types : [type];
  const named = caseBlock.clauses.flatMap((clause) =>
    ts.isCaseClause(clause) ? [checker.typeToString(checker.getTypeAtLocation(clause.expression))] : [],
  );
  return values.every((value) => value.isLiteral() && named.includes(checker.typeToString(value)));
}

function readTry(reader: Reader, node: ts.TryStatement, frame: Frame): Block {
  const block = reader.statements(node.tryBlock.statements, frame);
  const cleanUp = node.finallyBlock && reader.statements(node.finallyBlock.statements, frame);
  const caught = node.catchClause && readCatch(reader, node.catchClause, frame);
  if (!matters(block)) return [...block, ...(cleanUp ?? [])];
  return [
    {
      part: "attempt",
      group: reader.draft.group({ kind: "try", label: "try" }),
      block,
      ...(caught !== undefined && { caught }),
      ...(cleanUp !== undefined && callsDurable(cleanUp) && { finally: cleanUp }),
    },
  ];
}

function readCatch(reader: Reader, node: ts.CatchClause, frame: Frame): { readonly id: string; readonly block: Block } {
  return {
    id: reader.draft.node({ kind: "catch", label: "on failure" }, node),
    block: reader.statements(node.block.statements, frame),
  };
}

function readReturn(reader: Reader, node: ts.ReturnStatement, frame: Frame): Block {
  const { expression } = node;
  const value = expression === undefined ? [] : reader.expression(expression, frame, frame.awaitsResult);
  if (frame.helper !== undefined) return [...value, { part: "jump", to: "return", target: frame.helper }];
  const said = expression !== undefined && !callsDurable(value) ? sayableResult(expression) : undefined;
  if (said === undefined) return [...value, { part: "jump", to: "return" }];
  const id = reader.draft.node({ kind: "return", label: `return ${said}` }, node);
  return [...value, { part: "jump", to: "return", id }];
}

/** A result that tells a reader something: a text or a plain value. */
function sayableResult(node: ts.Expression): string | undefined {
  if (isWrapping(node)) return sayableResult(node.expression);
  if (ts.isStringLiteralLike(node)) return shortened(node.text);
  const isSaid =
    ts.isTemplateExpression(node) ||
    ts.isNumericLiteral(node) ||
    [ts.SyntaxKind.TrueKeyword, ts.SyntaxKind.FalseKeyword, ts.SyntaxKind.NullKeyword].includes(node.kind);
  return isSaid ? textOfNode(node).replaceAll("`", "") : undefined;
}

function readThrow(reader: Reader, node: ts.ThrowStatement, frame: Frame): Block {
  const value = reader.expression(node.expression, frame, true);
  const id = reader.draft.node({ kind: "throw", label: `throw ${thrown(node.expression)}` }, node);
  return [...value, { part: "jump", to: "throw", id }];
}

function thrown(node: ts.Expression): string {
  const said = ts.isNewExpression(node)
    ? node.arguments?.find((argument) => ts.isStringLiteralLike(argument))
    : undefined;
  return said === undefined ? textOfNode(node) : shortened((said as ts.StringLiteralLike).text);
}

function readJump(node: ts.BreakOrContinueStatement, { targets }: Frame): Block {
  const to = ts.isBreakStatement(node) ? "break" : "continue";
  const target = targets.findLast(({ label, isLoop }) =>
    node.label === undefined ? isLoop || to === "break" : label === node.label.text,
  );
  return target === undefined ? [] : [{ part: "jump", to, target: target.id }];
}

function readLoop(reader: Reader, node: ts.IterationStatement, frame: Frame, label?: string): Block {
  const heading = loopHeading(node);
  const id = reader.draft.node({ kind: "loop", label: heading }, node);
  const group = reader.draft.group({ kind: "loop", label: "loop" });
  const inner = inside(frame, { id, isLoop: true, ...(label !== undefined && { label }) });
  const before = ts.isForStatement(node)
    ? readInitializer(reader, node.initializer, frame)
    : ts.isForOfStatement(node) || ts.isForInStatement(node)
      ? reader.expression(node.expression, frame, true)
      : [];
  const condition = conditionOf(node);
  const test = condition === undefined ? [] : reader.expression(condition, inner, true);
  const body = readStatement(reader, node.statement, inner);
  const after = ts.isForStatement(node) && node.incrementor ? reader.expression(node.incrementor, inner, true) : [];
  const form = isEndless(node) ? "endless" : ts.isDoStatement(node) ? "doWhile" : "while";
  const part: Part = { part: "loop", id, group, test, block: [...body, ...after], form };
  return matters([part]) ? [...before, part] : before;
}

function readInitializer(reader: Reader, node: ts.ForInitializer | undefined, frame: Frame): Block {
  if (node === undefined) return [];
  return ts.isVariableDeclarationList(node)
    ? readDeclarations(reader, node, frame)
    : reader.expression(node, frame, true);
}

function loopHeading(node: ts.IterationStatement): string {
  if (ts.isForOfStatement(node) || ts.isForInStatement(node)) {
    const [variable] = ts.isVariableDeclarationList(node.initializer) ? node.initializer.declarations : [];
    return shortened(`for each ${(variable?.name ?? node.initializer).getText()} of ${textOfNode(node.expression)}`);
  }
  const condition = conditionOf(node);
  if (condition === undefined || isEndless(node)) return "for ever";
  return shortened(`while ${textOfNode(condition)}`);
}

function conditionOf(node: ts.IterationStatement): ts.Expression | undefined {
  if (ts.isForStatement(node)) return node.condition;
  return ts.isWhileStatement(node) || ts.isDoStatement(node) ? node.expression : undefined;
}

function isEndless(node: ts.IterationStatement): boolean {
  if (ts.isForOfStatement(node) || ts.isForInStatement(node)) return false;
  const condition = conditionOf(node);
  return condition === undefined || condition.kind === ts.SyntaxKind.TrueKeyword;
}

function inside(frame: Frame, target: JumpTarget): Frame {
  return { ...frame, targets: [...frame.targets, target] };
}
