/**
 * Crashes and faults: break your own orchestration before the world does. The crash explorer kills the process at every
 * place where it could die, starts another one on the same store, and compares. A faulty store fails as real ones do.
 *
 * The first version of the shop charges the card again when the process dies between the charge and its recording: an
 * activity runs at least once. The second hands the idempotency key to the bank. The third declares the charge
 * irreversible, and asks the bank when nobody knows whether it happened.
 *
 * Prints:
 *   Without a key
 *     After a crash after activity charge #1: Expected the scenario to answer { said: 'order-1 is on its way', charged: 30 }, got { said: 'order-1 is on its way', charged: 60 }
 *     To run just this again: exploreCrashes(world, { only: ["after activity charge #1"] })
 *   With an idempotency key
 *     survives a crash at any place, among them
 *       before activity charge #1
 *       after activity charge #1
 *     charges started again: 2
 *   Irreversible
 *     survives a crash at any place, and 50 pairs of crashes
 *     charges started again: 0
 *   A store that fails every third call and is away for five seconds
 *     order-1 is on its way, charged 30
 */
import assert from "node:assert/strict";
import { type ActivityContext, activity, isStetError, orchestration } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { type CrashWorld, exploreCrashes, faulty, TestEnvironment } from "@stet/testing";

/** A bank. It charges a key once, and what has no key each time. */
class Bank {
  readonly #charges = new Map<string, number>();

  charge(cents: number, key = `${this.#charges.size}`): void {
    this.#charges.set(key, cents);
  }

  hasCharged(key: string): boolean {
    return this.#charges.has(key);
  }

  get total(): number {
    return [...this.#charges.values()].reduce((sum, cents) => sum + cents, 0);
  }
}

const pack = activity("pack", async (_ctx, order: string) => `${order} is on its way`);

/** A shop whose charge is made as the caller says. Each run gets one of its own, with a bank of its own. */
function shop(charge: (bank: Bank, ctx: ActivityContext) => void): CrashWorld<{ said: string; charged: number }> {
  const bank = new Bank();
  const chargeCard = activity("charge", async (ctx) => charge(bank, ctx));
  const checkout = orchestration("checkout", async (ctx, order: string) => {
    await ctx.activity(chargeCard);
    await ctx.timer("1h");
    return ctx.activity(pack, order);
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [checkout],
    activities: [chargeCard, pack],
    scenario: async (env) => {
      const run = await env.startOrchestration(checkout, "order-1", { instanceId: "order-1" });
      return { said: await env.result(run), charged: bank.total };
    },
  };
}

/** A shop that never charges twice, and asks when it does not know. */
function carefulShop(): CrashWorld<{ said: string; charged: number }> {
  const bank = new Bank();
  const charge = activity("charge", { effect: "irreversible" }, async (_ctx, order: string) => bank.charge(30, order));
  const hasCharged = activity("hasCharged", async (_ctx, order: string) => bank.hasCharged(order));
  const checkout = orchestration("checkout", async (ctx, order: string) => {
    for (let charged = false; !charged;) {
      try {
        await ctx.activity(charge, order);
        charged = true;
      } catch (error) {
        if (!isStetError(error, "outcome_unknown")) throw error;
        charged = await ctx.activity(hasCharged, order);
      }
    }
    await ctx.timer("1h");
    return ctx.activity(pack, order);
  });
  return {
    storage: sqlite(":memory:"),
    orchestrations: [checkout],
    activities: [charge, hasCharged, pack],
    scenario: async (env) => {
      const run = await env.startOrchestration(checkout, "order-1", { instanceId: "order-1" });
      return { said: await env.result(run), charged: bank.total };
    },
  };
}

console.log("Without a key");
const careless = await exploreCrashes(() => shop((bank) => bank.charge(30))).catch((error: unknown) => error);
assert.ok(careless instanceof Error);
console.log(careless.message.replaceAll(/^/gm, "  "));

console.log("With an idempotency key");
const report = await exploreCrashes(() => shop((bank, ctx) => bank.charge(30, ctx.idempotencyKey)));
console.log("  survives a crash at any place, among them");
for (const point of report.points.filter((name) => name.includes("charge"))) console.log(`    ${point}`);
console.log(`  charges started again: ${report.startedAgain["charge"]}`);

console.log("Irreversible");
const careful = await exploreCrashes(carefulShop, { pairs: 50 });
console.log(`  survives a crash at any place, and ${careful.runs - careful.points.length} pairs of crashes`);
console.log(`  charges started again: ${careful.startedAgain["charge"] ?? 0}`);

console.log("A store that fails every third call and is away for five seconds");
const { scenario, ...world } = shop((bank, ctx) => bank.charge(30, ctx.idempotencyKey));
const env = await TestEnvironment.start({
  ...world,
  wire: (storage, clock) =>
    faulty(storage, {
      clock,
      faults: [
        { kind: "fail", when: "after", every: 3 },
        { kind: "away", after: "1h", lasts: "5s" },
      ],
    }),
  logger: { debug() {}, info() {}, warn() {}, error() {} },
});
const { said, charged } = await scenario(env);
console.log(`  ${said}, charged ${charged}`);
await env.close();
