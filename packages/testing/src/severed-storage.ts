/**
 * A store behind a wire that can be cut. After the cut nothing gets through in either direction, as for a process that
 * was killed: calls under way never answer, and no later call reaches the store.
 */
import type { StorageProvider } from "@stet/core";

/** A store and the knife for its wire. After `sever()` the runtime that uses it is as good as killed. */
export interface SeverableStorage {
  readonly storage: StorageProvider;
  sever(): void;
}

/** Puts a wire in front of a store. */
export function severable(store: StorageProvider): SeverableStorage {
  let severed = false;
  const never = new Promise<never>(() => undefined);
  const wire = <Verb extends object>(verbs: Verb): Verb =>
    new Proxy(verbs, {
      get(target, name) {
        const verb: unknown = Reflect.get(target, name);
        if (name === "admin") return wire(verb as object);
        if (name === "onChange") return (listener: (change: unknown) => void) => onChange(listener);
        if (typeof verb !== "function") return verb;
        return (...given: unknown[]): unknown => {
          if (severed) return never;
          const answer: unknown = Reflect.apply(verb, target, given);
          return answer instanceof Promise ? answer.then((value: unknown) => (severed ? never : value)) : answer;
        };
      },
    });
  const onChange = (listener: (change: never) => void) =>
    store.onChange((change) => {
      if (!severed) listener(change as never);
    });
  return {
    storage: wire(store),
    sever: () => {
      severed = true;
    },
  };
}
