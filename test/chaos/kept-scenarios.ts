/** Scenarios that once failed, made small by the simulation, each with what it showed. */
import type { Scenario } from "@stet/testing";

export const keptScenarios: readonly Scenario[] = [
  // What failed while its worker was shut down was not tried again.
  {
    program: { rounds: [[{ do: "await", op: { op: "activity", name: "beats", value: 1 } }]] },
    races: false,
    schedule: {
      seed: 0,
      moves: [
        { move: "answer", pick: 0, hops: 6 },
        { move: "answer", pick: 0, hops: 6 },
        { move: "answer", pick: 0, hops: 0 },
        { move: "restart", worker: 1, hops: 0 },
      ],
    },
  },
  // A call whose session was held by a worker without its tag waited for ever.
  {
    program: {
      rounds: [
        [{ do: "await", op: { op: "activity", name: "echo", value: 0, session: "b", tag: "right" } }],
        [{ do: "await", op: { op: "activity", name: "echo", value: 0, session: "b", tag: "left" } }],
      ],
    },
    races: false,
    schedule: { seed: 0, moves: [] },
  },
  // An instance that was deleted and started again got lost in the cache of the one before.
  {
    program: { rounds: [[], [{ do: "await", op: { op: "activity", name: "echo", value: 0 } }]] },
    races: true,
    schedule: {
      seed: 47344,
      moves: [
        { move: "terminate", target: 0, hops: 0 },
        { move: "answer", pick: 0, hops: 6 },
        { move: "recreate", hops: 0 },
        { move: "recreate", hops: 6 },
        { move: "trouble", worker: 1, calls: 1, hops: 2 },
      ],
    },
  },
];
