/** One call, found by where a stack frame says that it was made: the way back from what happened to what is written. */
import { resolve } from "node:path";
import ts from "typescript";
import type { SourcePosition } from "../graph.ts";

/** A piece of a file. */
export interface SourceText {
  readonly at: SourcePosition;
  readonly text: string;
}

/** A call as it is written. */
export interface SourceCall extends SourceText {
  /** What stands before the last dot. Absent when nothing does. */
  readonly receiver?: string;
  readonly arguments: readonly SourceText[];
  /** The statement that the call is part of, without its line break. */
  readonly statement: SourceText & {
    readonly end: SourcePosition;
    /** Whether it is the call and nothing else, awaited or not. */
    readonly isCall: boolean;
    /** Whether something can be written after it and is reached. */
    readonly goesOn: boolean;
  };
}

/**
 * The call at a position, as stack frames name it: anywhere between its beginning and its first parenthesis. Absent when
 * the file is not there, or has no call there.
 *
 * @param folder - What the position is relative to. @default the working directory
 */
export function callAt({ file, line, column }: SourcePosition, folder: string = process.cwd()): SourceCall | undefined {
  const path = resolve(folder, file);
  const text = ts.sys.readFile(path);
  if (text === undefined) return undefined;
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  if (line > source.getLineStarts().length) return undefined;
  const offset = source.getPositionOfLineAndCharacter(line - 1, 0) + column - 1;
  let found: ts.CallExpression | undefined;
  const visit = (node: ts.Node): void => {
    if (offset < node.getStart(source) || offset >= node.end) return;
    if (ts.isCallExpression(node) && offset < node.expression.end) found = node;
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found && told(found, source, file);
}

function told(call: ts.CallExpression, source: ts.SourceFile, file: string): SourceCall {
  const { expression } = call;
  const statement = statementOf(call);
  const position = (offset: number): SourcePosition => {
    const { line, character } = source.getLineAndCharacterOfPosition(offset);
    return { file, line: line + 1, column: character + 1 };
  };
  const piece = (node: ts.Node): SourceText => ({ at: position(node.getStart(source)), text: node.getText(source) });
  return {
    ...piece(call),
    ...(ts.isPropertyAccessExpression(expression) && { receiver: expression.expression.getText(source) }),
    arguments: call.arguments.map(piece),
    statement: {
      ...piece(statement),
      end: position(statement.end),
      isCall: ts.isExpressionStatement(statement) && unawaited(statement.expression) === call,
      goesOn: !ts.isReturnStatement(statement) && !ts.isThrowStatement(statement) && ts.isBlock(statement.parent),
    },
  };
}

function unawaited(expression: ts.Expression): ts.Expression {
  return ts.isAwaitExpression(expression) ? expression.expression : expression;
}

function statementOf(node: ts.Node): ts.Node {
  let each = node;
  while (!ts.isStatement(each) && each.parent !== undefined) each = each.parent;
  return each;
}
