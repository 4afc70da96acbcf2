/** Real kills: workers on one file are killed in the middle of their work, again and again, until all of it is done. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Chance } from "./chance.ts";
import { executions, mixedWork } from "./mixed-work.ts";
import { openSite, until, type Site, type WorkerProcess } from "./site.ts";
import { assertSound, type Findings } from "./soundness.ts";

/** What is to be done. The same plan decides the same kills; what they hit is up to the machine. */
export interface KillPlan {
  readonly seed: number;
  readonly instances: number;
  readonly kills: number;
  /** How many workers share the file. */
  readonly workers: number;
  /** Hears how far it is. */
  readonly progress?: (text: string) => void;
}

/** What was done. */
export interface KillReport extends Findings {
  /** Instances that were under way at each kill. */
  readonly runningAtKill: readonly number[];
  /** The longest time from a worker that is ready to the next activity that starts, in milliseconds. */
  readonly slowestResumeMs: number;
}

/** Runs a plan. @throws AssertionError when anything was lost, recorded twice, or hangs. */
export async function killAgainAndAgain(plan: KillPlan): Promise<KillReport> {
  const site = await openSite(["worker-process.ts"]);
  try {
    const killed = await new KillRun(plan, site).run();
    const { client, store, starts } = site;
    return { ...(await assertSound({ client, store, starts, instances: plan.instances })), ...killed };
  } finally {
    await site.close();
  }
}

class KillRun {
  readonly #plan: KillPlan;
  readonly #site: Site;
  readonly #chance: Chance;
  readonly #workers: WorkerProcess[] = [];
  readonly #pokes: (readonly [n: number, execution: number])[] = [];
  #launched = 0;

  constructor(plan: KillPlan, site: Site) {
    this.#plan = plan;
    this.#site = site;
    this.#chance = new Chance(plan.seed);
  }

  async run(): Promise<Pick<KillReport, "runningAtKill" | "slowestResumeMs">> {
    const { instances, kills, workers, progress = () => {} } = this.#plan;
    await this.#startInstances();
    for (let i = 0; i < workers; i++) this.#launch();
    const runningAtKill: number[] = [];
    let slowestResumeMs = 0;
    for (let kill = 1; kill <= kills; kill++) {
      await this.#poke(Math.ceil((instances * executions) / kills));
      slowestResumeMs = Math.max(slowestResumeMs, await this.#letWork());
      runningAtKill.push((await this.#site.client.stats()).instances.running);
      await this.#killOne();
      progress(`kill ${kill} of ${kills}`);
    }
    await this.#poke(this.#pokes.length);
    await until("all instances to end", async () => {
      this.#assertAlive();
      const { instances: by, blocked } = await this.#site.client.stats();
      if (blocked > 0) assert.fail(await this.#whyBlocked());
      return by.pending + by.running === 0;
    });
    for (const worker of this.#workers) await worker.kill();
    return { runningAtKill, slowestResumeMs };
  }

  async #startInstances(): Promise<void> {
    const { main } = mixedWork();
    const numbers = Array.from({ length: this.#plan.instances }, (_, n) => n);
    await Promise.all(
      numbers.map((n) => this.#site.client.startOrchestration(main, { n, sum: 0 }, { instanceId: `w-${n}` })),
    );
    for (let execution = 1; execution <= executions; execution++) {
      for (const n of numbers) this.#pokes.push([n, execution]);
    }
  }

  /** Sends some of the events that instances wait for, while workers come and go. */
  async #poke(count: number): Promise<void> {
    for (const [n, execution] of this.#pokes.splice(0, count)) {
      await this.#site.client.instance(`w-${n}`).raiseEvent("poke", execution);
    }
  }

  #launch(): void {
    this.#workers.push(this.#site.launch("worker-process.ts", `worker-${++this.#launched}`));
  }

  /**
   * Until somewhere in the middle of the work, or, one time in five, of the start of a worker. Progress is counted in
   * activities, not in time, so that a slow machine is not killed before it has done anything.
   */
  async #letWork(): Promise<number> {
    if (this.#chance.next() < 0.2) {
      await sleep(this.#chance.between(0, 300));
      return 0;
    }
    const size = () => statSync(this.#site.starts, { throwIfNoEntry: false })?.size ?? 0;
    const bytesOfStart = 75;
    const before = size();
    const enough = before + this.#chance.between(5, 50) * bytesOfStart;
    await until("a worker to be ready", () => this.#workers.some(({ isReady }) => isReady()), { everyMs: 2 });
    const begun = performance.now();
    await until("an activity to start", () => size() > before, { everyMs: 2 });
    const resumedMs = performance.now() - begun;
    await until("activities to start", () => size() >= enough, { everyMs: 2 });
    await sleep(this.#chance.between(0, 15));
    return resumedMs;
  }

  async #killOne(): Promise<void> {
    this.#assertAlive();
    const victim = this.#chance.pick(this.#workers);
    await victim.kill();
    this.#workers.splice(this.#workers.indexOf(victim), 1);
    // The other ones find out by themselves, sometimes before a new one tells them.
    if (this.#plan.workers > 1 && this.#chance.next() < 0.1) await sleep(2_500);
    this.#launch();
  }

  #assertAlive(): void {
    for (const { name, isAlive, log } of this.#workers) assert.ok(isAlive(), `${name} ended by itself: ${log()}`);
  }

  async #whyBlocked(): Promise<string> {
    const { instances } = await this.#site.client.list({ status: "blocked" });
    const reasons = instances.map(({ instanceId, error }) => `${instanceId}: ${error?.message}`);
    return `Expected no instance to be blocked, got ${reasons.length}: ${reasons.join("; ")}`;
  }
}
