/**
 * Writing turns: the hottest code of the house. A batch is one call; the update in it that moves the instances checks
 * owner and position (S1), and what belongs to those that it did not move is not written.
 */
import type {
  BudgetChanges,
  InstanceKey,
  OutgoingMessage,
  OutgoingStart,
  TurnCommit,
  TurnOutcome,
  WorkerKey,
} from "@stet/core";
import { HeldBudgets, openBudgets, reconsider } from "./budgets.ts";
import type { ChangeSet } from "./changes.ts";
import type { Clocks } from "./clocks.ts";
import { columnsOf, parameter, parametersOf, rowsFrom, type Columns } from "./columns.ts";
import type { Database } from "./database.ts";
import { addresseesOf, startRows } from "./messages.ts";
import { called, type Routine } from "./routines.ts";
import { anyBuild, blockedBuild, statuses } from "./schema.ts";
import { addPart, addParts, partNames, type Parts } from "./turn-parts.ts";
import { toJson } from "./values.ts";

/**
 * Holds what a batch writes to, in one order: instances that end or leave an execution against whoever sends or saves
 * something for them, and addressees as {@link holdAddressees} does. Plain turns are held by their update, which comes
 * later; so those are held here, too, that might come before another of their tree, for there are verbs that hold a tree.
 */
export const holdForTurns: Routine = {
  name: "hold_for_turns",
  signature: "(p_worker bigint, p_keys bigint[], p_closing bigint[], p_ids text[]) RETURNS void",
  body: `DECLARE
    v_addressees bigint[] := ARRAY(SELECT i.key FROM instances i WHERE i.id = ANY (p_ids));
    v_last bigint := (SELECT max(i.key) FROM instances i
      WHERE i.key = ANY (v_addressees || p_closing) AND i.root IS NOT NULL); -- in its tree the root comes first
  BEGIN
    IF v_last IS NULL AND p_ids IS NULL THEN
      PERFORM 1 FROM instances WHERE key = ANY (p_closing) AND owner = p_worker ORDER BY key FOR UPDATE;
    ELSIF v_last IS NULL AND p_closing IS NULL THEN
      PERFORM 1 FROM instances WHERE key = ANY (v_addressees) ORDER BY key FOR KEY SHARE;
    ELSE
      PERFORM CASE h.strength
        WHEN 1 THEN (SELECT 1 FROM instances i WHERE i.key =@ h.key FOR KEY SHARE)
        WHEN 2 THEN (SELECT 1 FROM instances i WHERE i.key =@ h.key AND i.owner = p_worker FOR NO KEY UPDATE)
        ELSE (SELECT 1 FROM instances i WHERE i.key =@ h.key AND i.owner = p_worker FOR UPDATE) END
      FROM (
        SELECT a.key, max(a.strength) AS strength FROM (
          SELECT unnest(v_addressees) AS key, 1 AS strength
          UNION ALL SELECT k, 2 FROM unnest(p_keys) AS k WHERE k < v_last
          UNION ALL SELECT unnest(p_closing), 3) a
        GROUP BY a.key ORDER BY a.key) h;
    END IF;
  END`,
};

/** What a turn makes of the row of its instance. */
const turnColumns = {
  key: "bigint",
  execution: "integer",
  expectedEventId: "integer",
  lastEventId: "integer",
  nextExecution: "integer",
  unsettled: "boolean",
  keep: "boolean",
  at: "bigint",
  visible: "boolean",
  status: "smallint",
  begins: "boolean",
  ended: "boolean",
  version: "text",
  customStatus: "text",
  output: "text",
  error: "text",
  blocked: "text",
  build: "text",
} satisfies Columns;

/** A row of them. */
type Move = { readonly [Member in keyof typeof turnColumns]: unknown };

const running = statuses.indexOf("running");

const chunkColumns = {
  instance: "bigint",
  execution: "integer",
  firstEventId: "integer",
  lastEventId: "integer",
  body: "text",
} satisfies Columns;

/** Answers the keys of what was committed, each with its id where clients may see a difference. */
export const commitTurns: Routine = {
  name: "commit_turns",
  signature: `(p_worker bigint, ${parametersOf("turn", turnColumns)}, ${parametersOf("chunk", chunkColumns)},
    p_closing bigint[], p_ended bigint[], p_ids text[],
    p_starts json, p_waves integer, p_messages json, ${partNames.map((part) => `p_${part} json`).join(", ")})
    RETURNS TABLE (key bigint, id text)`,
  body: `DECLARE
    v_keys bigint[];
    v_ids text[];
    v_stale bigint[] := '{}';
    v_settled bigint[];
  BEGIN
    PERFORM 1 FROM workers WHERE key = p_worker FOR KEY SHARE;
    IF NOT FOUND THEN RETURN; END IF;
    IF p_closing IS NOT NULL OR p_ids IS NOT NULL THEN
      PERFORM ${called("hold_for_turns")}(p_worker, ${parameter("turn", "key")}, p_closing, p_ids);
    END IF;
    IF p_closed IS NOT NULL THEN
      INSERT INTO executions (instance, execution, event_count, started_at, updated_at)
      SELECT i.key, c.execution, c."eventCount", coalesce(c."startedAt", i.started_at), c.at
      FROM json_to_recordset(p_closed) AS c (instance bigint, "expectedEventId" integer,
        "expectedExecution" integer, execution integer, "eventCount" integer, "startedAt" bigint, at bigint)
      JOIN instances i ON i.key =@ c.instance
      WHERE i.owner IS NOT DISTINCT FROM p_worker AND i.last_event_id = c."expectedEventId" AND i.execution = c."expectedExecution";
    END IF;

    WITH moved AS (
      UPDATE instances i SET
        last_event_id = coalesce(t."lastEventId", i.last_event_id),
        execution = coalesce(t."nextExecution", i.execution),
        unsettled = t.unsettled,
        attempts = 0,
        owner = CASE WHEN t.keep THEN i.owner END,
        status = coalesce(t.status, i.status),
        version = coalesce(t.version, i.version),
        custom_status = coalesce(t."customStatus", i.custom_status),
        blocked = t.blocked,
        blocked_builds = CASE WHEN t.build = '${anyBuild}' THEN t.build
          WHEN t.blocked IS NOT NULL THEN coalesce(i.blocked_builds, '') || t.build END,
        started_at = CASE WHEN t.begins THEN t.at ELSE i.started_at END,
        updated_at = t.at,
        ended_at = CASE WHEN t.ended THEN t.at ELSE i.ended_at END,
        output = CASE WHEN t.ended THEN t.output ELSE i.output END,
        error = CASE WHEN t.ended THEN t.error ELSE i.error END
      FROM ${rowsFrom("turn", turnColumns, "t")}
      WHERE i.key =@ t.key AND i.owner IS NOT DISTINCT FROM p_worker AND i.last_event_id = t."expectedEventId"
        AND i.execution = t.execution
      RETURNING i.key, CASE WHEN t.visible THEN i.id END AS id
    )
    SELECT array_agg(m.key), array_agg(m.id) INTO v_keys, v_ids FROM moved m;
    IF v_keys IS NULL THEN RETURN; END IF;
    IF cardinality(v_keys) < cardinality(${parameter("turn", "key")}) THEN
      v_stale := ARRAY(SELECT unnest(${parameter("turn", "key")}) EXCEPT SELECT unnest(v_keys));
    END IF;

    INSERT INTO history (instance, execution, first_event_id, last_event_id, body)
    SELECT h.instance, h.execution, h."firstEventId", h."lastEventId", h.body
    FROM ${rowsFrom("chunk", chunkColumns, "h")}
    WHERE NOT h.instance = ANY (v_stale);
    IF v_stale <> '{}' THEN
      p_ended := ARRAY(SELECT unnest(p_ended) EXCEPT SELECT unnest(v_stale));
      p_starts := ${called("without")}(p_starts, 'sender', v_stale);
      p_messages := ${called("without")}(p_messages, 'sender', v_stale);
      ${partNames.map((part) => `p_${part} := ${called("without")}(p_${part}, 'instance', v_stale);`).join("\n      ")}
    END IF;
    IF p_ended IS NOT NULL OR p_left IS NOT NULL OR p_settled IS NOT NULL OR p_replaced IS NOT NULL THEN
      v_settled := ARRAY(
        SELECT r.instance FROM ${called("remove_requests")}(p_ended, p_left, p_settled, p_replaced) AS r (instance));
    END IF;
    IF num_nonnulls(p_consumed, p_payloads, p_timers, p_work, p_waits, p_unset, p_set, p_outputs) > 0 THEN
      PERFORM ${called("insert_parts")}(p_consumed, p_payloads, p_timers, p_work, p_waits, p_unset, p_set, p_outputs);
    END IF;
    -- Messages come after starts, so that one finds what its turn has started.
    IF p_starts IS NOT NULL THEN PERFORM ${called("begin_instances")}(p_starts, p_waves, p_messages);
    ELSIF p_messages IS NOT NULL THEN PERFORM ${called("deliver")}(p_messages);
    END IF;
    RETURN QUERY SELECT m.key, CASE WHEN m.id IS NULL AND m.key = ANY (v_settled)
      THEN (SELECT i.id FROM instances i WHERE i.key = m.key) ELSE m.id END
    FROM unnest(v_keys, v_ids) AS m (key, id);
  END`,
};

/** Rows but those that name one of some instances. */
export const without: Routine = {
  name: "without",
  signature: "(p_rows json, p_member text, p_instances bigint[]) RETURNS json",
  body: `BEGIN
    RETURN (SELECT json_agg(r.value) FROM json_array_elements(p_rows) AS r (value)
      WHERE NOT (r.value->>p_member)::bigint = ANY (p_instances));
  END`,
};

interface Committed {
  readonly key: InstanceKey;
  readonly id: string | null;
}

type CommitTurns = (worker: WorkerKey, commits: readonly TurnCommit[], change: ChangeSet) => Promise<TurnOutcome[]>;

/** Binds `commitTurns` to a database. */
export function bindCommitTurns(db: Database, clocks: Clocks): CommitTurns {
  return async (worker, commits, change) => {
    const outcomes: TurnOutcome[] = [];
    for (const round of rounds(commits)) {
      const draws = round.some(({ budget, suspended }) => budget !== undefined || suspended !== undefined);
      const [rows, refused] = draws
        ? await db.transaction((held) => commitWithBudgets(held, clocks, worker, round, change))
        : [await db.call<Committed>(commitTurns, valuesOf(worker, round, clocks)), new Map<InstanceKey, number[]>()];
      const committed = new Map(rows.map(({ key, id }) => [key, id]));
      for (const turn of round) {
        const id = committed.get(turn.key);
        const refusals = refused.get(turn.key) ?? [];
        outcomes.push(id === undefined ? "notOwner" : refusals.length > 0 ? { refused: refusals } : "committed");
        if (id !== undefined) noteChange(turn, id, change);
      }
    }
    return outcomes;
  };
}

/** A batch in which somebody draws on a budget. Answers also what was refused. */
async function commitWithBudgets(
  db: Database,
  clocks: Clocks,
  worker: WorkerKey,
  commits: readonly TurnCommit[],
  change: ChangeSet,
): Promise<[rows: Committed[], refused: Map<InstanceKey, number[]>]> {
  const rows = await db.call<Committed>(commitTurns, valuesOf(worker, commits, clocks));
  const refused = new Map<InstanceKey, number[]>();
  const keys = new Set(rows.map(({ key }) => key));
  const drawing: { turn: TurnCommit; asked: BudgetChanges }[] = [];
  for (const turn of commits) {
    if (!keys.has(turn.key)) continue;
    const { key, budget, suspended, blocked } = turn;
    if (suspended !== undefined) await db.call(reconsider, [key, suspended.refusals.map(Number)]);
    else if (blocked === undefined && budget !== undefined) drawing.push({ turn, asked: budget });
  }
  if (drawing.length === 0) return [rows, refused];
  await openBudgets(
    db,
    drawing.flatMap(({ turn: { key, at }, asked: { opened } }) =>
      opened === undefined ? [] : [{ instance: key, at, limits: opened }],
    ),
  );
  const held = await HeldBudgets.hold(
    db,
    clocks,
    drawing.map(({ turn }) => turn.key),
  );
  for (const { turn, asked } of drawing) refused.set(turn.key, await held.change(turn, asked, worker, change));
  await held.write();
  return [rows, refused];
}

/** A statement moves an instance once. More turns of one instance, which nobody has hitherto asked for, take turns. */
function rounds(commits: readonly TurnCommit[]): TurnCommit[][] {
  const found: TurnCommit[][] = [];
  let keys = new Set<InstanceKey>();
  for (const commit of commits) {
    if (found.length === 0 || keys.has(commit.key)) {
      found.push([]);
      keys = new Set();
    }
    keys.add(commit.key);
    found[found.length - 1]!.push(commit);
  }
  return found;
}

function noteChange(turn: TurnCommit, id: string | null, change: ChangeSet): void {
  const { timers, work, messages, starts, keep, ended } = turn;
  const gaveBack = !keep && ended === undefined;
  if (timers.length > 0 || messages.length > 0 || starts.length > 0 || gaveBack) change.turns = true;
  if (work.length > 0) change.work = true;
  for (const { instanceId } of starts) change.instances.push(instanceId);
  if (id === null) return;
  change.instances.push(id);
  if (ended !== undefined) change.ended.push(id);
  if (ended?.status === "completed") (change.completed ??= new Map()).set(id, ended.output);
}

/** A batch as {@link commitTurns} takes it. */
function valuesOf(worker: WorkerKey, commits: readonly TurnCommit[], clocks: Clocks) {
  const turns: Move[] = [];
  const history: object[] = [];
  const parts: Parts = {};
  const closing: number[] = [];
  const ended: number[] = [];
  const messages: (OutgoingMessage & { readonly sender: InstanceKey })[] = [];
  const starts: (OutgoingStart & { readonly sender: InstanceKey })[] = [];
  for (const turn of commits) {
    const { key: instance } = turn;
    let visible = !isPlain(turn);
    if (turn.blocked === undefined && turn.suspended === undefined) {
      for (const { execution, firstEventId, lastEventId, body } of turn.history) {
        history.push({ instance, execution, firstEventId, lastEventId, body });
      }
      for (const message of turn.messages) messages.push({ ...message, sender: instance });
      for (const start of turn.starts) starts.push({ ...start, sender: instance });
      addClosed(parts, turn);
      if (addParts(parts, worker, turn, clocks)) visible = true;
      if (isClosing(turn)) closing.push(instance as number);
      if (turn.ended !== undefined) ended.push(instance as number);
    }
    turns.push(moveOf(turn, visible));
  }
  turns.sort(byKey);
  const ids = addresseesOf(messages, starts);
  const [startsInWaves, waves] = startRows(starts);
  return [
    worker,
    ...columnsOf(turnColumns, turns),
    ...columnsOf(chunkColumns, history),
    closing.length === 0 ? null : closing,
    ended.length === 0 ? null : ended,
    ids.length === 0 ? null : ids,
    rowsOrNull(startsInWaves),
    waves,
    rowsOrNull(messages),
    ...partNames.map((part) => rowsOrNull(parts[part] ?? [])),
  ];
}

function rowsOrNull(rows: readonly object[]): string | null {
  return rows.length === 0 ? null : toJson(rows);
}

function byKey(a: Move, b: Move): number {
  return (a.key as number) - (b.key as number);
}

/** Whether nothing may be sent or saved for the instance while this is written: its inbox or its requests go. */
function isClosing({ ended, history, execution }: TurnCommit): boolean {
  return ended !== undefined || (history[history.length - 1]?.execution ?? execution) > execution;
}

/** Whether a turn is what most are: one more chunk of an execution that goes on, owned as before. */
function isPlain(turn: TurnCommit): boolean {
  return (
    turn.history.length === 1 &&
    turn.history[0]!.execution === turn.execution &&
    turn.expectedEventId > 0 &&
    turn.keep &&
    turn.ended === undefined &&
    turn.blocked === undefined &&
    turn.suspended === undefined &&
    turn.version === undefined &&
    turn.customStatus === undefined
  );
}

/** The row of the instance after a turn. What is absent stays as it was. One shape for all: they are made by the thousand. */
function moveOf(turn: TurnCommit, visible: boolean): Move {
  const { key, execution, expectedEventId, ended, at } = turn;
  const stop = turn.blocked ?? turn.suspended;
  const last = stop === undefined ? turn.history[turn.history.length - 1] : undefined;
  const isFirst = last !== undefined && expectedEventId === 0;
  const isNext = last !== undefined && last.execution !== execution;
  const isOver = stop === undefined && ended !== undefined;
  return {
    key,
    execution,
    expectedEventId,
    lastEventId: last?.lastEventId,
    nextExecution: isNext ? last.execution : undefined,
    unsettled: turn.unsettled && !isOver,
    keep: turn.keep && !isOver && stop === undefined,
    at,
    visible,
    // Nothing has happened before its first history: what was pending is running now.
    status: isOver ? statuses.indexOf(ended.status) : isFirst ? running : undefined,
    begins: isFirst || isNext ? true : undefined,
    ended: isOver ? true : undefined,
    version: stop === undefined ? turn.version : undefined,
    customStatus: stop === undefined ? turn.customStatus : undefined,
    output: isOver ? ended.output : undefined,
    error: isOver ? ended.error : undefined,
    blocked: stop?.error,
    build: turn.blocked !== undefined ? blockedBuild(turn.blocked.buildId) : stop === undefined ? undefined : anyBuild,
  };
}

/** The executions that a turn leaves. */
function addClosed(parts: Parts, turn: TurnCommit): void {
  const { key: instance, execution: expectedExecution, expectedEventId, at } = turn;
  let { execution, expectedEventId: eventCount } = turn;
  let startedAt = expectedEventId === 0 ? at : undefined;
  for (const chunk of turn.history) {
    if (chunk.execution !== execution) {
      const expected = { instance, expectedEventId, expectedExecution };
      addPart(parts, "closed", { ...expected, execution, eventCount, startedAt, at });
      startedAt = at;
    }
    ({ execution, lastEventId: eventCount } = chunk);
  }
}
