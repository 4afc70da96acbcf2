/**
 * Payloads: what JSON can carry, and nothing else. `null`, `0`, `""` and `false` are ordinary values.
 *
 * Two payloads are the same when their canonical text (RFC 8785) is: the order of members does not count.
 */
import { createHash } from "node:crypto";
import { canonicalize } from "json-canonicalize";

/** Any JSON value. */
export type Payload = null | boolean | number | string | readonly Payload[] | { readonly [key: string]: Payload };

/** RFC 8785 text of a payload. */
export function canonicalJson(payload: Payload): string {
  return canonicalize(payload);
}

/** SHA-256 of the canonical text, as 43 characters of base64url. */
export function canonicalHash(payload: Payload): string {
  return createHash("sha256").update(canonicalJson(payload)).digest("base64url");
}

/** A copy of JSON data that shares nothing with the original. */
export function copyOfJson<Data>(data: Data): Data {
  if (typeof data !== "object" || data === null) return data;
  if (Array.isArray(data)) return data.map(copyOfJson) as Data;
  const copy = {};
  for (const key of Object.keys(data)) setMember(copy, key, copyOfJson((data as { [key: string]: unknown })[key]));
  return copy as Data;
}

/** Sets a member of JSON data. `__proto__` is a key like any other. */
export function setMember(object: object, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else (object as { [key: string]: unknown })[key] = value;
}

/** Whether two payloads have the same canonical text, without writing it. */
export function samePayload(a: Payload | undefined, b: Payload | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((item, i) => samePayload(item, b[i]))
    );
  }
  const left = a as { readonly [key: string]: Payload };
  const right = b as { readonly [key: string]: Payload };
  const keys = Object.keys(left);
  return (
    keys.length === Object.keys(right).length &&
    keys.every((key) => Object.hasOwn(right, key) && samePayload(left[key], right[key]))
  );
}
