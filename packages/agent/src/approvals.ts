/**
 * Waiting for people to decide about actions. All actions of a plan that need it are asked for together; each is decided
 * by itself, and only then does anything of the plan run.
 */
import type { Payload } from "@stet/core";
import type { PendingApproval } from "./agent-wait.ts";
import { type Decision, heed, nextNote } from "./inbox.ts";
import { type Run, stand, tell } from "./run.ts";

/** What was decided. */
export type Decided =
  | { readonly verdict: "approved"; readonly arguments: Payload; readonly by: readonly string[] }
  | { readonly verdict: "rejected"; readonly why: string }
  | { readonly verdict: "takenOver"; readonly by: string; readonly result: Payload };

/** What is wrong with arguments that somebody would have an action run with, if anything. */
export type CheckArguments = (actionId: string, edited: Payload) => string | undefined;

/** Waits until each has been decided. */
export async function decisionsOn(
  run: Run,
  asked: readonly PendingApproval[],
  checkArguments: CheckArguments,
): Promise<ReadonlyMap<string, Decided>> {
  const pending = new Map(asked.map((approval) => [approval.actionId, approval]));
  const decided = new Map<string, Decided>();
  const settle = (actionId: string, outcome: Decided): void => {
    pending.delete(actionId);
    decided.set(actionId, outcome);
  };
  for (const { actionId, tool, why } of asked) tell(run, { kind: "awaited", actionId, tool, why });
  while (pending.size > 0) {
    stand(run, "waiting for approval");
    const note = await nextNote(run, { approvals: [...pending.values()] }, earliest([...pending.values()]));
    if (note === "late") {
      for (const { actionId, expiresAt = Infinity } of pending.values()) {
        if (expiresAt > run.ctx.now()) continue;
        settle(actionId, { verdict: "rejected", why: "nobody decided about it in time" });
        tell(run, { kind: "decided", actionId, decision: "expired", by: "nobody" });
      }
    } else if (note.kind === "decision") {
      const approval = pending.get(note.actionId);
      const next = approval === undefined ? undefined : decide(approval, note, checkArguments);
      if (next === undefined) heed(run, note);
      else if ("actionId" in next) pending.set(next.actionId, next);
      else settle(note.actionId, next);
      if (next !== undefined) tellDecision(run, note, next);
    } else {
      heed(run, note);
      if (note.kind !== "goal") continue;
      for (const actionId of pending.keys()) {
        settle(actionId, { verdict: "rejected", why: "the goal was changed before it was decided" });
      }
    }
  }
  stand(run, "acting");
  return decided;
}

/** What a decision makes of an action that waits for one. */
function decide(
  approval: PendingApproval,
  decision: Decision,
  checkArguments: CheckArguments,
): Decided | PendingApproval {
  const { by, reason } = decision;
  if (decision.verdict === "reject") {
    return { verdict: "rejected", why: `${by} rejected it${reason === undefined ? "" : `: ${reason}`}` };
  }
  if (decision.verdict === "takeOver") return { verdict: "takenOver", by, result: decision.result ?? null };
  const { arguments: edited } = decision;
  const problem = edited === undefined ? undefined : checkArguments(approval.actionId, edited);
  if (problem !== undefined) return { ...approval, problem: `the arguments of ${by} cannot be used: ${problem}` };
  // Who approved before has not seen the new arguments.
  const before = edited === undefined ? approval.approvedBy.filter((other) => other !== by) : [];
  const { problem: _solved, ...rest } = approval;
  const next = { ...rest, arguments: edited ?? approval.arguments, approvedBy: [...before, by] };
  if (next.approvedBy.length < approval.quorum) return next;
  return { verdict: "approved", arguments: next.arguments, by: next.approvedBy };
}

function tellDecision(run: Run, { actionId, verdict, by, reason }: Decision, next: Decided | PendingApproval): void {
  const problem = "actionId" in next ? next.problem : undefined;
  if (problem !== undefined) return tell(run, { kind: "ignored", why: problem });
  tell(run, { kind: "decided", actionId, decision: verdict, by, ...(reason !== undefined && { reason }) });
}

function earliest(pending: readonly PendingApproval[]): number | undefined {
  const ends = pending.flatMap(({ expiresAt }) => expiresAt ?? []);
  return ends.length === 0 ? undefined : Math.min(...ends);
}
