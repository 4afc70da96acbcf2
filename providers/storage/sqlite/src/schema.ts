/**
 * The tables, as the steps that make them. A step, once released, never changes: what a store needs more comes as the
 * next step, and `PRAGMA user_version` counts those that a file has had.
 *
 * Every index is paid for on the hot path, so each names the statement that cannot do without it. The columns an
 * ordinary turn writes (`last_event_id`, `last_chunk`, `unsettled`, `attempts`, `blocked`, `updated_at`) are in no index
 * that holds owned instances.
 */
import { viewsSql } from "./views.ts";

/** Marks a file as ours in its header: "Stet" in ASCII. */
export const applicationId = 0x53746574;

/** A build as the list of those that are blocked holds it: `|a|b|` is searched for `|a|`. */
export function blockedBuild(buildId: string): string {
  return `|${encodeURIComponent(buildId)}|`;
}

/** In the place of that list: the instance is suspended, whatever the build. No list looks like it. */
export const anyBuild = "*";

/** Whether the message `m` is a refusal that no top-up has overtaken. */
export const isRefusal = `EXISTS (SELECT 1 FROM bookings b
  WHERE b.instance = m.instance AND b.execution = m.execution AND b.event_id = m.event_id AND b.refusal = m.key)`;

/** Whether a booking was refused for what others have reserved. */
export const isWaiting = "refusal IS NOT NULL AND tokens + nano_usd + calls > 0";

const firstStep = `
  -- Small and hot. Keys are never used again: a deleted instance must stay deleted for whoever still holds its key.
  -- root is NULL for the top of a tree, which is its own root. last_chunk is the end of the current history,
  -- earlier_chunk what it was before the last commit.
  CREATE TABLE instances (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER,
    parent INTEGER,
    owner INTEGER,
    status INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    last_event_id INTEGER NOT NULL,
    last_chunk INTEGER,
    earlier_chunk INTEGER,
    unsettled INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    version TEXT,
    blocked_builds TEXT,
    blocked TEXT,
    labels TEXT,
    custom_status TEXT,
    error TEXT,
    output TEXT
  );
  -- releaseWorker
  CREATE INDEX instances_owned ON instances (owner) WHERE owner IS NOT NULL;
  -- claimTurns: those to be taken over without a message
  CREATE INDEX instances_orphaned ON instances (unsettled) WHERE unsettled = 1 AND owner IS NULL;
  -- getTree, deleteTree, listing by parent
  CREATE INDEX instances_parent ON instances (parent) WHERE parent IS NOT NULL;
  -- listing by status, stats
  CREATE INDEX instances_status ON instances (status);
  -- prune: roots by the time of their end
  CREATE INDEX instances_ended ON instances (ended_at) WHERE ended_at IS NOT NULL AND parent IS NULL;

  -- Appended by rowid and in no index: an index entry of each chunk would land on another page than the chunk before,
  -- and with many long histories every commit would write such a page. Instead each chunk knows the one before it in
  -- its execution, and the instance knows its last.
  CREATE TABLE history (
    key INTEGER PRIMARY KEY,
    previous INTEGER,
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    first_event_id INTEGER NOT NULL,
    last_event_id INTEGER NOT NULL,
    body TEXT NOT NULL
  );

  -- Executions that are over. The current one is in the row of its instance.
  CREATE TABLE executions (
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL,
    event_count INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (instance, execution)
  ) WITHOUT ROWID;

  -- The inbox: what is visible at once, in the order of its keys. An answer names its request: execution and event_id.
  CREATE TABLE messages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    instance INTEGER NOT NULL,
    at INTEGER NOT NULL,
    execution INTEGER,
    event_id INTEGER,
    body TEXT NOT NULL
  );
  CREATE INDEX messages_of ON messages (instance);

  -- Idempotency keys of messages that were sent.
  CREATE TABLE message_keys (
    instance INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    PRIMARY KEY (instance, idempotency_key)
  ) WITHOUT ROWID;

  -- Messages that wait for their time.
  CREATE TABLE timers (
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    fire_at INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (instance, execution, event_id)
  ) WITHOUT ROWID;
  CREATE INDEX timers_due ON timers (fire_at);

  -- visible_at is 0 for what is visible at once, whatever the clock does, and -1 for model calls that are: many of them
  -- may wait for capacity, and nobody who looks for activities is to walk past them. Only model calls have a rank.
  CREATE TABLE work (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    owner INTEGER,
    visible_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tag TEXT,
    session TEXT,
    heartbeat TEXT,
    failure TEXT,
    rank INTEGER,
    tokens INTEGER,
    body TEXT NOT NULL,
    UNIQUE (instance, execution, event_id)
  );
  CREATE INDEX work_ready ON work (visible_at) WHERE owner IS NULL;
  CREATE INDEX work_owned ON work (owner) WHERE owner IS NOT NULL;
  -- claimWork, claimCalls: model calls in their order, past those of other lines without a look at their rows
  CREATE INDEX work_calls ON work (rank, key, name, visible_at) WHERE owner IS NULL AND rank IS NOT NULL;

  -- What was claimed of models with limits, as long as a window counts it.
  CREATE TABLE model_starts (
    model TEXT NOT NULL,
    at INTEGER NOT NULL,
    work INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (model, at, work)
  ) WITHOUT ROWID;

  -- closed_until: told by closeModel. next_at: when the claim that last left calls behind could have had more.
  CREATE TABLE models (
    name TEXT PRIMARY KEY,
    closed_until INTEGER NOT NULL,
    next_at INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE sessions (
    name TEXT PRIMARY KEY,
    worker INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX sessions_used ON sessions (used_at);

  CREATE TABLE waits (
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    details TEXT,
    since INTEGER NOT NULL,
    timeout_at INTEGER,
    PRIMARY KEY (instance, execution, event_id)
  ) WITHOUT ROWID;

  -- Bodies may be large, so the rows stay out of the index.
  CREATE TABLE payloads (
    key INTEGER PRIMARY KEY,
    root INTEGER NOT NULL,
    digest TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (root, digest)
  );

  CREATE TABLE state (
    instance INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (instance, name)
  ) WITHOUT ROWID;

  -- Only of instances with a budget of their own. Sums over the instance and all below it; an absent limit is none.
  CREATE TABLE budgets (
    instance INTEGER PRIMARY KEY,
    opened_at INTEGER NOT NULL,
    time_limit INTEGER,
    tokens_limit INTEGER,
    tokens_spent INTEGER NOT NULL DEFAULT 0,
    tokens_reserved INTEGER NOT NULL DEFAULT 0,
    nano_usd_limit INTEGER,
    nano_usd_spent INTEGER NOT NULL DEFAULT 0,
    nano_usd_reserved INTEGER NOT NULL DEFAULT 0,
    calls_limit INTEGER,
    calls_spent INTEGER NOT NULL DEFAULT 0,
    calls_reserved INTEGER NOT NULL DEFAULT 0
  );

  -- Requests under a budget that are not settled. refusal: the message that refused it, until that is taken; with what it
  -- wanted where only what others have reserved was in its way, and with nothing otherwise.
  CREATE TABLE bookings (
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    event_id INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    nano_usd INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    refusal INTEGER,
    PRIMARY KEY (instance, execution, event_id)
  ) WITHOUT ROWID;
  -- commitTurns, where calls are settled: those that may fit now; mostly there are none
  CREATE INDEX bookings_waiting ON bookings (instance) WHERE ${isWaiting};

  -- The key is the offset: a reader that resumes on an instance made anew must not be ahead of it.
  CREATE TABLE outputs (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    instance INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
  );
  CREATE INDEX outputs_of ON outputs (instance);

  -- instance is 0 for everybody's, execution is 0 for all of the instance's. Bodies may be large, so the rows stay out of
  -- the index.
  CREATE TABLE answers (
    key INTEGER PRIMARY KEY,
    instance INTEGER NOT NULL,
    execution INTEGER NOT NULL,
    digest TEXT NOT NULL,
    expires_at INTEGER,
    body TEXT NOT NULL,
    UNIQUE (instance, execution, digest)
  );
  -- saveAnswers: those that have expired
  CREATE INDEX answers_expiring ON answers (expires_at) WHERE expires_at IS NOT NULL;

  -- The key is the registration: never given twice.
  CREATE TABLE workers (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    process_start TEXT,
    capabilities TEXT NOT NULL,
    registered_at INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL,
    busy REAL NOT NULL DEFAULT 0
  );
`;

/** What brings a file from one version to the next. */
export const steps: readonly string[] = [firstStep + viewsSql];
