/** Real kills: workers on one store are killed in the middle of their work, again and again, until all of it is done. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Chance } from "./chance.ts";
import { poke, pokesFor, startCrowd, untilAllEnded, type Poke } from "./crowd.ts";
import { insist } from "./insist.ts";
import type { Site, WorkerProcess } from "./site.ts";
import { assertSound, type Findings } from "./soundness.ts";
import { until } from "./until.ts";
import { openWorld, type Storage, type World } from "./worlds.ts";

/** What is to be done. The same plan decides the same strikes; what they hit is up to the machine. */
export interface KillPlan {
  readonly seed: number;
  readonly instances: number;
  /** How often a worker is killed, or what else the world holds happens. */
  readonly strikes: number;
  /** How many workers share the store. */
  readonly workers: number;
  /** @default "sqlite" */
  readonly storage?: Storage;
  /** Hears how far it is. */
  readonly progress?: (text: string) => void;
}

/** What was done. */
export interface KillReport extends Findings {
  /** Instances that were under way at each strike. */
  readonly underWay: readonly number[];
  /** How often what was struck. */
  readonly struck: Readonly<Record<string, number>>;
  /** The longest time from a worker that is ready to the next activity that starts, in milliseconds. */
  readonly slowestResumeMs: number;
}

/** Runs a plan. @throws AssertionError when anything was lost, recorded twice, or hangs. */
export async function killAgainAndAgain(plan: KillPlan): Promise<KillReport> {
  const world = await openWorld(plan.storage ?? "sqlite");
  try {
    const killed = await new KillRun(plan, world).run();
    const { client, store, starts } = world.site;
    return { ...(await assertSound({ client, store, starts, instances: plan.instances })), ...killed };
  } catch (error) {
    throw new Error(`${String(error)}\n${await world.site.describe()}`, { cause: error });
  } finally {
    await world.close();
  }
}

class KillRun {
  readonly #plan: KillPlan;
  readonly #world: World;
  readonly #site: Site;
  readonly #chance: Chance;
  readonly #workers: WorkerProcess[] = [];
  readonly #pokes: Poke[];
  #launched = 0;
  #started = 0;
  #poked = 0;

  constructor(plan: KillPlan, world: World) {
    this.#plan = plan;
    this.#world = world;
    this.#site = world.site;
    this.#chance = new Chance(plan.seed);
    this.#pokes = pokesFor(plan.instances);
  }

  async run(): Promise<Pick<KillReport, "underWay" | "struck" | "slowestResumeMs">> {
    const { strikes, workers, progress = () => {} } = this.#plan;
    const { client } = this.#site;
    await this.#feed(0);
    for (let i = 0; i < workers; i++) await this.#launch();
    const underWay: number[] = [];
    const struck: Record<string, number> = {};
    let slowestResumeMs = 0;
    for (let strike = 1; strike <= strikes; strike++) {
      await this.#feed(strike / strikes);
      slowestResumeMs = Math.max(slowestResumeMs, await this.#letWork());
      const { pending, running } = (await insist(() => client.stats())).instances;
      underWay.push(pending + running);
      this.#assertAlive();
      const what = (await this.#world.strike(this.#chance, strike / strikes)) ?? (await this.#killOne());
      struck[what] = (struck[what] ?? 0) + 1;
      progress(`strike ${strike} of ${strikes}: ${what}`);
    }
    await untilAllEnded(client, () => this.#assertAlive());
    for (const worker of this.#workers) await worker.kill();
    return { underWay, struck, slowestResumeMs };
  }

  /**
   * Starts half of the instances at once, and the others and what they wait for bit by bit: so every strike finds work to
   * interrupt, however fast it is done.
   */
  async #feed(share: number): Promise<void> {
    const { client } = this.#site;
    const { instances } = this.#plan;
    const started = Math.round((instances * (1 + share)) / 2);
    await startCrowd(client, started - this.#started, this.#started);
    this.#started = started;
    const poked = Math.round(this.#pokes.length * share);
    await poke(client, this.#pokes.slice(this.#poked, poked));
    this.#poked = poked;
  }

  async #launch(): Promise<void> {
    this.#workers.push(await this.#world.launch(`worker-${++this.#launched}`));
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
    const isLate = () => performance.now() - begun > 1_000; // there may be less to do than asked for
    await until("activities to start", () => size() >= enough || isLate(), { everyMs: 2 });
    await sleep(this.#chance.between(0, 15));
    return resumedMs;
  }

  async #killOne(): Promise<string> {
    const victim = this.#chance.pick(this.#workers);
    await victim.kill();
    this.#workers.splice(this.#workers.indexOf(victim), 1);
    // The other ones find out by themselves, sometimes before a new one tells them.
    if (this.#plan.workers > 1 && this.#chance.next() < 0.1) await sleep(2_500);
    await this.#launch();
    return "kill";
  }

  #assertAlive(): void {
    for (const { name, isAlive, log } of this.#workers) assert.ok(isAlive(), `${name} ended by itself: ${log()}`);
  }
}
