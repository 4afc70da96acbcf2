/**
 * What is SQLite's own: files and what is wrong with them, several processes on one file, what statements cost, and the
 * store in memory. What every provider does is in the conformance suite.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  isStetError,
  type StorageChange,
  type StorageError,
  type StorageProvider,
  type TurnCommit,
  type WorkerKey,
} from "@stet/core";
import { sqlite, type SqliteOptions } from "@stet/sqlite";
import Sqlite from "better-sqlite3";

// Opening

test("open() makes a file that open() opens again", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  await start(store, "a");
  await store.close();

  const again = await opened(t, path);

  assert.deepEqual(await idsIn(again), ["a"]);
});

test("open() of four processes at once makes one schema", async (t) => {
  const path = newPath(t);
  const processes = await Promise.all([1, 2, 3, 4].map(() => otherProcess(t, path, "open")));

  const ends = await Promise.all(processes.map((process) => process.go()));

  assert.deepEqual(
    ends.map(({ code, stderr }) => ({ code, stderr })),
    ends.map(() => ({ code: 0, stderr: "" })),
  );
  const store = await opened(t, path);
  await start(store, "a");
  assert.deepEqual(await idsIn(store), ["a"]);
});

test("open() uses write-ahead logging and the synchronous setting it is given", async (t) => {
  const settings = await Promise.all(
    [{}, { synchronous: "full" }, { synchronous: "off" }].map(async (options) => {
      const spied = await spiedStore(t, newPath(t), options as SqliteOptions);
      return [spied.db.pragma("journal_mode", { simple: true }), spied.db.pragma("synchronous", { simple: true })];
    }),
  );

  assert.deepEqual(settings, [
    ["wal", 1],
    ["wal", 2],
    ["wal", 0],
  ]);
});

test("open() refuses a file that is no database and leaves it as it is", async (t) => {
  const path = newPath(t);
  const text = "Dear diary, ".repeat(1_000);
  writeFileSync(path, text);

  const error = await refusal(sqlite(path).open());

  assert.match(error.message, /is no SQLite database/);
  assert.ok(error.message.includes(path));
  assert.equal(error.retryable, false);
  assert.equal((error.cause as { code?: string }).code, "SQLITE_NOTADB");
  assert.equal(readFileSync(path, "utf8"), text);
});

test("open() refuses the database of another application and leaves it as it is", async (t) => {
  const path = newPath(t);
  const other = new Sqlite(path);
  other.exec("CREATE TABLE recipes (name TEXT)");
  other.close();
  const before = readFileSync(path);

  const error = await refusal(sqlite(path).open());

  assert.match(error.message, /another application/);
  assert.equal(error.retryable, false);
  assert.deepEqual(readFileSync(path), before);
});

test("open() refuses a store that newer code has written", async (t) => {
  const path = newPath(t);
  await (await opened(t, path)).close();
  const newer = new Sqlite(path);
  newer.pragma("user_version = 1000");
  newer.close();

  const error = await refusal(sqlite(path).open());

  assert.match(error.message, /got 1000: written by newer code/);
  assert.equal(error.retryable, false);
});

test("open() refuses a path in a folder that is not there", async (t) => {
  const error = await refusal(sqlite(join(newPath(t), "missing", "a.db")).open());

  assert.match(error.message, /expected the folder .*missing to exist/);
  assert.equal(error.retryable, false);
});

test("open() refuses a file that it may not write", { skip: process.platform === "win32" }, async (t) => {
  const path = newPath(t);
  await (await opened(t, path)).close();
  chmodSync(path, 0o444);

  const error = await asNobody(path, () => refusal(sqlite(path).open()));

  assert.match(error.message, /cannot be written/);
  assert.equal(error.retryable, false);
});

test("open() that failed leaves nothing open and may be tried again", async (t) => {
  const path = newPath(t);
  writeFileSync(path, "not a database at all, but long enough to be looked at".repeat(20));
  const store = sqlite(path);
  await refusal(store.open());
  const error = await refusal(store.nextWakeAt(0));
  rmSync(path);

  await store.open();
  t.after(() => store.close());

  assert.match(error.message, /to be open/);
  assert.equal(await start(store, "a"), "started");
});

test("close() leaves one whole file behind and is harmless when repeated", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  await start(store, "a");

  await store.close();
  await store.close();

  const copy = newPath(t);
  writeFileSync(copy, readFileSync(path));
  assert.deepEqual(await idsIn(await opened(t, copy)), ["a"]);
});

// In memory

test("a store in memory lives from the first open() to the last close()", async (t) => {
  const store = sqlite(":memory:");
  await store.open();
  await store.open();
  await start(store, "a");

  await store.close();
  const whileOpen = await idsIn(store);
  await store.close();
  await store.open();
  t.after(() => store.close());

  assert.deepEqual(whileOpen, ["a"]);
  assert.deepEqual(await idsIn(store), []);
});

test("two stores in memory share nothing", async (t) => {
  const one = await opened(t, ":memory:");
  const two = await opened(t, ":memory:");

  await start(one, "a");

  assert.deepEqual(await idsIn(two), []);
});

// Several processes

test("two processes that claim at the same time share the instances out", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  const ids = Array.from({ length: 400 }, (_, index) => `instance-${index}`);
  await store.startInstances(ids.map((instanceId) => ({ instanceId, name: "order", body: "{}", at: 1 })));
  const processes = await Promise.all([otherProcess(t, path, "claim"), otherProcess(t, path, "claim")]);

  const ends = await Promise.all(processes.map((process) => process.go()));

  const claimed = ends.map(({ stdout }) => stdout.trim().split(" ").filter(Boolean));
  assert.deepEqual(claimed.flat().sort(), ids.sort());
  assert.deepEqual(
    ends.map(({ stderr }) => stderr),
    ["", ""],
  );
});

test("a process that is killed while it commits leaves every turn whole", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  const ids = Array.from({ length: 50 }, (_, index) => `instance-${index}`);
  await store.startInstances(ids.map((instanceId) => ({ instanceId, name: "order", body: "{}", at: 1 })));
  const process = await otherProcess(t, path, "commit");

  await process.killAfter("ten");

  const records = await store.admin.getInstances(ids);
  assert.equal(records.length, ids.length);
  for (const { instanceId, lastEventId } of records) {
    const events = Array.from({ length: lastEventId }, (_, index) => `${index + 1}`);
    assert.ok(lastEventId >= 10);
    assert.deepEqual(await store.admin.readHistory(instanceId, 1), events);
    assert.deepEqual(await store.admin.readState(instanceId), [{ key: "n", value: `${lastEventId}` }]);
    const outputs = await store.admin.readOutputs(instanceId, 0, lastEventId + 1);
    assert.deepEqual(
      outputs.map(({ body }) => body),
      events,
    );
  }
  assert.equal(new Set(records.map(({ lastEventId }) => lastEventId)).size, 1, "a batch is one transaction");
});

test("onChange() hears within a moment of what another connection commits", async (t) => {
  const path = newPath(t);
  const mine = await opened(t, path);
  const theirs = await opened(t, path);
  const change = nextChange(t, mine);

  await start(theirs, "a");

  assert.deepEqual(await change, { turns: true, work: true });
});

test("onChange() hears of its own connection in the order of things, never inside a transaction", async (t) => {
  const { store, db } = await spiedStore(t, newPath(t));
  const heard: unknown[] = [];
  t.after(
    store.onChange(({ turns, work, instances }) => heard.push({ turns, work, instances, inside: db.inTransaction })),
  );

  await Promise.all([start(store, "a"), start(store, "b")]);
  await sleep(120); // twice the time between two looks at the file: one's own commits are not another's

  assert.deepEqual(heard, [{ turns: true, work: false, instances: ["a", "b"], inside: false }]);
});

test("onChange() looks at the file only while somebody listens", async (t) => {
  const { store, statements } = await spiedStore(t, newPath(t));
  const looks = () => statements.runs("PRAGMA data_version");

  const before = looks();
  const end = store.onChange(() => {});
  while (looks() < 3) await sleep(10);
  end();
  const listening = looks();
  await sleep(120);

  assert.equal(before, 0);
  assert.equal(looks(), listening);
});

test("a verb waits for another connection's lock, and is refused as retryable when that takes too long", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path, { busyTimeoutMs: 50 });
  const other = new Sqlite(path);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");

  const error = await refusal(start(store, "a"));
  const reads = await idsIn(store);
  other.exec("COMMIT");

  assert.equal(error.retryable, true);
  assert.equal((error.cause as { code?: string }).code, "SQLITE_BUSY");
  assert.deepEqual(reads, []);
  assert.equal(await start(store, "a"), "started");
});

test("verbs that wait for a lock keep their order and hold up nothing else in the process", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  await start(store, "a");
  const worker = await register(store);
  const other = new Sqlite(path);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");
  const send = (body: string) => store.sendMessages([{ instanceId: "a", body, at: 1 }]);

  const sent = [send("first"), send("second"), send("third")];
  const asleep = Date.now();
  await sleep(30);
  const lateMs = Date.now() - asleep - 30;
  other.exec("COMMIT");
  const outcomes = await Promise.all(sent);

  assert.ok(lateMs < 1_000, `Expected timers to go on while verbs wait, got one ${lateMs} ms late.`);
  assert.deepEqual(outcomes.flat(), ["sent", "sent", "sent"]);
  const [turn] = await store.claimTurns(claimOf(worker));
  assert.deepEqual(
    turn?.messages.map(({ body }) => body),
    ["{}", "first", "second", "third"],
  );
});

test("verbs that wait behind others for a lock are refused when their own time is over", async (t) => {
  const path = newPath(t);
  const busyTimeoutMs = 500;
  const store = await opened(t, path, { busyTimeoutMs });
  const other = new Sqlite(path);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");

  const asked = performance.now();
  const starts = Array.from({ length: 40 }, (_, n) => refusal(start(store, `i${n}`)));
  const errors = await Promise.all(starts);
  const waitedMs = performance.now() - asked;

  assert.ok(errors.every(({ retryable }) => retryable));
  assert.ok(
    waitedMs < (40 * busyTimeoutMs) / 2,
    `Expected them to wait together, got ${waitedMs} ms one after another`,
  );
});

test("sqlite() refuses options that it does not know", () => {
  const refused = (path: string, options: object) =>
    assert.throws(
      () => sqlite(path, options),
      (error) => isStetError(error, "configuration_invalid"),
    );

  refused("", {});
  refused("a.db", { synchronous: "sometimes" });
  refused("a.db", { busyTimeoutMs: -1 });
});

test("claimTurns() takes no lock when there is nothing to take", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path, { busyTimeoutMs: 20 });
  const worker = await register(store);
  await start(store, "a");
  const owned = await claim(store, worker);
  const other = new Sqlite(path);
  t.after(() => other.close());
  other.exec("BEGIN IMMEDIATE");

  const again = await claim(store, worker);

  assert.deepEqual(again, owned);
});

test("claimTurns() begins again with the lock when somebody wrote since it began to read", async (t) => {
  const path = newPath(t);
  const { store, statements } = await spiedStore(t, path);
  const worker = await register(store);
  await start(store, "a");
  const other = new Sqlite(path);
  t.after(() => other.close());
  const reading = statements.find("FROM messages m");
  const readAll = reading.all.bind(reading);
  let reads = 0;
  reading.all = (...parameters) => {
    const rows = readAll(...parameters);
    // What is committed here makes the snapshot too old to write on.
    if (++reads === 1) other.exec("UPDATE workers SET heartbeat_at = heartbeat_at + 1");
    return rows;
  };

  const claimed = await claim(store, worker);

  assert.deepEqual(claimed, ["a"]);
  assert.equal(reads, 2);
});

// Disks

test("a full disk is an error that may pass, and leaves nothing half done", async (t) => {
  const { store, db } = await spiedStore(t, newPath(t));
  const pages = Number(db.pragma("page_count", { simple: true }));
  db.pragma(`max_page_count = ${pages}`);
  const large = "x".repeat(100_000);

  const error = await refusal(
    store.startInstances([
      { instanceId: "a", name: "order", body: "{}", at: 1 },
      { instanceId: "b", name: "order", body: large, at: 1 },
    ]),
  );
  const left = await idsIn(store);
  db.pragma("max_page_count = 1000000");

  assert.match(error.message, /the disk is full/);
  assert.equal(error.retryable, true);
  assert.deepEqual(left, []);
  assert.equal(await start(store, "a"), "started");
});

test("a file that is deleted while it is open is an error that may pass, and passes when it is back", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  await start(store, "a");
  renameSync(path, `${path}.away`);
  await sleep(100); // it is looked for now and then

  const error = await refusal(idsIn(store));
  renameSync(`${path}.away`, path);

  assert.match(
    error.message,
    /store\.db: expected the file to stay at its path while it is open, got none there: put it/,
  );
  assert.equal(error.retryable, true);
  assert.deepEqual(await idsIn(store), ["a"]);
});

test("a file that is exchanged while it is open is refused, and close() leaves the new one alone", async (t) => {
  const path = newPath(t);
  const old = await opened(t, path);
  await start(old, "old");
  for (const end of ["", "-wal", "-shm"]) renameSync(path + end, `${path}.old${end}`);
  const store = await opened(t, path);
  await start(store, "new");
  await sleep(100);

  const error = await refusal(start(old, "lost"));
  await old.close();

  assert.match(error.message, /got another one there/);
  assert.deepEqual(await idsIn(store), ["new"]);
  const other = await opened(t, path); // reads the log, which must be there still
  assert.deepEqual(await idsIn(other), ["new"]);
  assert.deepEqual(await idsIn(await opened(t, `${path}.old`)), ["old"]);
});

test("a log that a long reader made grow shrinks when the reader has gone", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  const reader = new Sqlite(path);
  t.after(() => reader.close());
  reader.exec("BEGIN; SELECT * FROM instances");
  const write = (id: string, bytes: number) =>
    store.startInstances([{ instanceId: id, name: "order", body: "x".repeat(bytes), at: 1 }]);
  for (let i = 0; i < 18; i++) await write(`large-${i}`, 4 << 20);
  const grown = statSync(`${path}-wal`).size;

  reader.exec("COMMIT");
  for (let i = 0; i < 8; i++) await write(`small-${i}`, 10);

  assert.ok(grown > 72 << 20, `${grown} bytes`);
  assert.ok(statSync(`${path}-wal`).size <= 64 << 20, `${statSync(`${path}-wal`).size} bytes`);
});

test("a damaged file is an error that no retry cures", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  await store.startInstances(
    Array.from({ length: 200 }, (_, index) => ({ instanceId: `${index}`, name: "order", body: "{}", at: 1 })),
  );
  await store.close();
  const bytes = readFileSync(path);
  bytes.fill(0xff, 3 * 4096);
  writeFileSync(path, bytes);

  const damaged = sqlite(path);
  t.after(() => damaged.close());
  const error = await refusal(damaged.open().then(() => idsIn(damaged)));

  assert.match(error.message, /is damaged/);
  assert.ok(error.message.includes(path));
  assert.equal(error.retryable, false);
});

// What statements cost

test("no statement reads from end to end what grows with instances", async (t) => {
  const { store, statements } = await spiedStore(t, newPath(t));
  await liveOneLife(store);

  const scans = statements
    .texts()
    .flatMap((text) => statements.plan(text).map((step) => `${step} in ${text}`))
    .filter((step) => step.startsWith("SCAN ") && !allowedScans.test(step));

  assert.deepEqual(scans, []);
});

/**
 * Scans of what is small or meant to be read whole: parameters, a chain that is being walked, workers and their sessions, messages in
 * their order up to a limit (a message that was taken is gone), closed executions by `prune`, models, of which there
 * are few, and bookings that wait for what others have reserved, mostly none, in an index of their own.
 */
const allowedScans =
  /^SCAN (named|wanted|json_each|chain|tree|above|workers|sessions|models|sqlite_master|CONSTANT ROW|m in SELECT m\.key[^]* LIMIT|e in SELECT e\.instance|bookings USING INDEX bookings_waiting)/;

test("what workers own is counted in the indexes of owners, not among all that there is", async (t) => {
  const { store, statements } = await spiedStore(t, newPath(t));
  await store.admin.stats(1);

  const plan = statements.plan(statements.find("owner = o.key").source);

  assert.deepEqual(
    plan.filter((step) => / (instances|work) /.test(step)),
    ["instances", "work"].map((table) => `SEARCH ${table} USING COVERING INDEX ${table}_owned (owner=?)`),
  );
});

test("answers that have expired leave the file, a few with each that is saved", async (t) => {
  const path = newPath(t);
  const store = await opened(t, path);
  const answer = (i: number) => ({ digest: `digest-${i}`, body: "yes", expiresAt: i < 100 ? 1_000 : 2_000 });
  const all = Array.from({ length: 250 }, (_, i) => answer(i));
  await store.saveAnswers(all.slice(0, 100), 0);
  const kept = () => new Sqlite(path, { readonly: true }).prepare("SELECT count(*) FROM answers").pluck().get();

  await store.saveAnswers(all.slice(100, 101), 1_000);
  assert.equal(kept(), 99);
  for (const each of all.slice(101)) await store.saveAnswers([each], 1_000);
  assert.equal(kept(), 150);
});

test("no statement that is kept is compiled again each time because of its limit", async (t) => {
  const { statements } = await spiedStore(t, newPath(t));

  const bare = statements.texts().filter((text) => /LIMIT\s+(\?|:\w+)\s*(\)|$)/.test(text));

  assert.deepEqual(bare, []);
});

test("a plain turn is two statements, and touches no index of its instance", async (t) => {
  const { store, db, statements } = await spiedStore(t, newPath(t));
  const worker = await register(store);
  await start(store, "a");
  const [turn] = await store.claimTurns(claimOf(worker));
  assert.ok(turn);
  const first = { ...emptyTurn, key: turn.key, consumed: turn.messages.map(({ key }) => key) };
  await store.commitTurns(worker, [first]);

  const update = statements.find("UPDATE instances SET earlier_chunk");
  const ran = statements.ran(() => store.commitTurns(worker, [plainTurn(first, 1)]));

  assert.deepEqual(
    (await ran).map((text) => text.split(" ", 2).join(" ")),
    ["SELECT max(key)", "UPDATE instances", "INSERT INTO"],
  );
  const opened = db
    .prepare<unknown[], { opcode: string; p2: number }>(`EXPLAIN ${update.source}`)
    .all(...parametersOf(update.source))
    .filter(({ opcode }) => opcode === "IdxInsert");
  // The one left is the index of orphans, whose condition the program checks and an owned instance never meets.
  assert.equal(opened.length, 1);
});

// What the tests are made of

const emptyTurn: Omit<TurnCommit, "key"> = {
  execution: 1,
  expectedEventId: 0,
  history: [{ execution: 1, firstEventId: 1, lastEventId: 1, body: "[1]" }],
  consumed: [],
  payloads: [],
  timers: [],
  settled: [],
  work: [],
  messages: [],
  starts: [],
  state: [],
  outputs: [],
  waits: [],
  version: "1",
  unsettled: false,
  keep: true,
  at: 1,
};

function plainTurn(first: TurnCommit, after: number): TurnCommit {
  const { version: _version, ...turn } = first;
  const next = { execution: 1, firstEventId: after + 1, lastEventId: after + 1, body: `[${after + 1}]` };
  return { ...turn, expectedEventId: after, history: [next], consumed: [] };
}

/** Uses every verb of a worker once, so that every statement has been prepared. */
async function liveOneLife(store: StorageProvider): Promise<void> {
  const worker = await register(store);
  await start(store, "a");
  const [turn] = await store.claimTurns(claimOf(worker));
  assert.ok(turn);
  const first = { ...emptyTurn, key: turn.key, consumed: turn.messages.map(({ key }) => key) };
  const over = [
    { execution: 1, firstEventId: 3, lastEventId: 3, body: "[3]" },
    { execution: 2, firstEventId: 1, lastEventId: 1, body: "[1]" },
  ];
  await store.commitTurns(worker, [{ ...first, customStatus: "half way" }]);
  await store.commitTurns(worker, [plainTurn(first, 1)]);
  await store.commitTurns(worker, [{ ...plainTurn(first, 2), history: over, keep: false }]);
  await store.appendOutputs(worker, [{ instanceId: "a", instance: turn.key, execution: 2, work: 1, body: "1", at: 1 }]);
  const answer = { digest: "d", instance: turn.key, execution: 2 };
  await store.saveAnswers([{ ...answer, body: "1" }], 1);
  await store.readAnswers([answer], 1);
  await store.sendMessages([{ instanceId: "a", body: "{}", at: 1, idempotencyKey: "k" }]);
  await store.claimTurns(claimOf(worker));
  const last = { ...emptyTurn, key: turn.key, execution: 2, expectedEventId: 1 };
  const history = [{ execution: 2, firstEventId: 2, lastEventId: 2, body: "[2]" }];
  const ended = await store.commitTurns(worker, [{ ...last, history, ended: { status: "completed" } }]);
  assert.deepEqual(ended, ["committed"]);
  await store.admin.getInstances(["a"]);
  await store.admin.readHistory("a", 1);
  await store.admin.readState("a");
  await store.admin.readOutputs("a", 0, 10);
  await store.admin.listExecutions("a");
  await store.admin.prune({ endedBefore: 2, keepExecutions: 1, limit: 10 });
  await store.releaseWorker(worker);
}

function newPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "stet-sqlite-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "store.db");
}

async function opened(t: TestContext, path: string, options?: SqliteOptions): Promise<StorageProvider> {
  const store = sqlite(path, options);
  await store.open();
  t.after(() => store.close());
  return store;
}

async function start(store: StorageProvider, instanceId: string): Promise<string | undefined> {
  const [outcome] = await store.startInstances([{ instanceId, name: "order", body: "{}", at: 1 }]);
  return outcome;
}

async function idsIn(store: StorageProvider): Promise<string[]> {
  const { rows } = await store.admin.listInstances({ limit: 1_000 });
  return rows.map(({ instanceId }) => instanceId).sort();
}

function register(store: StorageProvider): Promise<WorkerKey> {
  const capabilities = { orchestrations: ["order"], activities: [], models: false, tags: [] };
  return store.registerWorker({ name: "w", host: "h", pid: 1, capabilities, now: 1 });
}

function claimOf(worker: WorkerKey): Parameters<StorageProvider["claimTurns"]>[0] {
  return { worker, now: 1, max: 10, orchestrations: ["order", "order@1"], buildId: "b" };
}

async function claim(store: StorageProvider, worker: WorkerKey): Promise<string[]> {
  return (await store.claimTurns(claimOf(worker))).map(({ instanceId }) => instanceId);
}

/** What a promise is refused with, which must be a storage error. */
async function refusal(promise: Promise<unknown>): Promise<StorageError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(isStetError(error, "storage_failed"), `Expected a StorageError, got ${String(error)}.`);
    return error;
  }
  return assert.fail("Expected a StorageError, got none.");
}

/** The next change, or a failure when none comes. */
function nextChange(t: TestContext, store: StorageProvider): Promise<StorageChange> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("Expected a change within 5 s, got none.")), 5_000);
    const end = store.onChange((change) => {
      clearTimeout(timer);
      resolve(change);
    });
    t.after(end);
  });
}

/** Runs `body` as somebody who may read the file only: root may write anything, whatever the mode says. */
async function asNobody<Result>(path: string, body: () => Promise<Result>): Promise<Result> {
  if (process.getuid?.() !== 0) return body();
  chmodSync(dirname(path), 0o777);
  process.seteuid?.(65_534);
  try {
    return await body();
  } finally {
    process.seteuid?.(0);
  }
}

type Statement = Sqlite.Statement<unknown[]>;

interface Statements {
  /** Every statement that was prepared, once. */
  texts(): string[];
  /** The last one prepared whose text holds `part`. */
  find(part: string): Statement;
  /** The texts of the statements that `body` runs, in order. */
  ran(body: () => Promise<unknown>): Promise<string[]>;
  /** How often statements of exactly this text have run. */
  runs(text: string): number;
  /** The steps of SQLite's plan for a text. */
  plan(text: string): string[];
}

/** A store with a look behind the seam: its connection and its statements. */
async function spiedStore(
  t: TestContext,
  path: string,
  options?: SqliteOptions,
): Promise<{ store: StorageProvider; db: Sqlite.Database; statements: Statements }> {
  const original = Reflect.get(Sqlite.prototype, "prepare") as (text: string) => Statement;
  const prepared: Statement[] = [];
  const log: string[] = [];
  let db: Sqlite.Database | undefined;
  const spying = new Proxy(original, {
    apply(prepare, connection: Sqlite.Database, [text]: [string]) {
      db ??= connection;
      const statement = Reflect.apply(prepare, connection, [text]);
      prepared.push(statement);
      for (const verb of ["run", "get", "all"] as const) {
        const call = statement[verb].bind(statement) as (...parameters: unknown[]) => never;
        statement[verb] = (...parameters: unknown[]) => {
          log.push(text);
          return call(...parameters);
        };
      }
      return statement;
    },
  });
  Reflect.set(Sqlite.prototype, "prepare", spying);
  t.after(() => Reflect.set(Sqlite.prototype, "prepare", original));
  const store = await opened(t, path, options);
  assert.ok(db);
  const connection = db;
  return {
    store,
    db: connection,
    statements: {
      texts: () => [...new Set(prepared.map(({ source }) => source))],
      find: (part) => prepared.findLast(({ source }) => source.includes(part)) ?? assert.fail(`no statement: ${part}`),
      async ran(body) {
        const before = log.length;
        await body();
        return log.slice(before);
      },
      runs: (text) => log.filter((each) => each === text).length,
      plan: (text) =>
        Reflect.apply(original, connection, [`EXPLAIN QUERY PLAN ${text}`])
          .all(...parametersOf(text))
          .map((row) => (row as { detail: string }).detail),
    },
  };
}

/** As many NULLs as a statement has parameters, by position or by name. */
function parametersOf(text: string): unknown[] {
  const names = text.match(/:[a-z]+/gi) ?? [];
  if (names.length > 0) return [Object.fromEntries(names.map((name) => [name.slice(1), null]))];
  return (text.match(/\?/g) ?? []).map(() => null);
}

interface OtherProcess {
  /** Lets it begin, and answers how it ended. */
  go(): Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** Lets it begin, and kills it some time after it has said `line`. */
  killAfter(line: string): Promise<void>;
}

/** Another process that is ready to do `task` on the file. */
async function otherProcess(t: TestContext, path: string, task: "open" | "claim" | "commit"): Promise<OtherProcess> {
  const file = fileURLToPath(new URL("sqlite-process.ts", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, file, path, task], { stdio: "pipe" });
  t.after(() => child.kill());
  const output = { stdout: "", stderr: "" };
  child.stderr.on("data", (data: Buffer) => (output.stderr += data.toString()));
  await once(child.stdout, "data"); // "ready"
  child.stdout.on("data", (data: Buffer) => (output.stdout += data.toString()));
  const closed = once(child, "close");
  return {
    async go() {
      child.stdin.write("go\n");
      const [code] = (await closed) as [number | null];
      return { code, ...output };
    },
    async killAfter(line) {
      child.stdin.write("go\n");
      while (!output.stdout.includes(line)) await sleep(1);
      await sleep(20);
      child.kill("SIGKILL");
      await closed;
    },
  };
}
