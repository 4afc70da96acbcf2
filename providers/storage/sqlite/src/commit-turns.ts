/**
 * Writing turns: the hottest code of the house. A plain turn of an owned instance is two statements, the update that
 * checks owner and position (S1) and the append; everything else is paid for by the turns that have it.
 */
import type { InstanceKey, TurnCommit, TurnOutcome, WorkerKey } from "@stet/core";
import type { Budgets } from "./budgets.ts";
import type { ChangeSet } from "./changes.ts";
import type { Database } from "./database.ts";
import type { Mail } from "./messages.ts";
import { prepareMove } from "./move-instance.ts";
import { prepareTurnParts } from "./turn-parts.ts";

type CommitTurns = (worker: WorkerKey, commits: readonly TurnCommit[], change: ChangeSet) => TurnOutcome[];

/** Prepares `commitTurns` for a connection. */
export function prepareCommitTurns(db: Database, mail: Mail, budgets: Budgets): CommitTurns {
  const idOf = db.prepare<[InstanceKey], string>("SELECT id FROM instances WHERE key = ?").pluck();
  const lastChunk = db.prepare<[], number | null>("SELECT max(key) FROM history").pluck();
  const instances = prepareMove(db);
  const parts = prepareTurnParts(db);

  const commit = (worker: WorkerKey, turn: TurnCommit, chunk: number, change: ChangeSet): TurnOutcome => {
    let id: string | undefined;
    let refused: readonly number[] = [];
    if (isPlain(turn)) {
      if (!instances.advance(worker, turn, chunk)) return "notOwner";
    } else {
      id = instances.move(worker, turn, chunk);
      if (id === undefined) return "notOwner";
    }
    if (turn.suspended !== undefined) budgets.reconsider(turn);
    else if (turn.blocked === undefined) {
      if (parts.write(turn)) id ??= idOf.get(turn.key)!;
      for (const start of turn.starts) mail.start(start, change);
      for (const message of turn.messages) mail.post(message, change);
      if (turn.budget !== undefined) refused = budgets.change(turn, change);
    }
    if (turn.timers.length > 0 || (!turn.keep && turn.ended === undefined)) change.turns = true;
    if (turn.work.length > 0) change.work = true;
    if (id !== undefined) {
      change.instances.push(id);
      if (turn.ended !== undefined) change.ended.push(id);
      if (turn.ended?.status === "completed") (change.completed ??= new Map()).set(id, turn.ended.output);
    }
    return refused.length === 0 ? "committed" : { refused };
  };

  const commitAll = db.transaction((worker: WorkerKey, commits: readonly TurnCommit[], change: ChangeSet) => {
    // The write lock is held, so nobody else gives out keys of chunks meanwhile.
    let chunk = (lastChunk.get() ?? 0) + 1;
    const outcomes: TurnOutcome[] = [];
    for (const turn of commits) {
      outcomes.push(commit(worker, turn, chunk, change));
      chunk += turn.history.length;
    }
    return outcomes;
  });
  return (worker, commits, change) => (commits.length === 0 ? [] : commitAll.immediate(worker, commits, change));
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
