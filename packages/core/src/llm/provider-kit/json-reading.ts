/**
 * Reading what a server sent, member by member. Servers that speak this protocol differ and some are broken, so nothing
 * is believed: what is not of the expected type is `undefined`.
 */

/** A member of an object. */
export function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** A string member. */
export function textOf(value: unknown, name: string): string | undefined {
  const found = member(value, name);
  return typeof found === "string" ? found : undefined;
}

/** A member that counts something: a whole number from 0. */
export function countOf(value: unknown, name: string): number | undefined {
  const found = member(value, name);
  return typeof found === "number" && Number.isSafeInteger(found) && found >= 0 ? found : undefined;
}

/** The items of an array, none when it is something else. */
export function itemsOf(value: unknown, name: string): readonly unknown[] {
  const found = member(value, name);
  return Array.isArray(found) ? found : [];
}
