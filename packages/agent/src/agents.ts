/**
 * How people reach running agents, through the store alone: what waits for them, and their decisions and words. The core
 * knows nothing of agents, so this is a door beside the client and not a member of it.
 */
import { type Client, type Payload, StetError } from "@stet/core";
import { type AgentWait, inboxName, type PendingApproval } from "./agent-wait.ts";
import { checkedNote, type InboxNote } from "./inbox.ts";

/** An action that waits for approval, and where. */
export interface Approval extends PendingApproval {
  readonly instanceId: string;
  /** The instance that began the tree: the agent above all agents. */
  readonly rootId: string;
  readonly agent: string;
  readonly iteration: number;
  /** What the agent had spent when it asked, in US dollars. */
  readonly costUsd: number;
}

/** A question that an agent waits to have answered: {@link Agents.send} answers it. */
export interface AgentQuestion {
  readonly instanceId: string;
  readonly rootId: string;
  readonly agent: string;
  readonly iteration: number;
  readonly actionId: string;
  readonly text: string;
  readonly since: number;
}

/** Which waits to list. Agents that wait for something else are passed over, so a page may hold fewer. */
export interface AgentWaitOptions {
  /** @default everywhere */
  readonly instanceId?: string;
  /** Agents on a page. @default 100 */
  readonly limit?: number;
  readonly cursor?: string;
}

/** Who decides. */
export interface DecisionOptions {
  /** The name of who decides. It goes into history, and counts once for a quorum. */
  readonly by: string;
  readonly reason?: string;
}

/** What waits for approval, and what is decided about it. */
export interface Approvals {
  /**
   * Actions that wait for approval.
   *
   * @example
   * ```ts
   * const { approvals } = await agents(client).approvals.list();
   * for (const { instanceId, actionId, tool, arguments: args, thought } of approvals) {
   *   console.log(instanceId, actionId, tool, args, thought);
   * }
   * ```
   */
  list(options?: AgentWaitOptions): Promise<{ readonly approvals: readonly Approval[]; readonly cursor?: string }>;
  /**
   * Approves of an action, also with other arguments: those who approved before have not seen them, so the count begins
   * anew.
   *
   * @throws ApprovalError when the action does not wait for approval: it is old, unknown, or decided.
   */
  approve(
    instanceId: string,
    actionId: string,
    decision: DecisionOptions & { readonly arguments?: Payload },
  ): Promise<void>;
  /** Rejects an action; one is enough. The model is told the reason. @throws ApprovalError as `approve` does. */
  reject(instanceId: string, actionId: string, decision: DecisionOptions): Promise<void>;
  /** Says that a person has done it instead, and what came of it. @throws ApprovalError as `approve` does. */
  takeOver(
    instanceId: string,
    actionId: string,
    decision: DecisionOptions & { readonly result: Payload },
  ): Promise<void>;
}

/** What people do with running agents. Each throws InstanceError when there is no such instance, or it has ended. */
export interface Agents {
  readonly approvals: Approvals;
  /** Questions that agents have asked with `askHuman` and that nobody has answered. */
  questions(
    options?: AgentWaitOptions,
  ): Promise<{ readonly questions: readonly AgentQuestion[]; readonly cursor?: string }>;
  /** Writes to an agent: the answer to its question, or something for its next iteration. It ends a `wait`. */
  send(instanceId: string, text: string, options?: { readonly by?: string }): Promise<void>;
  /** Gives it another goal. What waits for approval is withdrawn, and what has not run of the plan is not run. */
  changeGoal(instanceId: string, goal: string, options: { readonly by: string }): Promise<void>;
  /** Lets it finish what it is doing and then do nothing. Its time goes on. */
  pause(instanceId: string, options: { readonly by: string }): Promise<void>;
  resume(instanceId: string, options: { readonly by: string }): Promise<void>;
}

/** A decision about an action that does not wait for one. It has changed nothing. */
export class ApprovalError extends StetError {
  override name = "ApprovalError";
  constructor(message: string) {
    super("approval_not_open", message);
  }
}

/**
 * How people reach running agents, from anywhere that sees the store.
 *
 * @example
 * ```ts
 * const { approvals } = await agents(client).approvals.list();
 * for (const { instanceId, actionId } of approvals) {
 *   await agents(client).approvals.approve(instanceId, actionId, { by: "Grace" });
 * }
 * await agents(client).send("fix-17", "The customer has called again.", { by: "Ada" });
 * ```
 */
export function agents(client: Pick<Client, "pendingWaits" | "instance">): Agents {
  const tell = async (instanceId: string, note: InboxNote): Promise<void> =>
    client.instance(instanceId).raiseEvent(inboxName, checkedNote(note));

  const waiting = async ({ instanceId, limit, cursor }: AgentWaitOptions = {}) => {
    const { waits, cursor: next } = await client.pendingWaits({
      name: inboxName,
      ...(instanceId !== undefined && { instanceId }),
      ...(limit !== undefined && { limit }),
      ...(cursor !== undefined && { cursor }),
    });
    const found = waits.map(({ details, ...wait }) => ({ ...wait, ...(details as AgentWait) }));
    return { found, ...(next !== undefined && { cursor: next }) };
  };

  const list: Approvals["list"] = async (options) => {
    const { found, ...page } = await waiting(options);
    const approvals = found.flatMap(({ instanceId, rootId, agent, iteration, costUsd, approvals: asked = [] }) =>
      asked.map((approval) => ({ ...approval, instanceId, rootId, agent, iteration, costUsd })),
    );
    return { approvals, ...page };
  };

  const decide = async (instanceId: string, note: Extract<InboxNote, { kind: "decision" }>): Promise<void> => {
    const { approvals } = await list({ instanceId });
    if (!approvals.some(({ actionId }) => actionId === note.actionId)) {
      const open = approvals.map(({ actionId }) => actionId).join(", ");
      throw new ApprovalError(
        `Expected action ${note.actionId} of instance ${instanceId} to wait for approval, got ${open === "" ? "none that does" : `only ${open}`}: it was decided, has run out of time, or was never asked for`,
      );
    }
    await tell(instanceId, note);
  };

  return {
    approvals: {
      list,
      approve: (instanceId, actionId, decision) =>
        decide(instanceId, { kind: "decision", verdict: "approve", actionId, ...decision }),
      reject: (instanceId, actionId, decision) =>
        decide(instanceId, { kind: "decision", verdict: "reject", actionId, ...decision }),
      takeOver: (instanceId, actionId, decision) =>
        decide(instanceId, { kind: "decision", verdict: "takeOver", actionId, ...decision }),
    },
    questions: async (options) => {
      const { found, ...page } = await waiting(options);
      const questions = found.flatMap(({ instanceId, rootId, agent, iteration, since, question }) =>
        question === undefined ? [] : [{ instanceId, rootId, agent, iteration, since, ...question }],
      );
      return { questions, ...page };
    },
    send: (instanceId, text, { by } = {}) =>
      tell(instanceId, { kind: "message", text, ...(by !== undefined && { by }) }),
    changeGoal: (instanceId, goal, { by }) => tell(instanceId, { kind: "goal", goal, by }),
    pause: (instanceId, { by }) => tell(instanceId, { kind: "pause", by }),
    resume: (instanceId, { by }) => tell(instanceId, { kind: "resume", by }),
  };
}
