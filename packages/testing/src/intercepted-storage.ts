/**
 * A store whose calls go through somebody's hands before and after they reach it.
 */
import type { StorageProvider } from "@stet/core";

/** A verb of a store that answers a promise. */
export type StorageVerb = Exclude<keyof StorageProvider, "name" | "open" | "close" | "onChange" | "admin">;

/** What is made of a call: `invoke` reaches the store, as often as it is called. */
export type Through = (verb: StorageVerb, invoke: () => Promise<unknown>) => Promise<unknown>;

/** What a worker that runs asks of a store, besides keeping its registration. */
export const workerVerbs: readonly StorageVerb[] = [
  "claimTurns",
  "readHistory",
  "readPayloads",
  "readWork",
  "commitTurns",
  "releaseInstances",
  "saveWork",
  "claimWork",
  "completeWork",
  "retryWork",
  "abandonWork",
  "saveHeartbeats",
  "startInstances",
  "sendMessages",
  "nextWakeAt",
];

/** Sends the calls of some verbs through `through`. */
export function intercepted(store: StorageProvider, verbs: readonly StorageVerb[], through: Through): StorageProvider {
  const concerned: ReadonlySet<PropertyKey> = new Set(verbs);
  return new Proxy(store, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name);
      if (typeof verb !== "function" || !concerned.has(name)) return verb;
      return (...given: unknown[]) =>
        through(name as StorageVerb, () => Reflect.apply(verb, target, given) as Promise<unknown>);
    },
  });
}
