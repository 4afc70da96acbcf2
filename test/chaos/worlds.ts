/** The worlds that a run of kills takes place in: workers on one file, or on a server that is struck itself. */
import { startPostgres } from "../../scripts/postgres-server.mjs";
import type { Chance } from "./chance.ts";
import { failures, openNetwork, type Network } from "./network.ts";
import { openSite, type Site, type WorkerProcess } from "./site.ts";

/** What there is in one. */
export interface World {
  readonly site: Site;
  readonly launch: (name: string) => Promise<WorkerProcess>;
  /**
   * At some of the strikes, does something else than to kill a worker, and says what.
   *
   * @param share - How much of the run is over, up to 1.
   */
  readonly strike: (chance: Chance, share: number) => Promise<string | undefined>;
  readonly close: () => Promise<void>;
}

/** What the workers of a run share. */
export const storages = ["sqlite", "postgres"] as const;
export type Storage = (typeof storages)[number];

/** Makes a {@link World}. */
export function openWorld(storage: Storage): Promise<World> {
  return storage === "sqlite" ? fileWorld() : serverWorld();
}

async function fileWorld(): Promise<World> {
  const site = await openSite();
  return { site, launch: async (name) => site.launch(name), strike: async () => undefined, close: site.close };
}

/** A server of its own, which is struck down three times, and for each worker a network that fails. */
async function serverWorld(): Promise<World> {
  // What was committed survives its end by force. A loss of power is not the point: fsync may stay off.
  const server = await startPostgres({ settings: ["synchronous_commit=on"] });
  const site = await openSite(server.url);
  const networks = new Map<WorkerProcess, Network>();
  const restartAt = [0.25, 0.5, 0.75];
  const sides = () => {
    for (const [worker, network] of networks) {
      if (worker.isAlive()) continue;
      network.close();
      networks.delete(worker);
    }
    return [...networks.values()];
  };
  return {
    site,
    async launch(name) {
      const network = await openNetwork(server.url);
      const worker = site.launch(name, { store: network.through(site.store) });
      networks.set(worker, network);
      return worker;
    },
    async strike(chance, share) {
      if (share >= restartAt[0]!) {
        restartAt.shift();
        await server.restart();
        return "restart";
      }
      if (chance.next() < 0.5) return undefined;
      const failure = chance.pick(failures);
      await chance.pick(sides()).fail(failure, chance.between(50, 2_000));
      return failure;
    },
    async close() {
      await site.close();
      for (const network of networks.values()) network.close();
      await server.stop();
    },
  };
}
