/**
 * Handing out turns. The inbox is read in its own order and each message asks its instance whether this worker may have
 * it, so instances that sleep, wait or have ended cost nothing. Half of a claim is kept for due timers: neither a flood
 * of messages nor a flood of timers holds up the other.
 *
 * A claim that finds only what its worker owns already writes nothing and takes no lock.
 */
import type { ClaimedTurn, InstanceKey, StoredMessage, TurnClaim, WorkerKey } from "@stet/core";
import { limitMax, readThenWrite, type Database } from "./database.ts";
import { anyBuild, blockedBuild, isRefusal } from "./schema.ts";
import { firstEnded } from "./statuses.ts";

interface MessageRow {
  readonly key: number;
  readonly instance: number;
  readonly owner: number | null;
  readonly at: number;
  readonly body: string;
}

interface TimerRow {
  readonly instance: number;
  readonly owner: number | null;
  readonly execution: number;
  readonly event_id: number;
  readonly fire_at: number;
  readonly body: string;
}

interface InstanceRow {
  readonly key: number;
  readonly id: string;
  readonly root_id: string | null;
  readonly name: string;
  readonly version: string | null;
  readonly execution: number;
  readonly last_event_id: number;
  readonly attempts: number;
  readonly unsettled: number;
}

/** What a claim hands out of one instance, and whether this worker has it already. */
interface Inbox {
  readonly isOwned: boolean;
  readonly messages: StoredMessage[];
}

/** The key of a timer in a claim, as `consumed` gives it back. Keys of messages are numbers. */
function timerKey(timer: Pick<TimerRow, "execution" | "event_id">): string {
  return `${timer.execution}.${timer.event_id}`;
}

interface ClaimBinding {
  readonly worker: WorkerKey;
  readonly handlers: string;
  readonly leave: string;
  readonly build: string;
  readonly now: number;
  readonly max: number;
}

const handler = "CASE WHEN i.version IS NULL THEN i.name ELSE i.name || '@' || i.version END";

/**
 * The instances that a claim may have, by a {@link ClaimBinding}.
 *
 * @param whenSuspended - What makes it worth to have one that is suspended.
 */
const mayHave = (whenSuspended: string): string => `i.status < ${firstEnded}
  AND (i.owner IS NULL OR i.owner = :worker)
  AND ${handler} IN (SELECT value FROM json_each(:handlers))
  AND (i.owner IS NOT NULL OR ${handler} NOT IN (SELECT value FROM json_each(:leave)))
  AND (i.blocked_builds IS NULL
    OR CASE i.blocked_builds WHEN '${anyBuild}' THEN ${whenSuspended} ELSE instr(i.blocked_builds, :build) = 0 END)`;

// CROSS JOIN keeps SQLite from turning the order of the loops around.
const messagesSql = `SELECT m.key, m.instance, i.owner, m.at, m.body
  FROM messages m CROSS JOIN instances i ON i.key = m.instance
  WHERE ${mayHave(`NOT ${isRefusal}`)} ORDER BY m.key ${limitMax}`;
const timersSql = `SELECT t.instance, i.owner, t.execution, t.event_id, t.fire_at, t.body
  FROM timers t CROSS JOIN instances i ON i.key = t.instance
  WHERE t.fire_at <= :now AND ${mayHave("1")} ORDER BY t.fire_at ${limitMax}`;
const forgottenSql = `SELECT i.key FROM instances i
  WHERE i.unsettled = 1 AND i.owner = :worker AND i.key NOT IN (SELECT value FROM json_each(:held)) AND ${mayHave("0")} ${limitMax}`;
const orphansSql = `SELECT i.key FROM instances i
  WHERE i.unsettled = 1 AND i.owner IS NULL AND ${mayHave("0")} ${limitMax}`;

/** Prepares `claimTurns` for a connection. */
export function prepareClaimTurns(db: Database): (claim: TurnClaim) => ClaimedTurn[] {
  const registered = db.prepare<[WorkerKey], number>("SELECT 1 FROM workers WHERE key = ?").pluck();
  const messages = db.prepare<[ClaimBinding], MessageRow>(messagesSql);
  const timers = db.prepare<[ClaimBinding], TimerRow>(timersSql);
  const orphans = db.prepare<[ClaimBinding], number>(orphansSql).pluck();
  const forgotten = db.prepare<[ClaimBinding & { readonly held: string }], number>(forgottenSql).pluck();
  const taken = `key, id, (SELECT r.id FROM instances r WHERE r.key = instances.root) AS root_id, name, version, execution,
    last_event_id, attempts, unsettled`;
  const own = db.prepare<[WorkerKey, InstanceKey], InstanceRow>(
    `UPDATE instances SET owner = ?, attempts = attempts + 1 WHERE key = ? RETURNING ${taken}`,
  );
  const owned = db.prepare<[InstanceKey], InstanceRow>(`SELECT ${taken} FROM instances WHERE key = ?`);

  return readThenWrite(db, (claim: TurnClaim) => {
    if (claim.max <= 0) return [];
    if (registered.get(claim.worker) === undefined) return []; // nobody would ever release what it took
    const binding: ClaimBinding = {
      worker: claim.worker,
      handlers: JSON.stringify(claim.orchestrations),
      leave: JSON.stringify(claim.leave ?? []),
      build: blockedBuild(claim.buildId),
      now: claim.now,
      max: claim.max,
    };
    const ready = messages.all(binding);
    const due = timers.all(binding);
    const dueKept = Math.min(due.length, Math.max(claim.max - ready.length, Math.floor(claim.max / 2)));
    const readyKept = Math.min(ready.length, claim.max - dueKept);

    const inboxes = new Map<number, Inbox>();
    const inboxOf = (key: number, owner: number | null): StoredMessage[] => {
      let inbox = inboxes.get(key);
      if (inbox === undefined) inboxes.set(key, (inbox = { isOwned: owner !== null, messages: [] }));
      return inbox.messages;
    };
    for (let i = 0; i < readyKept; i++) {
      const { key, instance, owner, at, body } = ready[i]!;
      inboxOf(instance, owner).push({ key, body, at, timer: false });
    }
    for (let i = 0; i < dueKept; i++) {
      const timer = due[i]!;
      const { instance, owner, body, fire_at: at } = timer;
      inboxOf(instance, owner).push({ key: timerKey(timer), body, at, timer: true });
    }
    // Orphans have no message that counts, but some must come through however full the inbox is.
    const room = Math.max(1, claim.max - readyKept - dueKept);
    for (const key of orphans.all({ ...binding, max: room })) inboxOf(key, null);
    if (claim.held !== undefined) {
      for (const key of forgotten.all({ ...binding, max: room, held: JSON.stringify(claim.held) }))
        inboxOf(key, binding.worker as number);
    }

    const turns: ClaimedTurn[] = [];
    for (const [key, { isOwned, messages }] of inboxes) {
      const row = (isOwned ? owned.get(key) : own.get(claim.worker, key))!;
      turns.push({
        key,
        instanceId: row.id,
        rootId: row.root_id ?? row.id,
        name: row.name,
        ...(row.version !== null && { version: row.version }),
        execution: row.execution,
        lastEventId: row.last_event_id,
        attempts: row.attempts,
        unsettled: row.unsettled === 1,
        messages,
      });
    }
    return turns;
  });
}
