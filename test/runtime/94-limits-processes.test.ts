/** Limits of models across processes, each a worker on one store: a SQLite file, and a database on a postgres server. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "@stet/core";
import { newDatabase, newFile, type OwnStore, storeAt } from "../chaos/stores.ts";
import { until } from "../chaos/until.ts";
import { databaseUrl } from "../storage/postgres-database.ts";
import type { Said } from "./limits-process.ts";
import { newFolder } from "./world.ts";

const kinds: { readonly [kind: string]: () => Promise<OwnStore> } = {
  sqlite: async () => newFile(newFolder()),
  postgres: () => newDatabase(databaseUrl()),
};

/** A store, instances that ask a model once each, and processes. */
async function site(t: TestContext, make: () => Promise<OwnStore>, instances: number) {
  const { address, remove } = await make();
  const client = await Client.connect({ storage: storeAt(address) });
  const kills: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const kill of kills) await kill();
    await client.close();
    await remove();
  });
  const runs = [];
  for (let i = 0; i < instances; i++) runs.push(await client.startOrchestration("ask", `question ${i}`));
  const launch = (answer: string) => {
    const child = fork(fileURLToPath(new URL("limits-process.ts", import.meta.url)), [address, answer]);
    const gone = once(child, "exit");
    kills.push(() => {
      child.kill("SIGKILL");
      return gone;
    });
    const said: Said[] = [];
    child.on("message", (one: Said) => said.push(one));
    const times = (what: Said["what"]) => said.filter((one) => one.what === what).length;
    return { said, times, mayAnswer: () => child.send("answer") };
  };
  return { client, runs, launch };
}

for (const [kind, make] of Object.entries(kinds)) {
  test(`${kind}: two processes keep a limit of requests together`, { timeout: 240_000 }, async (t) => {
    const { runs, launch } = await site(t, make, 20);
    const workers = [launch("done"), launch("done")];
    // Each has room for one call, so both ask before any answer is given.
    await until("both processes to ask", () => workers.every(({ times }) => times("asked") > 0));
    for (const { mayAnswer } of workers) mayAnswer();
    for (const run of runs) assert.equal(await run.result(), "done");

    const sum = (what: Said["what"]) => workers.reduce((total, { times }) => total + times(what), 0);
    await until("all to be said", () => sum("took") === 20 && sum("asked") === 20);
    const taken = workers.flatMap(({ said }) => said.flatMap((one) => (one.what === "took" ? [one] : [])));
    // What lies within a second as surely as clocks can tell: the store took each between the question and its answer.
    const surely = taken.map(({ from }) => taken.filter((one) => one.from >= from && one.to < from + 1_000).length);
    assert.ok(Math.max(...surely) <= 5, `${Math.max(...surely)} calls in a second`);
  });

  test(`${kind}: what one process is told by a model that is too busy, another does not ask again`, async (t) => {
    const { client, runs, launch } = await site(t, make, 8);
    const first = launch("too busy");
    first.mayAnswer();
    const isPutOff = async (id: string) => {
      const [waiting] = (await client.instance(id).status()).waitingFor;
      return waiting?.kind === "model" && (waiting.capacityAt ?? 0) > Date.now() + 60_000;
    };
    const areAllPutOff = async () => (await Promise.all(runs.map((run) => isPutOff(run.instanceId)))).every(Boolean);
    await until("all to wait for the model", areAllPutOff);
    const second = launch("done");
    second.mayAnswer();
    await until("the other process to look for calls", () => second.times("looked") > 0);
    const another = await client.startOrchestration("ask", "one more");
    await until("the new one to wait as well", () => isPutOff(another.instanceId));

    assert.deepEqual([first.times("asked"), second.times("asked")], [1, 0]);
  });
}
