/**
 * Values on their way to PostgreSQL and back. Its texts hold neither NUL nor half a surrogate pair, both of which
 * JavaScript's may; such a character goes as `\u001a` and its four digits, and so does `\u001a` itself. What verbs hand
 * over in bulk goes as one JSON text.
 */
import { types, type CustomTypesConfig } from "pg";

const mark = "\u001a";
const strange = /[\0\u001a\ud800-\udfff]/gu; // with the flag u, surrogates only where they are alone
const strangeInJson = /(?<!\\)((?:\\\\)*)\\u(0000|001a|d[89a-f][0-9a-f]{2})/g;
const marked = /\u001a([0-9a-f]{4})/g;

/** A text as PostgreSQL can hold it. */
export function toText(text: string): string {
  return text.replace(strange, (character) => mark + character.charCodeAt(0).toString(16).padStart(4, "0"));
}

/** A value as JSON, its texts as {@link toText} makes them. */
export function toJson(value: unknown): string {
  const json = JSON.stringify(value);
  return json.includes("\\u") ? json.replace(strangeInJson, "$1\\u001a$2") : json;
}

/** What {@link toText} was given. */
function fromText(text: string): string {
  if (!text.includes(mark)) return text;
  return text.replace(marked, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/** What {@link toJson} was given, once it has been through the database. */
export function fromJson(json: string): unknown {
  return json.includes("\\u001a") ? restored(JSON.parse(json)) : JSON.parse(json);
}

function restored(value: unknown): unknown {
  if (typeof value === "string") return fromText(value);
  if (Array.isArray(value)) return value.map(restored);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [fromText(key), restored(member)]));
}

const int8Array = 1016;

/** Rows as the seam has them: keys and times are numbers, and texts are what they were. */
export const rowTypes: CustomTypesConfig = {
  getTypeParser(oid, format) {
    if (oid === types.builtins.INT8) return Number;
    if ((oid as number) === int8Array)
      return (list: string) => list.slice(1, -1).split(",").filter(Boolean).map(Number);
    if (oid === types.builtins.TEXT) return fromText;
    if (oid === types.builtins.JSON || oid === types.builtins.JSONB) return fromJson;
    return types.getTypeParser(oid, format) as (value: string) => unknown;
  },
};
