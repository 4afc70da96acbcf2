/** Calls: operations of `ctx`, functions whose bodies are read in their place, and those of which nothing is known. */
import ts from "typescript";
import type { Block, FlowNodeKind, Part } from "../graph.ts";
import { readChain, readGroup, readRace } from "./concurrency.ts";
import type { NodeFacts } from "./draft.ts";
import { definitionOf } from "./definition.ts";
import { modelOperations } from "./durability.ts";
import { callsDurable, type Frame, type Invocation, type Reader } from "./reader.ts";
import { remember } from "./statements.ts";
import {
  bindParameters,
  type Bound,
  functionOf,
  type FunctionNode,
  isFunction,
  isWrapping,
  propertyOf,
  textOf,
  valueOf,
} from "./values.ts";
import { shortened, textOfNode } from "./words.ts";

/** Library functions that call what they are given, once for each of something. */
const iterating: ReadonlySet<string> = new Set([
  "map",
  "flatMap",
  "forEach",
  "filter",
  "reduce",
  "reduceRight",
  "some",
  "every",
  "find",
  "findLast",
  "findIndex",
  "from",
  "fromAsync",
]);

/** The parts of a call. */
export function readCall(reader: Reader, node: ts.CallExpression, frame: Frame, awaited: boolean): Block {
  const { meaning, checker } = reader;
  const method = meaning.contextMethod(node);
  if (method === "race") return readRace(reader, node, frame, awaited);
  if (method !== undefined) return readOperation(reader, node, method, frame, awaited);
  if (meaning.definition(node) !== undefined) return [];
  const onPromise = meaning.promiseMethod(node);
  if (onPromise === "then" || onPromise === "catch" || onPromise === "finally") {
    return readChain(reader, node, onPromise, frame, awaited);
  }
  if (onPromise === "all" || onPromise === "allSettled" || onPromise === "race" || onPromise === "any") {
    return readGroup(reader, node, onPromise, frame, awaited);
  }
  const target = functionOf(checker, { node: node.expression, scope: frame.scope });
  if (target !== undefined) return readKnown(reader, node, target, frame, awaited);
  if (meaning.isForeign(node) && !meaning.handsOver(node)) return readForeign(reader, node, frame, awaited);
  const before = [...readCallee(reader, node, frame), ...readArguments(reader, node, frame)];
  return reader.durability.isDynamic(node) ? [...before, readDynamic(reader, node, frame)] : before;
}

// Operations of ctx

function readOperation(reader: Reader, node: ts.CallExpression, method: string, frame: Frame, awaited: boolean): Block {
  const before = readArguments(reader, node, frame);
  const facts = factsOf(reader, node, method, frame);
  if (facts === undefined) return before;
  const part: Part = { part: "node", id: reader.draft.node(facts, node) };
  const settlesLater =
    facts.kind !== "startOrchestration" && facts.kind !== "sendEvent" && facts.kind !== "continueAsNew";
  return [...before, ...(awaited || !settlesLater ? [part] : [begin(reader, node, [part])])];
}

function factsOf(reader: Reader, node: ts.CallExpression, method: string, frame: Frame): NodeFacts | undefined {
  const [first, second, third] = node.arguments;
  switch (method) {
    case "activity":
      return named(reader, "activity", "", first, frame);
    case "subOrchestration":
      return named(reader, "subOrchestration", "", first, frame);
    case "startOrchestration":
      return named(reader, "startOrchestration", "start ", first, frame);
    case "sendEvent":
      return named(reader, "sendEvent", "send ", second, frame);
    case "waitForEvent": {
      const timeout = second && propertyOf(reader.checker, { node: second, scope: frame.scope }, "timeout");
      const limit = timeout && `, at most ${textOf(reader.checker, timeout) ?? textOfNode(timeout.node)}`;
      const facts = named(reader, "event", "", first, frame);
      return { ...facts, label: shortened(`${facts.label}${limit ?? ""}`) };
    }
    case "timer":
      return { kind: "timer", label: `wait ${first ? valueText(reader, first, frame) : ""}` };
    case "continueAsNew":
      return { kind: "continueAsNew", label: "continue as new" };
    default:
      return modelOperations.has(method) ? asked(reader, method, [first, second, third], frame) : undefined;
  }
}

/** What is called by a definition or by its name. */
function named(
  reader: Reader,
  kind: FlowNodeKind,
  prefix: string,
  argument: ts.Expression | undefined,
  frame: Frame,
): NodeFacts {
  const definition = argument && definitionOf(reader, { node: argument, scope: frame.scope });
  if (definition === undefined) {
    return { kind, label: shortened(`dynamic call: ${prefix}${argument ? textOfNode(argument) : ""}`) };
  }
  const { name, looks } = definition;
  return { kind, label: `${prefix}${looks.title ?? name}`, name, ...looks };
}

function asked(
  reader: Reader,
  method: string,
  [first, second, third]: readonly (ts.Expression | undefined)[],
  frame: Frame,
): NodeFacts {
  const { checker } = reader;
  const bound = (node: ts.Expression | undefined) => node && { node, scope: frame.scope };
  const options = bound(method === "classify" || method === "generateWithSystem" ? third : second);
  const label = options && propertyOf(checker, options, "label");
  const categories = method === "classify" ? categoriesOf(reader, bound(second)) : undefined;
  const subject = (label && textOf(checker, label)) ?? (first && textOf(checker, { node: first, scope: frame.scope }));
  const said = categories?.join(" | ") ?? subject;
  return {
    kind: "model",
    name: method === "extractFeatures" ? "extract" : method, // as history calls it
    label: shortened(said === undefined ? method : `${method}: ${said}`),
    ...(categories !== undefined && { categories }),
  };
}

/** The categories of a `classify`, by their type: that of the list. */
function categoriesOf({ checker }: Reader, list: Bound | undefined): readonly string[] | undefined {
  if (list === undefined) return undefined;
  const value = valueOf(checker, list);
  if (value !== undefined && ts.isArrayLiteralExpression(value.node)) {
    const texts = value.node.elements.map((each) => textOf(checker, { node: each, scope: value.scope }));
    return texts.every((text) => text !== undefined) ? texts : undefined;
  }
  const element = checker.getTypeAtLocation(list.node).getNumberIndexType();
  const types = element?.isUnion() ? element.types : element ? [element] : [];
  const texts = types.flatMap((type) => (type.isStringLiteral() ? [type.value] : []));
  return texts.length > 0 && texts.length === types.length ? texts.sort() : undefined;
}

function valueText({ checker }: Reader, node: ts.Expression, { scope }: Frame): string {
  return shortened(textOf(checker, { node, scope }) ?? textOfNode(node));
}

// Functions

/** A function of the project: its body is read here. */
function readKnown(
  reader: Reader,
  node: ts.CallExpression,
  target: Bound<FunctionNode>,
  frame: Frame,
  awaited: boolean,
): Block {
  // Functions among the arguments are read where the target calls them.
  const before = readArguments(
    reader,
    node,
    frame,
    (argument) => functionOf(reader.checker, bound(argument, frame)) === undefined,
  );
  const values = node.arguments.map((argument) => bound(argument, frame));
  return [...before, ...reader.invoke(target, { values, awaited, frame, at: node, label: labelOf(target.node) })];
}

/** See `Reader.invoke`. */
export function invoke(reader: Reader, target: Bound<FunctionNode>, invocation: Invocation): Block {
  const { values, awaited, frame, at, label } = invocation;
  const { node } = target;
  if (!reader.durability.mayBe(node) && !values.some((value) => isDurableFunction(reader, value))) return [];
  if (frame.functions.includes(node)) {
    const id = reader.draft.node({ kind: "dynamic", label: shortened(`${label} calls itself`) }, at);
    return [{ part: "node", id }];
  }
  const isAsync = (ts.getCombinedModifierFlags(node as ts.Declaration) & ts.ModifierFlags.Async) !== 0;
  const group = reader.draft.group({ kind: "helper", label });
  const inner: Frame = {
    scope: bindParameters(target, values),
    functions: [...frame.functions, node],
    helper: group,
    awaitsResult: isAsync || awaited,
    targets: [],
  };
  const block = ts.isBlock(node.body)
    ? reader.statements(node.body.statements, inner)
    : reader.expression(node.body, inner, inner.awaitsResult);
  if (!callsDurable(block)) return [];
  const part: Part = { part: "helper", group, block: withoutLastReturn(block, group) };
  return isAsync && !awaited ? [begin(reader, at, [part])] : [part];
}

function isDurableFunction({ checker, durability }: Reader, value: Bound): boolean {
  const held = functionOf(checker, value);
  return held !== undefined && durability.mayBe(held.node);
}

/** A function that ends by returning ends. */
function withoutLastReturn(block: Block, group: string): Block {
  const last = block.at(-1);
  return last?.part === "jump" && last.to === "return" && last.target === group ? block.slice(0, -1) : block;
}

/** What a helper is called, if it has a name. */
function labelOf(node: FunctionNode): string {
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  return ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent) ? parent.name.getText() : "";
}

/** A function of a library: it may call what it is given, or put it somewhere. */
function readForeign(reader: Reader, node: ts.CallExpression, frame: Frame, awaited: boolean): Block {
  const callee = node.expression;
  const name = ts.isPropertyAccessExpression(callee) ? callee.name.text : "";
  const before = readCallee(reader, node, frame);
  if (iterating.has(name)) {
    const callback = node.arguments
      .map((argument) => functionOf(reader.checker, bound(argument, frame)))
      .find(isDefined);
    if (callback !== undefined && reader.durability.mayBe(callback.node)) {
      const others = readArguments(reader, node, frame, (argument) => !isFunction(argument));
      const called = { values: [], awaited: true, frame, at: node, label: "" };
      const block = reader.invoke(callback, called);
      if (!callsDurable(block)) return [...before, ...others];
      const fork = reader.draft.node({ kind: "fork", label: eachOf(callee), mode: "begin" }, node);
      const part: Part = { part: "begin", fork, arm: { label: "", block, many: true } };
      if (!awaited) return [...before, ...others, part];
      const join = reader.draft.node({ kind: "join", label: eachOf(callee), mode: "begin" }, node);
      return [...before, ...others, part, { part: "join", id: join, begun: [fork] }];
    }
  }
  const parts = readArguments(reader, node, frame);
  const holder = ts.isPropertyAccessExpression(callee) ? callee.expression : undefined;
  // `promises.push(ctx.activity(...))`: whoever waits for what the list holds waits for this as well.
  if (holder !== undefined && ts.isIdentifier(holder)) remember(reader, holder, parts);
  return [...before, ...parts];
}

function eachOf(callee: ts.Expression): string {
  return ts.isPropertyAccessExpression(callee) ? shortened(`for each of ${textOfNode(callee.expression)}`) : "for each";
}

/** Somebody decides at run time what is called. */
function readDynamic(reader: Reader, node: ts.CallExpression, frame: Frame): Part {
  const id = reader.draft.node(
    { kind: "dynamic", label: shortened(`dynamic call: ${textOfNode(node.expression)}()`) },
    node,
  );
  const perhaps: Block[] = [];
  reader.dynamicCalls.push({ call: node, frame, perhaps });
  return { part: "dynamic", id, perhaps };
}

/** What stands before the last dot is evaluated first. */
function readCallee(reader: Reader, { expression }: ts.CallExpression, frame: Frame): Block {
  const callee = isWrapping(expression) ? expression.expression : expression;
  if (ts.isPropertyAccessExpression(callee) || ts.isElementAccessExpression(callee)) {
    return reader.expression(callee.expression, frame);
  }
  return ts.isCallExpression(callee) ? reader.expression(callee, frame) : [];
}

function readArguments(
  reader: Reader,
  node: ts.CallExpression,
  frame: Frame,
  isRead: (argument: ts.Expression) => boolean = () => true,
): Block {
  return node.arguments.filter(isRead).flatMap((argument) => reader.expression(argument, frame));
}

/** Begins something beside what follows. */
function begin(reader: Reader, node: ts.Node, block: Block): Part {
  const fork = reader.draft.node({ kind: "fork", label: "", mode: "begin" }, node);
  return { part: "begin", fork, arm: { label: "", block } };
}

function bound(node: ts.Expression, { scope }: Frame): Bound {
  return { node, scope };
}

function isDefined<Value>(value: Value | undefined): value is Value {
  return value !== undefined;
}
