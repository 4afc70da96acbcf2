/**
 * The determinism guard: inside orchestration code time, chance and identity answer the deterministic values of `ctx`,
 * and what would wake the code from outside throws and names the durable replacement. Everywhere else the globals are
 * what they were.
 *
 * Orchestration code is told by `AsyncLocalStorage`, so helpers and libraries it calls are covered too; activities run
 * outside. The wrappers are installed once while any runtime wants them and taken back with the last.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { randomOf, uuidOf } from "./deterministic-values.ts";
import { DeterminismError, toFailure } from "./errors.ts";
import type { Execution } from "./execution.ts";

const scope = new AsyncLocalStorage<Execution>();

/** Runs orchestration code where the guard knows it. */
export function enterGuarded(execution: Execution, run: () => unknown): unknown {
  return scope.run(execution, run);
}

/** Runs what orchestration code calls but is not part of it, such as a logger, with the globals as they are. */
export function leaveGuarded<Result>(run: () => Result): Result {
  return scope.exit(run);
}

let installed: { users: number; readonly restore: () => void } | undefined;

/** Installs the guard, or joins those who use it. Answers what gives it back. */
export function installDeterminismGuard(): () => void {
  installed ??= { users: 0, restore: install() };
  installed.users++;
  let given = false;
  return () => {
    if (given || installed === undefined) return;
    given = true;
    if (--installed.users > 0) return;
    installed.restore();
    installed = undefined;
  };
}

function install(): () => void {
  const require = createRequire(import.meta.url);
  const undo: (() => void)[] = [];
  const wrap = (owner: object, member: string, make: (original: never) => unknown) => {
    const before = Object.getOwnPropertyDescriptor(owner, member);
    const original = (owner as { [member: string]: unknown })[member];
    if (typeof original !== "function") return;
    Object.defineProperty(owner, member, {
      configurable: true,
      writable: true,
      enumerable: before?.enumerable ?? true,
      value: make(original as never),
    });
    undo.push(() => {
      if (before === undefined) Reflect.deleteProperty(owner, member);
      else Object.defineProperty(owner, member, before);
    });
  };

  wrap(globalThis, "Date", guardedDate);
  wrap(Date.prototype, "constructor", () => globalThis.Date); // libraries tell dates by `value.constructor === Date`
  wrap(Math, "random", (original: () => number) => () => {
    const execution = scope.getStore();
    return execution === undefined ? original() : randomOf(execution);
  });
  for (const crypto of [globalThis.crypto, require("node:crypto") as object]) {
    wrap(crypto, "randomUUID", (original: (...given: unknown[]) => string) => {
      return function (this: unknown, ...given: unknown[]): string {
        const execution = scope.getStore();
        return execution === undefined ? original.apply(this, given) : uuidOf(execution);
      };
    });
  }
  const refuse = (owner: object, member: string, replacement: string) => {
    wrap(owner, member, (original: (...given: unknown[]) => unknown) => {
      const guarded = function (this: unknown, ...given: unknown[]): unknown {
        const execution = scope.getStore();
        if (execution === undefined) return original.apply(this, given);
        throw refusal(execution, member, replacement);
      };
      return Object.defineProperties(guarded, Object.getOwnPropertyDescriptors(original));
    });
  };
  for (const owner of [globalThis, require("node:timers") as object, require("node:timers/promises") as object]) {
    refuse(owner, "setTimeout", "ctx.timer(duration)");
    refuse(owner, "setInterval", "a loop with ctx.timer(duration)");
    refuse(owner, "setImmediate", "ctx.timer(0), or nothing: durable promises need no yielding");
  }
  refuse(globalThis, "fetch", "an activity that fetches");
  syncBuiltinESMExports();

  process.on("unhandledRejection", keepForgottenRejections);
  return () => {
    process.off("unhandledRejection", keepForgottenRejections);
    for (const step of undo.reverse()) step();
    syncBuiltinESMExports();
  };
}

/**
 * A promise that orchestration code made and forgot must not end the process: the same code may fail on every replay.
 * All other rejections meet the fate they would have without this listener.
 */
function keepForgottenRejections(reason: unknown): void {
  const execution = scope.getStore();
  if (execution !== undefined) {
    const { instanceId, name: orchestration } = execution;
    const error = toFailure(reason) as { name: string; message: string; code: string; retryable: boolean };
    leaveGuarded(() =>
      execution.logger.warn("A rejected promise was never observed by the orchestration that made it", {
        instanceId,
        orchestration,
        error: `${error.name}: ${error.message}`,
      }),
    );
  } else if (process.listenerCount("unhandledRejection") === 1) throw reason;
}

function guardedDate(original: DateConstructor): DateConstructor {
  const now = () => scope.getStore()?.now ?? original.now();
  const guarded = function (this: unknown, ...given: unknown[]): unknown {
    const execution = scope.getStore();
    const when = given.length === 0 && execution !== undefined ? [execution.now] : given;
    if (new.target === undefined) return Reflect.construct(original, when, original).toString();
    return Reflect.construct(original, when, new.target === guarded ? original : new.target);
  };
  Object.setPrototypeOf(guarded, original); // parse and UTC
  Object.defineProperties(guarded, {
    name: { value: "Date" },
    length: { value: 7 },
    prototype: { value: original.prototype },
    now: { value: now, configurable: true, writable: true },
  });
  return guarded as unknown as DateConstructor;
}

function refusal({ name, instanceId }: Execution, member: string, replacement: string): DeterminismError {
  return new DeterminismError(
    `Expected orchestration ${name} (instance ${instanceId}) to be deterministic, got a call of ${member}: use ${replacement}`,
  );
}
