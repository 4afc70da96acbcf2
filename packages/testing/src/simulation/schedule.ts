/**
 * Schedules: what happens to instances and workers while a program runs, in which order, as plain JSON. When the moves
 * are used up everything is repaired, and what is left runs to its end.
 */
import fc from "fast-check";

/** What befalls a simulated run, in the order in which it is used up: crashes, evictions, pauses, messages. */
export interface Schedule {
  /** Decides how long calls of the store take, and which of several things happens first once the moves are used up. */
  readonly seed: number;
  readonly moves: readonly Move[];
}

/** One thing that happens, and how many macrotasks pass until the next one. */
export type Move = (WorkerMove | OutsideMove) & { readonly hops: number };

/** What happens to workers and to the world around them. `worker` is 0 or 1. */
export type WorkerMove =
  /** One of the activities and model calls under way answers. */
  | { readonly move: "answer"; readonly pick: number }
  /** Time passes until the next timer that somebody waits for. */
  | { readonly move: "time" }
  /** Time passes until the next heartbeat. */
  | { readonly move: "beat" }
  /** The worker is killed at a call of the store. Its silence must be noticed, or it is declared dead at once. */
  | {
      readonly move: "crash";
      readonly worker: number;
      readonly afterCalls: number;
      readonly answered: boolean;
      readonly silent: boolean;
    }
  /** A worker that was killed is started again. One that lives is shut down first. */
  | { readonly move: "restart"; readonly worker: number }
  /** The worker forgets its live executions. */
  | { readonly move: "evict"; readonly worker: number }
  /** The worker is declared dead while it lives. */
  | { readonly move: "bury"; readonly worker: number }
  /** Calls of the store fail, before or after they were carried out. */
  | { readonly move: "trouble"; readonly worker: number; readonly calls: number };

/** What clients do to instances. `target` counts the instances of the store, modulo their number. */
export type OutsideMove =
  | { readonly move: "event"; readonly target: number; readonly name: string; readonly key?: string }
  | { readonly move: "cancel" | "terminate" | "retry"; readonly target: number }
  /**
   * A fork of the instance begins at a delivery of its current execution, modulo their number. `exchanged`: what is
   * delivered there is another result, where one can be exchanged.
   */
  | { readonly move: "fork"; readonly target: number; readonly delivery: number; readonly exchanged: boolean }
  /** Deletes the instance and starts another one with its id. */
  | { readonly move: "recreate" }
  /** Exports the instance, deletes it, and imports it again. */
  | { readonly move: "carry" };

/** More losses of a worker than this between two commits would block an instance. */
const mostLosses = 4;

const losses: ReadonlySet<Move["move"]> = new Set(["crash", "bury", "restart", "carry"]);

/** Schedules of such moves. */
export function schedules<Of extends Move>(move: fc.Arbitrary<Of>): fc.Arbitrary<Schedule & { moves: readonly Of[] }> {
  return fc
    .record({ seed: fc.noShrink(fc.nat({ max: 0xffff })), moves: fc.array(move, { maxLength: 40, size: "max" }) })
    .map(({ seed, moves }) => ({ seed, moves: withoutTooManyLosses(moves) }));
}

/** What happens to workers only. */
export function workerMoves(): fc.Arbitrary<WorkerMove & Move> {
  const worker = fc.nat({ max: 1 });
  const hops = fc.oneof(fc.nat({ max: 3 }), fc.constantFrom(6, 12, 25));
  const answer = fc.record({ move: fc.constant("answer"), pick: fc.nat({ max: 7 }), hops });
  const time = fc.record({ move: fc.constant("time"), hops });
  return fc.oneof(
    { weight: 8, arbitrary: answer },
    { weight: 4, arbitrary: time },
    { weight: 1, arbitrary: fc.record({ move: fc.constant("beat"), hops }) },
    {
      weight: 2,
      arbitrary: fc.record({
        move: fc.constant("crash"),
        worker,
        afterCalls: fc.nat({ max: 6 }),
        answered: fc.boolean(),
        silent: fc.boolean(),
        hops,
      }),
    },
    { weight: 3, arbitrary: fc.record({ move: fc.constant("restart"), worker, hops }) },
    { weight: 2, arbitrary: fc.record({ move: fc.constant("evict"), worker, hops }) },
    { weight: 1, arbitrary: fc.record({ move: fc.constant("bury"), worker, hops }) },
    { weight: 1, arbitrary: fc.record({ move: fc.constant("trouble"), worker, calls: fc.nat({ max: 4 }), hops }) },
  );
}

/** What clients may do without making a difference to what an instance comes to, besides what happens to workers. */
export function harmlessMoves(): fc.Arbitrary<Move> {
  const carry = fc.record({ move: fc.constant("carry"), hops: fc.nat({ max: 6 }) });
  return fc.oneof({ weight: 19, arbitrary: workerMoves() }, { weight: 1, arbitrary: carry });
}

/** Whatever can happen. */
export function allMoves(): fc.Arbitrary<Move> {
  return fc.oneof(workerMoves(), outsideMoves());
}

function outsideMoves(): fc.Arbitrary<Move> {
  const target = fc.nat({ max: 7 });
  const hops = fc.nat({ max: 6 });
  const event = { move: fc.constant("event"), target, name: fc.constantFrom("apple", "pear"), hops };
  return fc.oneof(
    { weight: 4, arbitrary: fc.record(event) },
    { weight: 2, arbitrary: fc.record({ ...event, key: fc.constantFrom("k1", "k2") }) },
    { weight: 2, arbitrary: fc.record({ move: fc.constant("cancel"), target, hops }) },
    { weight: 1, arbitrary: fc.record({ move: fc.constant("terminate"), target, hops }) },
    { weight: 1, arbitrary: fc.record({ move: fc.constant("retry"), target, hops }) },
    {
      weight: 1,
      arbitrary: fc.record({
        move: fc.constant("fork"),
        target,
        delivery: fc.nat({ max: 7 }),
        exchanged: fc.boolean(),
        hops,
      }),
    },
    { weight: 1, arbitrary: fc.record({ move: fc.constantFrom("recreate", "carry"), hops }) },
  );
}

function withoutTooManyLosses<Of extends Move>(moves: readonly Of[]): Of[] {
  let count = 0;
  return moves.filter(({ move }) => !losses.has(move) || ++count <= mostLosses);
}
