/**
 * Work items as the store routes them.
 */
import type { RecordedActivityOptions } from "./events.ts";
import type { WorkItem } from "./messages.ts";
import type { OutgoingWork } from "./storage.ts";

/** The row of an item, `attempts` starts of which are known. `body` is the item as the codec wrote it. */
export function workRow(
  { instanceId, execution, eventId, request }: WorkItem,
  { tag, session }: Pick<RecordedActivityOptions, "tag" | "session">,
  attempts: number,
  body: string,
): OutgoingWork {
  return {
    instanceId,
    execution,
    eventId,
    kind: request.kind === "ActivityScheduled" ? "activity" : "model",
    name: request.kind === "ActivityScheduled" ? request.name : (request.request.model ?? ""),
    ...(tag !== undefined && { tag }),
    ...(session !== undefined && { session }),
    body,
    attempts,
  };
}
