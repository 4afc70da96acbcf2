/**
 * Storms: everything happens to one instance at once. Many of its activities end together while its code asks for more
 * on each of them, and hundreds of events race each other to it from all processes.
 */
import {
  activity,
  orchestration,
  type ActivityContext,
  type AnyActivity,
  type AnyOrchestration,
  type Orchestration,
} from "@stet/core";

/** Branches of `burst`, and the activities of each. */
export const [branches, depth] = [40, 4];

/** Senders of a `target`, and the events of each. */
export const [senders, eventsEach] = [6, 50];

/** Activities of a `target` between its events, at most: how many fit in is up to the machine. */
const mostSteps = 200;

/** The definitions, to be run by a worker or replayed by a test. */
export interface StormWork {
  readonly orchestrations: readonly AnyOrchestration[];
  readonly activities: readonly AnyActivity[];
  readonly burst: Orchestration<void, number[]>;
  /** Takes the number of the processes: each runs what is tagged with its number. */
  readonly target: Orchestration<number, string[]>;
}

/** Makes {@link StormWork}. */
export function stormWork(witness: (ctx: ActivityContext) => void = () => {}): StormWork {
  const add = activity("add", async (ctx, n: number) => {
    witness(ctx);
    return n + 1;
  });
  const send = activity(
    "send",
    { retry: { maxAttempts: 10 } },
    async (ctx, [to, sender]: readonly [string, number]) => {
      witness(ctx);
      const events = Array.from({ length: eventsEach }, (_, i) => `${sender}:${i}`);
      const target = ctx.client.instance(to);
      await Promise.all(events.map((name) => target.raiseEvent("drop", name, { idempotencyKey: name })));
    },
  );

  const burst = orchestration("burst", async (ctx) => {
    const ends: number[] = [];
    const branch = async (n: number): Promise<number> => {
      let at = n;
      for (let i = 0; i < depth; i++) {
        at = await ctx.activity(add, at);
        ctx.state.set("last", at);
        // Comes back in the middle of what the others do.
        [at] = await Promise.all([ctx.activity(add, at), ctx.activity(add, -n)]);
      }
      ends.push(n);
      return at;
    };
    const results = await Promise.all(Array.from({ length: branches }, (_, n) => branch(n)));
    ctx.emit(ends);
    return results;
  });

  const target = orchestration("target", async (ctx, processes: number) => {
    const sent = Array.from({ length: senders }, (_, n) =>
      ctx.activity(send, [ctx.instanceId, n], { tag: `process-${n % processes}` }),
    );
    const drops: string[] = [];
    let steps = 0;
    const step = async (): Promise<void> => {
      while (drops.length < senders * eventsEach && steps < mostSteps) steps = await ctx.activity(add, steps);
    };
    const listen = async (): Promise<void> => {
      while (drops.length < senders * eventsEach) drops.push(await ctx.waitForEvent<string>("drop"));
    };
    await Promise.all([step(), listen(), ...sent]);
    return drops;
  });
  return { orchestrations: [burst, target], activities: [add, send], burst, target };
}
