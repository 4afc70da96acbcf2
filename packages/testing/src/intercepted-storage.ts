/**
 * Verbs whose calls go through somebody's hands before and after they reach the store.
 */
import type { StorageProvider } from "@stet/core";

/** A verb of a store that answers a promise. */
export type StorageVerb = Exclude<keyof StorageProvider, "name" | "open" | "close" | "onChange" | "admin">;

/** What is made of a call: `invoke` reaches the store, as often as it is called. */
export type Through = (verb: string, invoke: () => Promise<unknown>) => Promise<unknown>;

/** Sends the calls of the concerned verbs through `through`. */
export function intercepted<Verbs extends object>(
  verbs: Verbs,
  concerns: (verb: PropertyKey) => boolean,
  through: Through,
): Verbs {
  return new Proxy(verbs, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || !concerns(name)) return verb;
      return (...given: unknown[]) =>
        through(String(name), () => Reflect.apply(verb, target, given) as Promise<unknown>);
    },
  });
}
