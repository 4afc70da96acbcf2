/** The instances of {@link mixedWork} that a test sets going, and what it sends them. */
import assert from "node:assert/strict";
import type { Client } from "@stet/core";
import { insist } from "./insist.ts";
import { executions, mixedWork } from "./mixed-work.ts";
import { until } from "./until.ts";

/** An event that an instance waits for, one in each execution. */
export type Poke = readonly [n: number, execution: number];

/** Starts `count` instances of `main`, called `w-0`, `w-1` and so on, from `first`. */
export async function startCrowd(client: Client, count: number, first = 0): Promise<void> {
  const { main } = mixedWork();
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  const start = (n: number) =>
    client.startOrchestration(main, { n, sum: 0 }, { instanceId: `w-${n}`, ifExists: "attach" });
  await Promise.all(numbers.map((n) => insist(() => start(n))));
}

/** All the events that `count` instances wait for, those of each in their order. */
export function pokesFor(count: number, first = 0): Poke[] {
  return Array.from({ length: count }, (_, i) => first + i).flatMap((n) =>
    Array.from({ length: executions }, (_, i): Poke => [n, i + 1]),
  );
}

/** Sends them, in their order. */
export async function poke(client: Client, pokes: readonly Poke[]): Promise<void> {
  for (const [n, execution] of pokes) {
    const idempotencyKey = `poke ${execution}`;
    await insist(() => client.instance(`w-${n}`).raiseEvent("poke", execution, { idempotencyKey }));
  }
}

/** Whether all instances have ended. @throws AssertionError when some are blocked, saying why. */
export async function allEnded(client: Client): Promise<boolean> {
  return (await underWay(client)) === 0;
}

/** Until all instances have ended, however long it takes, as long as one ends every now and then. */
export async function untilAllEnded(client: Client, look: () => void = () => {}): Promise<void> {
  for (let left = await underWay(client); left > 0;) {
    await until(`another instance to end, ${left} of which are left`, async () => {
      look();
      const now = await underWay(client);
      const isProgress = now !== left; // children come and go
      left = now;
      return isProgress;
    });
  }
}

async function underWay(client: Client): Promise<number> {
  const { instances: by, blocked } = await insist(() => client.stats());
  if (blocked > 0) {
    const { instances } = await client.list({ status: "blocked" });
    const reasons = instances.map(({ instanceId, error }) => `${instanceId}: ${error?.message}`);
    assert.fail(`Expected no instance to be blocked, got ${reasons.join("; ")}`);
  }
  return by.pending + by.running;
}
