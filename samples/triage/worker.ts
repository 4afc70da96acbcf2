/**
 * The worker: a process that looks after all tickets. Started on a database that an earlier worker left behind, it does
 * what it does on an empty one; the difference is in the database alone.
 *
 * Arguments: the database, the tally, the payments, and the file or folder with the tickets.
 */
import { type Logger, Runtime } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { decide } from "./approver.ts";
import { chooseModel } from "./model.ts";
import { keepPaymentsIn } from "./shop.ts";
import { tallied } from "./tally.ts";
import { instanceIdOf, readTickets } from "./tickets.ts";
import { activities, triage } from "./triage.ts";

/** Tickets come in one after another. */
const betweenTicketsMs = 120;
/** How long a person takes to approve. */
const thinkingMs = 1200;

const [database = "", tally = "", payments = "", path = ""] = process.argv.slice(2);

// A worker whose parent is gone has nobody to work for.
process.on("disconnect", () => process.exit(1));
const tell = (message: string) => process.send?.(message);
const logger: Logger = { debug: () => {}, info: () => {}, warn: tell, error: tell };

keepPaymentsIn(payments);
const runtime = await Runtime.start({
  storage: sqlite(database),
  llm: tallied(chooseModel(), tally),
  orchestrations: [triage],
  activities,
  logger,
});

const office = new AbortController();
const approving = answerApprovals(office.signal);

const endings: Promise<boolean>[] = [];
for (const ticket of readTickets(path)) {
  // "attach" makes this line safe to repeat: a ticket that is already looked after is left alone.
  const instance = await runtime.startOrchestration(triage, ticket, {
    instanceId: instanceIdOf(ticket),
    ifExists: "attach",
  });
  endings.push(
    instance.result().then(
      () => true,
      () => false,
    ),
  );
  await sleep(betweenTicketsMs);
}
const allWell = (await Promise.all(endings)).every((well) => well);
office.abort();
await approving;
await runtime.shutdown();
process.exit(allWell ? 0 : 1);

/** Plays the person: looks at what waits for an approval, thinks, answers. */
async function answerApprovals(closed: AbortSignal): Promise<void> {
  const answered = new Set<string>();
  while (!closed.aborted) {
    const { waits } = await runtime.client.pendingWaits({ name: "approval" });
    for (const { instanceId, eventId, details, since } of waits) {
      const idempotencyKey = `approval of ${instanceId}, event ${eventId}`;
      if (answered.has(idempotencyKey) || Date.now() - since < thinkingMs) continue;
      answered.add(idempotencyKey);
      // Should the answer of an earlier worker be on its way already, the key lets this one be dropped.
      await runtime.instance(instanceId).raiseEvent("approval", decide(details), { idempotencyKey });
    }
    await sleep(100);
  }
}
