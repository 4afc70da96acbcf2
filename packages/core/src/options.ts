/**
 * Checks of what people pass besides payloads: a misspelt option must not pass for one that was left out.
 */
import { ConfigurationError } from "./errors.ts";
import { redactor } from "./llm/provider-kit/secrets.ts";

const redact = redactor([]);

/** The names of an options type, each once; the compiler sees to it that none is forgotten. */
export type NamesOf<Options> = { readonly [Name in keyof Required<Options>]: true };

/** @throws ConfigurationError when `options` is no object or has a member that is not in `names`. */
export function assertOptions(options: unknown, names: { readonly [name: string]: true }, what: string): void {
  if (typeof options !== "object" || options === null) {
    throw new ConfigurationError(`Expected ${what} to be given an object of options, got ${shown(options)}`);
  }
  for (const name in options) {
    if (Object.hasOwn(names, name)) continue;
    throw new ConfigurationError(
      `Expected options of ${what} to be among ${Object.keys(names).join(", ")}, got ${name}`,
    );
  }
}

/** @throws ConfigurationError when `value` is given and is none of `choices`. */
export function assertChoice(value: unknown, choices: readonly string[], what: string): void {
  if (value === undefined || choices.includes(value as string)) return;
  const named = choices.map((choice) => JSON.stringify(choice)).join(" or ");
  throw new ConfigurationError(`Expected ${what} to be ${named}, got ${shown(value)}`);
}

/** A value as messages show it: as it would be written, and not at length. */
export function shown(value: unknown): string {
  const text = writtenAs(value);
  return text.length <= 100 ? text : `${text.slice(0, 80)}... (${text.length} characters)`;
}

/** Something that may hold a key, as messages show it: objects by the names of their members. */
export function shownWithoutKeys(value: unknown): string {
  if (typeof value !== "object" || value === null) return redact(shown(value));
  const names = Object.keys(value);
  return names.length === 0 ? shown(value) : `an object with ${names.join(", ")}`;
}

function writtenAs(value: unknown): string {
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`;
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    return "an object"; // with a cycle, or a member that does not want to be read
  }
}
