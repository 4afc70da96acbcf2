/**
 * The door for payloads. `toPayload` copies, so that what the caller changes afterwards cannot change history, and it
 * refuses with the path of the offending member what JSON would drop or bend: functions, symbols, `BigInt`, cycles,
 * `NaN`, `Date`, `Map` and other class instances, holes and `undefined` in arrays. A property whose value is
 * `undefined` is absent.
 */
import { PayloadError, PayloadTooLargeError } from "./errors.ts";
import { type Payload, setMember } from "./payload.ts";

/** Largest payload in bytes of JSON after its long texts have been put aside, and largest such text. */
export const defaultPayloadLimit: number = 4 * 1024 * 1024;

/** Texts longer than this many characters are stored once, beside the events that refer to them. */
export const longText = 512;

/** Deeper nesting is taken for a mistake; it also bounds recursion. */
const deepest = 256;

/** Stands for "not a payload" on the fast path; the slow path then finds out where and why. */
const refused = Symbol("refused");

/** Characters seen by the copy in progress, for free. JSON writes each in at most six bytes (`\u0000`). */
let characters = 0;

/**
 * A copy of `value` that JSON carries whole, or `undefined` for `undefined`.
 *
 * @param what - How errors name it, e.g. `"input of activity"`.
 * @param name - Added to `what`.
 * @throws PayloadError with the path of the first member that JSON cannot carry.
 * @throws PayloadTooLargeError when it has more than `limit` bytes.
 */
export function toPayload(
  value: unknown,
  what: string,
  name = "",
  limit: number = defaultPayloadLimit,
): Payload | undefined {
  if (value === undefined) return undefined;
  characters = 0;
  const copy = copyOf(value, 0);
  if (copy === refused) {
    const { found, path } = findOffender(value, "$", []);
    throw new PayloadError(`Expected the ${what} ${name} to be JSON, got ${found} at ${path}`);
  }
  if (characters * 6 > limit) assertSize(copy, limit, `the ${what} ${name}`);
  return copy;
}

function assertSize(payload: Payload, limit: number, what: string): void {
  const bytes = inlineBytes(payload, (text) => refuseAbove(limit, Buffer.byteLength(text), `each text in ${what}`));
  refuseAbove(limit, bytes, what);
}

function refuseAbove(limit: number, bytes: number, what: string): void {
  if (bytes > limit) {
    throw new PayloadTooLargeError(
      `Expected ${what} to have at most ${limit} bytes, got ${bytes}: store it elsewhere and pass a reference, or raise payloadLimit`,
    );
  }
}

/** Bytes of JSON without the long texts, which `onLongText` sees instead. */
function inlineBytes(payload: Payload, onLongText: (text: string) => void): number {
  if (typeof payload === "string" && payload.length > longText) {
    onLongText(payload);
    return 64;
  }
  if (typeof payload !== "object" || payload === null) return Buffer.byteLength(JSON.stringify(payload));
  if (Array.isArray(payload)) return payload.reduce<number>((sum, item) => sum + 1 + inlineBytes(item, onLongText), 2);
  return Object.entries(payload).reduce(
    (sum, [key, member]) => sum + Buffer.byteLength(JSON.stringify(key)) + 2 + inlineBytes(member, onLongText),
    2,
  );
}

function copyOf(value: unknown, depth: number): Payload | typeof refused {
  switch (typeof value) {
    case "string":
      characters += value.length + 2;
      return value;
    case "boolean":
      characters++;
      return value;
    case "number":
      characters += 4;
      return Number.isFinite(value) ? value + 0 : refused; // -0 has no JSON of its own
    case "object":
      characters++;
      if (value === null) return null;
      if (depth >= deepest) return refused;
      return Array.isArray(value) ? copyOfArray(value, depth) : copyOfObject(value, depth);
    default:
      return refused;
  }
}

function copyOfArray(array: readonly unknown[], depth: number): Payload | typeof refused {
  const copy: Payload[] = [];
  for (let i = 0; i < array.length; i++) {
    const item = copyOf(array[i], depth + 1);
    if (item === refused) return refused;
    copy.push(item);
  }
  return copy;
}

function copyOfObject(object: object, depth: number): Payload | typeof refused {
  const prototype: unknown = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) return refused;
  const copy: { [key: string]: Payload } = {};
  for (const key of Object.keys(object)) {
    const member = (object as { [key: string]: unknown })[key];
    if (member === undefined) continue;
    characters += key.length + 4;
    const item = copyOf(member, depth + 1);
    if (item === refused) return refused;
    setMember(copy, key, item);
  }
  return Object.getOwnPropertySymbols(object).length === 0 ? copy : refused;
}

/** A plain object of another realm (a `vm` context, a test runner) is as good as one of ours. */
function isForeignPlain(prototype: unknown): boolean {
  return (
    typeof prototype === "object" &&
    prototype !== null &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, "isPrototypeOf")
  );
}

function findOffender(value: unknown, path: string, ancestors: readonly object[]): { path: string; found: string } {
  if (typeof value !== "object" || value === null) return { path, found: nameOf(value) };
  if (ancestors.includes(value)) return { path, found: "a cycle" };
  if (ancestors.length >= deepest) return { path: "$", found: `nesting deeper than ${deepest}` };
  const within = [...ancestors, value];
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (!(i in value)) return { path: `${path}[${i}]`, found: "a hole" };
      if (!isCarried(value[i], within)) return findOffender(value[i], `${path}[${i}]`, within);
    }
  } else {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null && !isForeignPlain(prototype)) {
      return { path, found: `an instance of ${(value as object).constructor?.name ?? "an unknown class"}` };
    }
    if (Object.getOwnPropertySymbols(value).length > 0) return { path, found: "an object with a symbol as key" };
    for (const [key, member] of Object.entries(value)) {
      const at = /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
      if (member !== undefined && !isCarried(member, within)) return findOffender(member, at, within);
    }
  }
  return { path, found: "something JSON cannot carry" };
}

function isCarried(value: unknown, ancestors: readonly object[]): boolean {
  if (typeof value === "object" && value !== null && ancestors.includes(value)) return false;
  return copyOf(value, ancestors.length) !== refused;
}

function nameOf(value: unknown): string {
  switch (typeof value) {
    case "function":
      return value.name === "" ? "a function" : `the function ${value.name}`;
    case "bigint":
      return `the BigInt ${value}n (write it as a string)`;
    case "symbol":
      return String(value);
    case "undefined":
      return "undefined";
    default:
      return String(value);
  }
}
