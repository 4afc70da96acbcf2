/** What runs beside each other: the combinators of `Promise`, `ctx.race`, and chains of `then`. */
import ts from "typescript";
import type { Arm, Block, Concurrency, Part } from "../graph.ts";
import { callsDurable, type Frame, type Reader } from "./reader.ts";
import { functionOf, isWrapping } from "./values.ts";

const titles: { readonly [Mode in Concurrency]: string } = {
  all: "all of",
  allSettled: "all of, settled",
  race: "first to settle",
  any: "first to succeed",
  first: "race",
  begin: "begin",
};

/** `Promise.all([...])` and its siblings. */
export function readGroup(
  reader: Reader,
  node: ts.CallExpression,
  mode: Concurrency,
  frame: Frame,
  awaited: boolean,
): Block {
  const [list] = node.arguments;
  if (list === undefined) return [];
  const entrants = ts.isArrayLiteralExpression(list) ? list.elements.map((each) => ({ label: "", node: each })) : [];
  const whole = ts.isArrayLiteralExpression(list) ? [] : [list];
  return readEntrants(reader, node, mode, frame, awaited, entrants, whole);
}

/** `ctx.race({ answer, tooLate })`. */
export function readRace(reader: Reader, node: ts.CallExpression, frame: Frame, awaited: boolean): Block {
  const [named] = node.arguments;
  if (named === undefined) return [];
  const properties = ts.isObjectLiteralExpression(named) ? named.properties : [];
  const entrants = properties.flatMap((property) => {
    if (ts.isPropertyAssignment(property)) return [{ label: property.name.getText(), node: property.initializer }];
    return ts.isShorthandPropertyAssignment(property) ? [{ label: property.name.text, node: property.name }] : [];
  });
  return readEntrants(
    reader,
    node,
    "first",
    frame,
    awaited,
    entrants,
    ts.isObjectLiteralExpression(named) ? [] : [named],
  );
}

interface Entrant {
  readonly label: string;
  readonly node: ts.Expression;
}

function readEntrants(
  reader: Reader,
  node: ts.CallExpression,
  mode: Concurrency,
  frame: Frame,
  awaited: boolean,
  entrants: readonly Entrant[],
  lists: readonly ts.Expression[],
): Block {
  const arms: Arm[] = [];
  const begun: string[] = [];
  const before: Part[] = [];
  const take = (parts: Block, label: string) => {
    // What was begun before is only waited for; what is begun many times is an arm that runs many times.
    const rest = parts.filter((part) => {
      if (part.part === "join") begun.push(...part.begun);
      else if (part.part === "begin" && part.arm.many === true) arms.push({ ...part.arm, label });
      else if (part.part === "begin") arms.push({ ...part.arm, label });
      else return true;
      return false;
    });
    return rest;
  };
  for (const { label, node: entrant } of entrants) {
    const own = ts.isSpreadElement(entrant) ? entrant.expression : entrant;
    const parts = reader.expression(own, frame, !isList(reader, own));
    const rest = isJoinOnly(parts) || ts.isSpreadElement(entrant) ? take(parts, label) : parts;
    if (callsDurable(rest)) arms.push({ label, block: rest });
  }
  for (const list of lists) {
    if (ts.isIdentifier(list)) take(reader.expression(list, frame, true), "");
    else before.push(...take(reader.expression(list, frame, false), ""));
  }
  if (arms.length === 0 && begun.length === 0) return before;
  if (arms.length === 0) {
    const id = reader.draft.node({ kind: "join", label: titles[mode], mode }, node);
    return [...before, { part: "join", id, begun }];
  }
  const join = reader.draft.node({ kind: "join", label: "", mode }, node);
  const fork = reader.draft.node({ kind: "fork", label: "", mode, join }, node);
  const group = reader.draft.group({ kind: "concurrent", label: titles[mode] });
  const part: Part = { part: "concurrent", group, fork, join, arms, begun };
  if (awaited) return [...before, part];
  const later = reader.draft.node({ kind: "fork", label: "", mode: "begin" }, node);
  return [...before, { part: "begin", fork: later, arm: { label: "", block: [part] } }];
}

function isJoinOnly(parts: Block): boolean {
  return parts.length > 0 && parts.every(({ part }) => part === "join");
}

/** Whether an element of the list is itself a list of promises. */
function isList({ checker }: Reader, node: ts.Expression): boolean {
  return checker.isArrayLikeType(checker.getTypeAtLocation(node));
}

/** `promise.then(f)`, `promise.catch(f)`, `promise.finally(f)`: one thing after another, begun together. */
export function readChain(
  reader: Reader,
  node: ts.CallExpression,
  method: "then" | "catch" | "finally",
  frame: Frame,
  awaited: boolean,
): Block {
  const { expression: callee } = node;
  const subject = ts.isPropertyAccessExpression(callee) ? callee.expression : callee;
  const [first, second] = node.arguments.map((argument) => readHandler(reader, argument, frame));
  const handlers = [first ?? [], second ?? []];
  // `begun.catch(() => undefined)` looks away, and waits for nothing.
  if (!awaited && isName(subject) && !handlers.some(callsDurable)) return [];
  const asked = reader.expression(subject, frame, true);
  const block = chained(reader, node, method, asked, handlers[0] ?? [], second);
  if (awaited || !callsDurable(block)) return block;
  const fork = reader.draft.node({ kind: "fork", label: "", mode: "begin" }, node);
  return [{ part: "begin", fork, arm: { label: "", block } }];
}

function chained(
  reader: Reader,
  node: ts.CallExpression,
  method: "then" | "catch" | "finally",
  asked: Block,
  first: Block,
  second: Block | undefined,
): Block {
  const attempt = (caught: Block): Part => ({
    part: "attempt",
    group: reader.draft.group({ kind: "try", label: "" }),
    block: asked,
    caught: { id: reader.draft.node({ kind: "catch", label: "on failure" }, node), block: caught },
  });
  switch (method) {
    case "then":
      return second === undefined ? [...asked, ...first] : [attempt(second), ...first];
    case "catch":
      return callsDurable(asked) ? [attempt(first)] : [...asked, ...first];
    case "finally": {
      if (!callsDurable(first)) return asked;
      const group = reader.draft.group({ kind: "try", label: "" });
      return [{ part: "attempt", group, block: asked, finally: first }];
    }
  }
}

function readHandler(reader: Reader, node: ts.Expression, frame: Frame): Block {
  const handler = functionOf(reader.checker, { node, scope: frame.scope });
  if (handler === undefined) return [];
  return reader.invoke(handler, { values: [], awaited: true, frame, at: node, label: "" });
}

function isName(node: ts.Expression): boolean {
  return isWrapping(node) ? isName(node.expression) : ts.isIdentifier(node);
}
