/**
 * The work that is killed: orchestrations that use a bit of everything, each instance in another order, so that at any
 * moment all kinds of things are under way. Their results are known beforehand, whatever happened on the way.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  activity,
  isStetError,
  orchestration,
  type ActivityContext,
  type AnyActivity,
  type AnyOrchestration,
  type Orchestration,
  type OrchestrationContext,
} from "@stet/core";

/** Executions of each instance, one after the other by continue-as-new. */
export const executions = 2;

/** Those of the activities that are retried when they fail. */
export const retried: ReadonlySet<string> = new Set(["flaky", "tell"]);

/** What an instance carries from one execution to the next. */
export interface Task {
  readonly n: number;
  readonly sum: number;
}

/** Called when an attempt of an activity begins. */
export type Witness = (ctx: ActivityContext) => void;

/** The definitions, to be run by a worker or replayed by a test. */
export interface MixedWork {
  readonly orchestrations: readonly AnyOrchestration[];
  readonly activities: readonly AnyActivity[];
  readonly main: Orchestration<Task, number>;
}

/** A text that is too long to stand in an event. */
export function longText(n: number): string {
  return `document ${n} `.repeat(120);
}

/** Makes {@link MixedWork}. Activities take around `pauseMs`. */
export function mixedWork(witness: Witness = () => {}, pauseMs = 10): MixedWork {
  const work = async (ctx: ActivityContext): Promise<void> => {
    witness(ctx);
    await sleep(pauseMs * (0.5 + Math.random()));
  };
  const step = activity("step", async (ctx, n: number) => {
    await work(ctx);
    return n + 1;
  });
  const retry = { maxAttempts: 30, initialInterval: 2 * pauseMs, maxInterval: 500 };
  const flaky = activity("flaky", { retry }, async (ctx, n: number) => {
    ctx.heartbeat({ attempt: ctx.attempt });
    await work(ctx);
    if (ctx.attempt === 1) throw new Error("not yet");
    return n + 2;
  });
  const pay = activity("pay", { effect: "irreversible" }, work);
  const fetchText = activity("fetchText", async (ctx, n: number) => {
    await work(ctx);
    return longText(n);
  });
  const tell = activity("tell", { retry }, async (ctx, instanceId: string) => {
    await work(ctx);
    await ctx.client.instance(instanceId).raiseEvent("told", ctx.execution, { idempotencyKey: ctx.idempotencyKey });
  });

  const child = orchestration("child", async (ctx, n: number) => {
    await ctx.timer(3 * pauseMs);
    return ctx.activity(step, n);
  });

  const parts: readonly ((ctx: OrchestrationContext, n: number) => Promise<number>)[] = [
    async (ctx, n) => ctx.activity(step, await ctx.activity(step, n)),
    async (ctx, n) => ctx.activity(flaky, n),
    async (ctx, n) => {
      const results = await Promise.all([1, 2, 3].map((i) => ctx.activity(step, n + i)));
      return results.reduce((a, b) => a + b, 0);
    },
    async (ctx) => {
      const paid = await ctx.activity(pay).then(
        () => true,
        (error: unknown) => {
          if (isStetError(error, "outcome_unknown")) return false;
          throw error;
        },
      );
      ctx.state.set(`paid ${ctx.execution}`, paid);
      return 0;
    },
    async (ctx, n) => {
      const text = await ctx.activity(fetchText, n);
      ctx.state.set("text", text);
      return text.length;
    },
    async (ctx) => {
      const { winner } = await ctx.race({ timer: ctx.timer(2 * pauseMs), never: ctx.waitForEvent("never") });
      return winner === "timer" ? 0 : Number.NaN;
    },
    async (ctx) => {
      const [, told] = await Promise.all([
        ctx.activity(tell, ctx.instanceId),
        ctx.waitForEvent<number>("told", { timeout: "1d" }),
      ]);
      return told;
    },
    async (ctx) => {
      ctx.sendEvent(ctx.instanceId, "note", { execution: ctx.execution, text: longText(0) });
      return (await ctx.waitForEvent<{ execution: number }>("note")).execution;
    },
    async (ctx, n) => ctx.subOrchestration(child, n),
    async (ctx, n) => Number(await ctx.generate(`Say ${n}. ${longText(n)}`)),
    async (ctx) => ctx.waitForEvent<number>("poke", { details: "sent by the test" }),
  ];

  const main = orchestration("main", async (ctx, { n, sum }: Task): Promise<number> => {
    let total = sum;
    for (let i = 0; i < parts.length; i++) {
      ctx.setStatus({ execution: ctx.execution, part: i });
      total += await parts[(n + i) % parts.length]!(ctx, n);
      ctx.state.set("total", total);
      ctx.emit({ execution: ctx.execution, part: i });
    }
    return ctx.execution < executions ? ctx.continueAsNew({ n, sum: total }) : total;
  });

  return { orchestrations: [main, child], activities: [step, flaky, pay, fetchText, tell], main };
}

/** How many parts an execution has. */
export const partCount = 11;

/** What instance `n` comes to. */
export function expectedResult(n: number): number {
  const each = n + 2 + (n + 2) + (3 * n + 9) + longText(n).length + (n + 1) + n;
  const events = 3 * ((executions * (executions + 1)) / 2); // told, note and poke carry the number of the execution
  return executions * each + events;
}
