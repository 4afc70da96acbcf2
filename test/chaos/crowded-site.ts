/** A site with instances that have all they wait for, for tests of what happens to their workers. */
import type { TestContext } from "node:test";
import { poke, pokesFor, startCrowd, untilAllEnded } from "./crowd.ts";
import { openSite, type Site } from "./site.ts";
import { assertSound, type Findings, type Scene } from "./soundness.ts";
import { readStarts } from "./starts.ts";
import { until } from "./until.ts";

/** Opens one that lives as long as its test, with a file, or with a database on a server. */
export async function crowdedSite(t: TestContext, instances: number, server?: string): Promise<Site> {
  const site = await openSite(server);
  t.after(site.close);
  await startCrowd(site.client, instances);
  await poke(site.client, pokesFor(instances));
  return site;
}

/** Until activities run. */
export async function atWork({ starts }: Site, count = 30): Promise<void> {
  await until("activities to start", () => readStarts(starts).length >= count);
}

/** Until all has ended, and is sound. */
export async function soundEnd(
  { client, store, starts }: Site,
  instances: number,
  more: Partial<Scene> = {},
): Promise<Findings> {
  await untilAllEnded(client);
  return assertSound({ client, store, starts, instances, ...more });
}
