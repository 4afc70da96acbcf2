/**
 * What connects a worker to the world, and the knife for it: a store behind a wire that can be cut, and a clock that
 * stops. After the cut nothing gets through in either direction, as for a process that was killed: calls under way never
 * answer, no later call reaches the store, and no timer fires any more.
 */
import type { Clock, StorageProvider } from "@stet/core";

/** A store and the knife for its wire. After `sever()` the runtime that uses it is as good as killed. */
export interface SeverableStorage {
  readonly storage: StorageProvider;
  /** Resolves after the cut. */
  readonly severed: Promise<void>;
  sever(): void;
}

/** Puts a wire in front of a store. */
export function severable(store: StorageProvider): SeverableStorage {
  let isSevered = false;
  let sever = (): void => undefined;
  const severed = new Promise<void>((resolve) => {
    sever = () => {
      isSevered = true;
      resolve();
    };
  });
  const never = new Promise<never>(() => undefined);
  const wire = <Verb extends object>(verbs: Verb): Verb =>
    new Proxy(verbs, {
      get(target, name) {
        const verb: unknown = Reflect.get(target, name);
        if (name === "admin") return wire(verb as object);
        if (name === "onChange") return (listener: (change: unknown) => void) => onChange(listener);
        if (typeof verb !== "function") return verb;
        return (...given: unknown[]): unknown => {
          if (isSevered) return never;
          const answer: unknown = Reflect.apply(verb, target, given);
          return answer instanceof Promise ? answer.then((value: unknown) => (isSevered ? never : value)) : answer;
        };
      },
    });
  const onChange = (listener: (change: never) => void) =>
    store.onChange((change) => {
      if (!isSevered) listener(change as never);
    });
  return { storage: wire(store), severed, sever };
}

/** A clock of one process, and what stops it for that process. */
export interface SeverableClock {
  readonly clock: Clock;
  sever(): void;
}

/** Lets a clock be stopped for one of those who use it: its timers go, and it gets no new ones. */
export function severableClock(clock: Clock): SeverableClock {
  let isSevered = false;
  const cancels = new Set<() => void>();
  return {
    clock: {
      now: () => clock.now(),
      setTimer(at, fire, housekeeping) {
        if (isSevered) return () => undefined;
        const cancel = clock.setTimer(
          at,
          () => {
            cancels.delete(cancel);
            fire();
          },
          housekeeping,
        );
        cancels.add(cancel);
        return () => {
          cancels.delete(cancel);
          cancel();
        };
      },
    },
    sever() {
      isSevered = true;
      for (const cancel of cancels) cancel();
      cancels.clear();
    },
  };
}
