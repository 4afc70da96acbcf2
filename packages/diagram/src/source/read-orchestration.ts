/** One orchestration: its definition and its function become a flow graph. */
import ts from "typescript";
import type { FlowGraph } from "../graph.ts";
import { invoke, readCall } from "./calls.ts";
import { Draft } from "./draft.ts";
import { looksOf, optionOf } from "./definition.ts";
import type { Durability } from "./durability.ts";
import { readExpression } from "./expressions.ts";
import type { Meaning } from "./meaning.ts";
import type { Frame, Reader } from "./reader.ts";
import { readStatements } from "./statements.ts";
import { functionOf, type FunctionNode, textOf, type Bound } from "./values.ts";

/** What is read and with which means. */
export interface Reading {
  readonly checker: ts.TypeChecker;
  readonly meaning: Meaning;
  readonly durability: Durability;
  /** What source positions are relative to. */
  readonly folder: string;
}

/** The flow graph of a call of `orchestration(...)`, or nothing when its name is not known from the source. */
export function readOrchestration(reading: Reading, definition: ts.CallExpression): FlowGraph | undefined {
  const { checker } = reading;
  const bound = (node: ts.Expression): Bound => ({ node, scope: new Map() });
  const [nameNode, ...rest] = definition.arguments;
  const last = rest.at(-1);
  const name = nameNode && textOf(checker, bound(nameNode));
  if (name === undefined || last === undefined) return undefined;
  const option = (key: string) => optionOf(checker, { node: definition, scope: new Map() }, key);
  const run = functionOf(checker, bound(last));
  const draft = new Draft(reading.folder);
  const description = option("description");
  return draft.finish(
    {
      name,
      version: option("version") ?? "1",
      ...looksOf(checker, { node: definition, scope: new Map() }),
      ...(description !== undefined && { description }),
      at: draft.positionOf(definition),
    },
    run === undefined ? unknownBody(draft, last) : readBody(reading, draft, run),
  );
}

function unknownBody(draft: Draft, node: ts.Expression): FlowGraph["outline"] {
  return [{ part: "node", id: draft.node({ kind: "dynamic", label: `dynamic call: ${node.getText()}` }, node) }];
}

function readBody(reading: Reading, draft: Draft, run: Bound<FunctionNode>): FlowGraph["outline"] {
  const reader: Reader = {
    ...reading,
    draft,
    begun: new Map(),
    kept: [],
    dynamicCalls: [],
    statements: (list, frame) => readStatements(reader, list, frame),
    expression: (node, frame, awaited = false) => readExpression(reader, node, frame, awaited),
    call: (node, frame, awaited) => readCall(reader, node, frame, awaited),
    invoke: (target, invocation) => invoke(reader, target, invocation),
  };
  const { node, scope } = run;
  const frame: Frame = { scope, functions: [node], awaitsResult: true, targets: [] };
  const outline = ts.isBlock(node.body)
    ? reader.statements(node.body.statements, frame)
    : reader.expression(node.body, frame, true);
  tellWhatDynamicCallsMayBe(reader);
  return outline;
}

/** A dynamic call may reach the functions that were put somewhere and have the type of what is called. */
function tellWhatDynamicCallsMayBe(reader: Reader): void {
  const { checker, kept, dynamicCalls } = reader;
  for (const { call, frame, perhaps } of dynamicCalls) {
    const wanted = checker.getTypeAtLocation(call.expression);
    const seen = new Set<ts.Node>();
    for (const target of kept) {
      if (seen.has(target.node) || !checker.isTypeAssignableTo(checker.getTypeAtLocation(target.node), wanted))
        continue;
      seen.add(target.node);
      const block = reader.invoke(target, { values: [], awaited: true, frame, at: target.node, label: "" });
      if (block.length > 0) perhaps.push(block);
    }
  }
}
