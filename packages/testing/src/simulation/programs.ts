/**
 * The generator of programs, for property tests: random, printable and shrinkable.
 */
import fc from "fast-check";
import type { Operation, Program, Step } from "./program.ts";

/** Which programs to make. */
export interface ProgramOptions {
  /**
   * Whether what a program comes to may depend on the order in which things happen: races, timeouts, cancellations,
   * time and chance. @default true
   */
  readonly races?: boolean;
}

/**
 * Programs that use every durable operation, as a fast-check arbitrary.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * const [program] = fc.sample(programs({ races: false }), 1);
 * ```
 */
export function programs({ races = true }: ProgramOptions = {}): fc.Arbitrary<Program> {
  return fc.letrec<Made>((tie: Tie) => ({
    program: fc.record({ rounds: fc.array(tie("steps"), { minLength: 1, maxLength: 3, size: "small" }) }),
    steps: fc.array(tie("step"), { maxLength: 5, depthIdentifier: "program" }),
    step: step(tie, races),
    operation: operation(tie, races),
    durable: durable(races),
  })).program;
}

interface Made {
  readonly program: Program;
  readonly steps: readonly Step[];
  readonly step: Step;
  readonly operation: Operation;
  /** Can be cancelled, so `ctx.race` takes it. */
  readonly durable: Operation;
}

type Tie = fc.LetrecTypedTie<Made>;

const depth = { maxDepth: 4, depthIdentifier: "program", withCrossShrink: true } as const;
const value = fc.nat({ max: 10 });
const event = fc.constantFrom("apple", "pear");
const at = fc.nat({ max: 3 });

function step(tie: Tie, races: boolean): fc.Arbitrary<Step> {
  const plain = fc.constantFrom("status", "state", "forget", "emit", "log", "patched");
  const note = races ? fc.oneof(plain, fc.constantFrom("uuid", "random", "now")) : plain;
  const always = [
    often(8, fc.record({ do: fc.constant("await"), op: tie("operation") })), // first, as the deepest do only this
    often(2, fc.record({ do: fc.constant("note"), note, value })),
    often(3, fc.record({ do: fc.constant("fork"), op: tie("operation") })),
    often(2, fc.record({ do: fc.constant("join"), at })),
    often(
      2,
      fc.record({
        do: fc.constant("try"),
        steps: tie("steps"),
        caught: tie("steps"),
        finally: fc.oneof(fc.constant([]), tie("steps")),
      }),
    ),
    often(1, fc.record({ do: fc.constant("repeat"), times: fc.integer({ min: 1, max: 3 }), steps: tie("steps") })),
    often(1, fc.record({ do: fc.constant("throw") })),
    often(1, fc.record({ do: fc.constant("send"), to: fc.constantFrom("self", "parent", "child", "nobody"), event })),
    often(1, fc.record({ do: fc.constant("dispatch"), program: tie("program") })),
  ] as const;
  if (!races) return fc.oneof(depth, ...always);
  return fc.oneof(
    depth,
    ...always,
    often(2, fc.record({ do: fc.constant("cancel"), at })),
    often(1, fc.record({ do: fc.constant("next") })),
    often(1, fc.record({ do: fc.constant("receive"), event })),
    often(1, fc.record({ do: fc.constant("dispatch"), program: tie("program"), id: fc.constant("shared") })),
  );
}

function operation(tie: Tie, races: boolean): fc.Arbitrary<Operation> {
  const of = fc.array(tie("operation"), { minLength: 1, maxLength: 4, depthIdentifier: "program" });
  const entrants = fc.array(tie("durable"), { minLength: 1, maxLength: 4 });
  const always = [
    often(20, tie("durable")),
    often(3, fc.record({ op: fc.constantFrom("all", "allSettled"), of })),
    often(3, fc.record({ op: fc.constant("block"), steps: tie("steps") })),
    often(3, fc.record({ op: fc.constant("child"), program: tie("program") })),
    often(1, fc.record({ op: fc.constant("child"), program: tie("program"), abandon: fc.constant(true) })),
  ] as const;
  if (!races) return fc.oneof(depth, ...always);
  return fc.oneof(
    depth,
    ...always,
    often(3, fc.record({ op: fc.constantFrom("any", "race"), of })),
    often(3, fc.record({ op: fc.constant("first"), of: entrants })),
    often(1, fc.record({ op: fc.constant("child"), program: tie("program"), id: fc.constant("shared") })),
  );
}

function durable(races: boolean): fc.Arbitrary<Operation> {
  const call = {
    op: fc.constant("activity"),
    name: fc.constantFrom("echo", "echo", "echo", "flaky", "beats", "once", "fails"),
    value,
  };
  const routed = { ...call, session: fc.constantFrom("a", "b"), tag: fc.constantFrom("left", "right") };
  const limited = { ...routed, totalTimeoutMs: fc.constantFrom(500, 20_000) };
  const ask = fc.constantFrom("ifTrue", "classify", "generate", "generateStructured", "summarize", "unanswered");
  const always = [
    often(2, fc.record(call)),
    often(1, fc.record(routed, { requiredKeys: ["op", "name", "value"] })),
    often(2, fc.record({ op: fc.constant("timer"), ms: fc.constantFrom(0, 1, 500, 1_000, 5_000, 20_000) })),
    often(2, fc.record({ op: fc.constant("event"), name: event })),
    often(2, fc.record({ op: fc.constant("ask"), ask, value, refusals: fc.nat({ max: 3 }) })),
  ] as const;
  if (!races) return fc.oneof(...always);
  const timeoutMs = fc.constantFrom(0, 500, 1_000, 20_000);
  return fc.oneof(
    ...always,
    often(1, fc.record({ op: fc.constant("event"), name: event, timeoutMs })),
    often(1, fc.record(limited, { requiredKeys: ["op", "name", "value"] })),
  );
}

function often<Value>(weight: number, arbitrary: fc.Arbitrary<Value>): fc.WeightedArbitrary<Value> {
  return { arbitrary, weight };
}
