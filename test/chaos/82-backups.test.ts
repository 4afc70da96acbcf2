/** A backup that was taken while workers write is a store: with it a worker goes on from that moment, as after a crash. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Client } from "@stet/core";
import Sqlite from "better-sqlite3";
import { databaseUrl } from "../storage/postgres-database.ts";
import { poke, pokesFor, startCrowd, untilAllEnded } from "./crowd.ts";
import { expectedResult, mixedWork } from "./mixed-work.ts";
import { openSite, type Site } from "./site.ts";
import { allInstances, assertHistory } from "./soundness.ts";
import { assertIntact, copyOfDatabase, storeAt } from "./stores.ts";
import { until } from "./until.ts";

const instances = 20;

/** Makes a copy of the store of a site, and answers its address. */
type Backup = (t: TestContext, site: Site) => Promise<string>;

const backups: { readonly [name: string]: Backup } = {
  "sqlite: VACUUM INTO": async (_t, site) => {
    const copy = join(site.folder, "copy.db");
    const db = new Sqlite(site.store, { timeout: 10_000 });
    db.exec(`VACUUM INTO '${copy}'`);
    db.close();
    return copy;
  },
  "sqlite: .backup": async (_t, site) => {
    const copy = join(site.folder, "copy.db");
    execFileSync(process.execPath, ["-e", backUp, site.store, copy], { cwd: import.meta.dirname });
    return copy;
  },
  postgres: async (t, site) => {
    const { address, remove, by } = await copyOfDatabase(databaseUrl(), site.store);
    t.after(remove);
    t.diagnostic(by);
    return address;
  },
};

/** What the `.backup` of the command line does, in a process that has nothing else to do. */
const backUp = `const [from, to] = process.argv.slice(1);
  new (require("better-sqlite3"))(from, { timeout: 10000 }).backup(to).then(() => process.exit());`;

for (const [name, backUpOf] of Object.entries(backups)) {
  test(`a worker goes on with a backup of the middle of its work (${name})`, async (t) => {
    const site = await openSite(name.startsWith("postgres") ? databaseUrl() : undefined);
    t.after(site.close);
    const size = () => (existsSync(site.starts) ? statSync(site.starts).size : 0);
    const original = site.launch("original");
    await startCrowd(site.client, instances);
    await poke(site.client, pokesFor(instances / 2));
    await until("activities to start", () => size() > 50 * instances);

    const copy = await backUpOf(t, site);
    await original.kill(); // its registration is in the copy, too, and would count for ten seconds

    const client = await Client.connect({ storage: storeAt(copy) });
    t.after(() => client.close());
    const { pending, running } = (await client.stats()).instances;
    assert.ok(pending + running >= instances / 2, "those that wait are in the middle of their work");
    site.launch("restored", { store: copy, starts: join(site.folder, "starts of the restored.txt") });
    await poke(client, pokesFor(instances / 2, instances / 2));
    await untilAllEnded(client);
    await assertIntact(copy);
    for (let n = 0; n < instances; n++) assert.equal(await client.instance(`w-${n}`).result(), expectedResult(n));
    const { orchestrations } = mixedWork();
    for (const instance of await allInstances(client)) {
      for (const { execution } of await client.executions(instance.instanceId)) {
        const events = await client.instance(instance.instanceId).history(execution);
        await assertHistory(orchestrations, instance, execution, events);
      }
    }
  });
}
