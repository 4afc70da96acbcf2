/** What a definition says of itself in the source: its name, and how it is shown to people. */
import type { DiagramColor } from "@stet/core";
import ts from "typescript";
import type { Looks } from "../graph.ts";
import type { Meaning } from "./meaning.ts";
import { type Bound, propertyOf, textOf, valueOf } from "./values.ts";

/** The source that definitions are read from. */
interface Source {
  readonly checker: ts.TypeChecker;
  readonly meaning: Meaning;
}

/** A definition, as far as the source says. */
interface Definition {
  readonly name: string;
  readonly looks: Looks;
}

/** The definition that an expression stands for, or only its name where that is all it is. */
export function definitionOf(source: Source, argument: Bound): Definition | undefined {
  const { checker, meaning } = source;
  const text = textOf(checker, argument);
  if (text !== undefined) return { name: text, looks: {} };
  const value = valueOf(checker, argument);
  if (value === undefined || !ts.isCallExpression(value.node) || meaning.definition(value.node) === undefined)
    return undefined;
  const { node, scope } = value;
  const [first] = node.arguments;
  const name = first && textOf(checker, { node: first, scope });
  return name === undefined ? undefined : { name, looks: looksOf(checker, { node, scope }) };
}

/** The text of an option in a call of `activity(...)` or `orchestration(...)`. */
export function optionOf(
  checker: ts.TypeChecker,
  { node, scope }: Bound<ts.CallExpression>,
  ...path: string[]
): string | undefined {
  const [, options, run] = node.arguments;
  if (options === undefined || run === undefined) return undefined;
  let value: Bound | undefined = { node: options, scope };
  for (const key of path) value = value && propertyOf(checker, value, key);
  return value && textOf(checker, value);
}

/** Title, icon and colour of a definition. */
export function looksOf(checker: ts.TypeChecker, definition: Bound<ts.CallExpression>): Looks {
  const title = optionOf(checker, definition, "title");
  const icon = optionOf(checker, definition, "diagram", "icon");
  const color = optionOf(checker, definition, "diagram", "color");
  return {
    ...(title !== undefined && { title }),
    ...(icon !== undefined && { icon }),
    ...(isColor(color) && { color }),
  };
}

const colors: { readonly [Color in DiagramColor]: true } = {
  blue: true,
  green: true,
  yellow: true,
  orange: true,
  red: true,
  purple: true,
  grey: true,
};

function isColor(text: string | undefined): text is DiagramColor {
  return text !== undefined && Object.hasOwn(colors, text);
}
