/**
 * A worker on {@link mixedWork}, in a process of its own, until it is killed or its parent is gone. It says on standard
 * output, one JSON line each, what a test cannot see from outside.
 */
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";
import { Runtime, type ActivityContext, type Clock, type OwnershipDiagnostic, type TurnDiagnostic } from "@stet/core";
import { after, mock } from "@stet/mock";
import { allEnded } from "./crowd.ts";
import { insist } from "./insist.ts";
import { mixedWork } from "./mixed-work.ts";
import { startsLine } from "./starts.ts";
import { storeAt } from "./stores.ts";
import { stormWork } from "./storm-work.ts";
import { until } from "./until.ts";

/** What it is told when it is started. */
export interface Assignment {
  /** The address of the store. */
  readonly store: string;
  readonly starts: string;
  readonly name: string;
  /** What it runs. @default "mixed" */
  readonly work?: "mixed" | "storm";
  readonly tags?: readonly string[];
  readonly pauseMs?: number;
  /** Milliseconds by which its clock is off. It can be told another number later. */
  readonly shiftMs?: number;
  /** How much later than it could its housekeeping goes on when the process was stopped for a while. */
  readonly lagMs?: number;
  /** Says when all instances have ended, where nobody else can see the store. */
  readonly saysEnd?: boolean;
}

/** What it can be told later. */
export interface Order {
  readonly shiftMs: number;
}

/** What it says. */
export type Report =
  | { readonly said: "at work" }
  | { readonly said: "refused"; readonly instanceId: string }
  | { readonly said: "ownership"; readonly change: OwnershipDiagnostic["change"]; readonly worker: string }
  | { readonly said: "all ended" };

const assignment = process.argv[2];
if (assignment !== undefined) await work(JSON.parse(assignment) as Assignment);

async function work({
  store,
  starts,
  name,
  work: kind = "mixed",
  tags = [],
  pauseMs = 10,
  shiftMs = 0,
  lagMs = 0,
  saysEnd = false,
}: Assignment): Promise<void> {
  const clock = shiftedClock(shiftMs, lagMs);
  process.on("message", (order: Order) => (clock.shiftMs = order.shiftMs));
  process.on("disconnect", () => process.exit());
  subscribe("stet:turn", (message) => {
    const { instanceId, outcome } = message as TurnDiagnostic;
    if (outcome === "notOwner") say({ said: "refused", instanceId });
  });
  subscribe("stet:ownership", (message) => {
    const { change, worker } = message as OwnershipDiagnostic;
    say({ said: "ownership", change, worker });
  });

  const witness = (ctx: ActivityContext) => appendFileSync(starts, startsLine(ctx));
  const { orchestrations, activities } = kind === "storm" ? stormWork(witness) : mixedWork(witness, pauseMs);
  const llm = mock().otherwise(({ messages }) => {
    const asked = /^Say (\d+)/.exec(String(messages.at(-1)?.content));
    return after(pauseMs * (0.5 + Math.random()), asked?.[1] ?? "nothing");
  });
  const concurrency = { activities: 24, models: 4 };
  const options = { llm, orchestrations, activities, workerName: name, concurrency, clock, tags };
  const runtime = await insist(() => Runtime.start({ ...options, storage: storeAt(store) }));
  say({ said: "at work" });
  if (!saysEnd) return;
  const isOver = () => allEnded(runtime.client).catch(() => false); // the store may be in trouble
  await until("all instances to end", isOver, { everyMs: 100, withinMs: Infinity });
  say({ said: "all ended" });
}

function say(report: Report): void {
  process.stdout.write(`${JSON.stringify(report)}\n`);
}

/** The system's clock as far as time passes, and off by as much as it is told. */
function shiftedClock(shiftMs: number, lagMs: number): Clock & { shiftMs: number } {
  return {
    shiftMs,
    now() {
      return Date.now() + this.shiftMs;
    },
    setTimer(at, fire, housekeeping = false) {
      const delay = Math.max(0, at - this.now());
      const due = performance.now() + delay;
      const wasStopped = () => performance.now() - due > 1_000;
      const ring = () => {
        if (housekeeping && wasStopped()) timer = setTimeout(fire, lagMs);
        else fire();
      };
      let timer = setTimeout(ring, delay);
      return () => clearTimeout(timer);
    },
  };
}
