/** What people decide on the command line: an action of an agent, or an event that an orchestration waits for. */
import { agents } from "@stet/agent";
import { type Client, ConfigurationError } from "@stet/core";

/** A decision, and who takes it. */
export interface Decision {
  readonly approved: boolean;
  readonly by: string;
  readonly reason?: string;
  /** Which of several that wait: the id of an agent's action, or the name of an event. */
  readonly about?: string;
}

/**
 * Tells an instance. An agent is told about one of its actions; any other orchestration gets the event that it waits for,
 * with `{ approved, by, reason }`. Answers what was decided about.
 *
 * @throws InstanceError when there is no such instance.
 * @throws ConfigurationError when nothing waits there for a decision, or several do and none was named.
 */
export async function decide(client: Client, instanceId: string, { about, ...decision }: Decision): Promise<string> {
  const { approved, ...who } = decision;
  const { approvals } = agents(client);
  const asked = (await approvals.list({ instanceId })).approvals.map(({ actionId }) => actionId);
  if (asked.length > 0) {
    const action = theOne(asked, about, instanceId);
    await (approved ? approvals.approve(instanceId, action, who) : approvals.reject(instanceId, action, who));
    return action;
  }
  const { waits } = await client.pendingWaits({ instanceId });
  const event = theOne(
    waits.map(({ name }) => name),
    about,
    instanceId,
  );
  await client.instance(instanceId).raiseEvent(event, decision);
  return event;
}

function theOne(waiting: readonly string[], named: string | undefined, instanceId: string): string {
  const [only, another] = waiting;
  if (named === undefined && only !== undefined && another === undefined) return only;
  if (named !== undefined && waiting.includes(named)) return named;
  const found = waiting.length === 0 ? "nothing" : waiting.join(", ");
  throw new ConfigurationError(
    named === undefined && waiting.length > 1
      ? `Expected instance ${instanceId} to wait for one decision, got ${found}: name one`
      : `Expected instance ${instanceId} to wait for ${named ?? "a decision"}, got ${found}`,
  );
}
