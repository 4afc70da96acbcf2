/**
 * What instances have used, read from their histories. An execution begins with the usage of those before it, so only the
 * last one of each instance is read, and pruning old executions loses nothing.
 */
import { HistoryCorruptError } from "./errors.ts";
import { type HistoryEvent, isDelivery, type LlmRequested } from "./events.ts";
import type { UsageRow } from "./llm/usage.ts";
import { Recollection } from "./recollection.ts";
import type { InstanceRecord, StorageAdmin } from "./storage-admin.ts";

/** The rows of one instance. */
export async function usageOf(record: InstanceRecord, admin: StorageAdmin): Promise<readonly UsageRow[]> {
  const { instanceId } = record;
  for (let execution = record.execution; execution >= 1; execution--) {
    const chunks = await admin.readHistory(instanceId, execution);
    if (chunks.length > 0) return usageIn(chunks.flatMap((chunk) => eventsOf(chunk, instanceId)));
  }
  return [];
}

/** Usage of one history, with what was carried into it. */
function usageIn(events: readonly HistoryEvent[]): readonly UsageRow[] {
  const past = new Recollection();
  const requests = new Map<number, HistoryEvent & LlmRequested>();
  for (const event of events) {
    if (event.kind === "LlmRequested") requests.set(event.id, event);
    else if (isDelivery(event)) past.add(event, "source" in event ? requests.get(event.source) : undefined);
  }
  return past.usage.rows;
}

/** The events of a chunk. What is read of them is never sealed nor put aside. */
function eventsOf(chunk: string, instanceId: string): HistoryEvent[] {
  try {
    return JSON.parse(chunk) as HistoryEvent[];
  } catch (cause) {
    throw new HistoryCorruptError(`Expected the history of instance ${instanceId} to be JSON, got something else`, {
      cause,
    });
  }
}
