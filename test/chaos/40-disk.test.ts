/** Real disks in trouble: full, taken away, exchanged for others, and made read-only. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, closeSync, cpSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import Sqlite from "better-sqlite3";
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { allEnded, poke, pokesFor, startCrowd } from "./crowd.ts";
import { atWork, crowdedSite, soundEnd } from "./crowded-site.ts";
import { openSite, type WorkerProcess } from "./site.ts";
import { assertSound } from "./soundness.ts";
import { readStarts } from "./starts.ts";
import { assertIntact } from "./stores.ts";
import { until } from "./until.ts";

const mayLimit = runs("prlimit", "--version");
const mayMount = runs("unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", tmpdir());

/** Whether a command is there and may do what it is asked for. */
function runs(command: string, ...more: readonly string[]): boolean {
  return spawnSync(command, more).status === 0;
}

test(
  "files that cannot grow in the middle fail nothing, and what was found meanwhile is recorded when they can again",
  { skip: mayLimit ? false : "needs prlimit of util-linux" },
  async (t) => {
    const instances = 30;
    const site = await openSite();
    t.after(site.close);
    await startCrowd(site.client, instances);
    const worker = site.launch("worker");
    await atWork(site);

    const limitFiles = (bytes: string) => execFileSync("prlimit", [`--pid=${worker.pid}`, `--fsize=${bytes}:`]);
    // The soft limit, which may be raised again. Small, for a log that begins anew may never be as large as it was.
    limitFiles(String(Math.min(65_536, statSync(`${site.store}-wal`).size)));
    await poke(site.client, pokesFor(instances)); // it has something to write from here on, however slow this process is
    await until("a commit to fail", () => worker.log().includes("The store failed to commit turns; trying again"));
    await sleep(3_000);
    const { instances: by, blocked } = await site.client.stats();
    assert.deepEqual([by.failed, blocked], [0, 0]);
    assert.ok(by.running > 0, "it happened in the middle");
    assert.match(worker.log(), /store\.db: the disk cannot be read or written \(disk I\/O error, SQLITE_IOERR_WRITE\)/);
    assert.ok(worker.isAlive(), worker.log());
    limitFiles("unlimited");

    const { startedAgain, unknownOutcomes } = await soundEnd(site, instances);
    assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "no result was lost, so nothing was done twice");
  },
);

test(
  "a disk that is full in the middle fails nothing, and what was found meanwhile is recorded when there is room again",
  { skip: mayMount ? false : "needs leave to mount a disk of its own" },
  async (t) => {
    const instances = 30;
    const { folder, starts, launch } = await crowdedSite(t, instances);
    const disk = join(folder, "disk");
    mkdirSync(disk);
    new Sqlite(join(folder, "store.db")).exec(`VACUUM INTO '${join(folder, "start.db")}'`).close();
    const script = `mount -t tmpfs -o size=64m none "$0" && cp '${join(folder, "start.db")}' "$0/store.db" && exec "$@"`;
    const mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, disk];
    const worker = launch("worker", { store: join(disk, "store.db"), saysEnd: true, pauseMs: 40 }, mounted);
    await until("activities to start", () => readStarts(starts).length > 30);

    const seen = `/proc/${worker.pid}/root${disk}`; // the disk is there for the worker only
    fill(`${seen}/filler`);
    await until("the disk to be full", () => worker.log().includes("the disk is full"));
    await sleep(3_000);
    assert.ok(worker.isAlive(), worker.log());
    assert.ok(!hasEnded(worker), "it happened in the middle");
    rmSync(`${seen}/filler`);

    await until("all instances to end", () => hasEnded(worker));
    for (const end of ["", "-wal"]) cpSync(`${seen}/store.db${end}`, join(folder, `end.db${end}`));
    await worker.kill();
    const store = join(folder, "end.db");
    const atEnd = await Client.connect({ storage: sqlite(store) });
    t.after(() => atEnd.close());
    const { startedAgain, unknownOutcomes } = await assertSound({ client: atEnd, store, starts, instances });
    assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "no result was lost, so nothing was done twice");
  },
);

test("a store that is taken away for five seconds fails nothing, is said to be away, and goes on when it is back", async (t) => {
  const instances = 30;
  const site = await crowdedSite(t, instances);
  const worker = site.launch("worker");
  await atWork(site);

  move(site.store, join(site.folder, "away.db"));
  await until("the worker to notice", () => worker.log().includes(gone));
  const before = readStarts(site.starts).length;
  await sleep(5_000);
  assert.ok(readStarts(site.starts).length - before < 100, "what runs ends, and nothing follows from it");
  assert.ok(worker.isAlive(), worker.log());
  move(join(site.folder, "away.db"), site.store);

  const { startedAgain, unknownOutcomes } = await soundEnd(site, instances);
  assert.deepEqual([startedAgain, unknownOutcomes], [0, 0], "no result was lost, so nothing was done twice");
});

test("a store that is exchanged for another is left alone by who has the old one open, and the old one stays whole", async (t) => {
  const instances = 30;
  const site = await crowdedSite(t, instances);
  const worker = site.launch("worker");
  await atWork(site);

  const old = join(site.folder, "old.db");
  move(site.store, old);
  const other = await Client.connect({ storage: sqlite(site.store) });
  t.after(() => other.close());
  await startCrowd(other, 3);
  await until("the worker to notice", () => worker.log().includes(gone));
  await sleep(1_000);
  assert.deepEqual((await other.stats()).instances, {
    ...{ pending: 3, running: 0, completed: 0, failed: 0, cancelled: 0, terminated: 0 },
  });
  assert.deepEqual((await other.stats()).workers, []);
  await worker.kill();
  await assertIntact(site.store);

  const heir = site.launch("heir", { store: old, saysEnd: true });
  await until("all instances to end", () => hasEnded(heir));
  const client = await Client.connect({ storage: sqlite(old) });
  t.after(() => client.close());
  await assertSound({ client, store: old, starts: site.starts, instances });
});

test("a store that is made read-only while it is open is finished by who has it open, and stays whole", async (t) => {
  const instances = 20;
  const site = await crowdedSite(t, instances);
  const worker = site.launch("worker");
  await atWork(site);

  for (const end of ["", "-wal", "-shm"]) chmodSync(site.store + end, 0o444);
  chmodSync(site.folder, 0o555);
  try {
    await until("all instances to end", () => allEnded(site.client), { everyMs: 50 });
  } finally {
    chmodSync(site.folder, 0o755);
  }

  const { startedAgain, unknownOutcomes } = await soundEnd(site, instances);
  assert.deepEqual([startedAgain, unknownOutcomes], [0, 0]);
  assert.equal(worker.log(), "");
});

/** What the log says of a file that is not where it was. */
const gone = "expected the file to stay at its path while it is open";

/** Moves a store with the files that belong to it. */
function move(from: string, to: string): void {
  for (const end of ["", "-wal", "-shm"]) renameSync(from + end, to + end);
}

/** Writes until nothing more can be written. */
function fill(file: string): void {
  const filler = openSync(file, "w");
  for (let size = 1 << 20; size > 0; size >>= 1) {
    try {
      for (;;) writeSync(filler, Buffer.alloc(size));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
    }
  }
  closeSync(filler);
}

function hasEnded({ reports }: WorkerProcess): boolean {
  return reports().some(({ said }) => said === "all ended");
}
