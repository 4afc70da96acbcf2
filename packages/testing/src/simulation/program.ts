/**
 * Orchestration programs as plain JSON: what a simulation makes up, prints, shrinks and keeps. They are run by one
 * orchestration (`interpreter.ts`) and made by one generator (`programs.ts`).
 *
 * A program is a list of rounds; each round is an execution and ends by continuing as new with the next one.
 */

/** A program as plain JSON: rounds of steps, each round an execution that continues as new with the next. */
export interface Program {
  readonly rounds: readonly (readonly Step[])[];
}

/** What a program does next. */
export type Step =
  /** Waits for an operation; its failure is thrown. */
  | { readonly do: "await"; readonly op: Operation }
  /** Begins an operation and goes on. */
  | { readonly do: "fork"; readonly op: Operation }
  /** Waits for a forked operation, or gives it up. `at` counts the forks of the block, modulo their number. */
  | { readonly do: "join" | "cancel"; readonly at: number }
  | {
      readonly do: "try";
      readonly steps: readonly Step[];
      readonly caught: readonly Step[];
      readonly finally: readonly Step[];
    }
  | { readonly do: "repeat"; readonly times: number; readonly steps: readonly Step[] }
  | { readonly do: "throw" }
  /** Continues as new at once, if there is another round. */
  | { readonly do: "next" }
  | { readonly do: "send"; readonly to: Receiver; readonly event: string }
  | { readonly do: "dispatch"; readonly program: Program; readonly id?: string }
  | { readonly do: "receive"; readonly event: string }
  | { readonly do: "note"; readonly note: Note; readonly value: number };

/** Whom an instance sends an event to. */
export type Receiver = "self" | "parent" | "child" | "nobody";

/** What is recorded or computed without waiting. */
export type Note = "status" | "state" | "forget" | "emit" | "log" | "patched" | "uuid" | "random" | "now";

/** What can be waited for. */
export type Operation =
  | {
      readonly op: "activity";
      readonly name: ActivityKind;
      readonly value: number;
      readonly session?: string;
      readonly tag?: string;
      readonly totalTimeoutMs?: number;
    }
  | { readonly op: "timer"; readonly ms: number }
  | { readonly op: "event"; readonly name: string; readonly timeoutMs?: number }
  | { readonly op: "child"; readonly program: Program; readonly abandon?: true; readonly id?: string }
  /** A model call whose first `refusals` answers cannot be read. */
  | { readonly op: "ask"; readonly ask: Question; readonly value: number; readonly refusals: number }
  | { readonly op: "all" | "allSettled" | "any" | "race"; readonly of: readonly Operation[] }
  /** `ctx.race`, which gives up the losers. */
  | { readonly op: "first"; readonly of: readonly Operation[] }
  /** A block that runs beside others. */
  | { readonly op: "block"; readonly steps: readonly Step[] };

/**
 * `echo` answers, `flaky` fails at first and is tried again, `beats` is flaky and sends heartbeats, `fails` always fails,
 * `once` is irreversible.
 */
export type ActivityKind = "echo" | "flaky" | "beats" | "fails" | "once";

/** An operation of the model. `"unanswered"` is a call that the model refuses for good. */
export type Question = "ifTrue" | "classify" | "generate" | "generateStructured" | "summarize" | "unanswered";
