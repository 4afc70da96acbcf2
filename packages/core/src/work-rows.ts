/**
 * Rows of work: what the store is told of an item so that it can hand it to whoever may do it.
 */
import { effectiveOptions } from "./activity-runner.ts";
import type { ActivityScheduled, LlmRequested } from "./events.ts";
import type { Job } from "./job.ts";
import type { ModelLines } from "./llm/model-lines.ts";
import { rankOf, type WorkItem } from "./messages.ts";
import type { Registry } from "./registry.ts";
import type { OutgoingWork } from "./storage-work.ts";
import type { PayloadSink, TextCodec } from "./text-codec.ts";

/** What rows are made with. */
export interface RowMeans {
  readonly codec: TextCodec;
  readonly registry: Registry;
  /** Absent where this worker makes no model calls. */
  readonly llm: { readonly lines: ModelLines } | undefined;
}

/** The row of an item, `attempts` starts of which are known. */
export function rowOf(item: WorkItem, attempts: number, means: RowMeans, sink?: PayloadSink): OutgoingWork {
  const { instanceId, execution, eventId, request, rootId } = item;
  const place =
    request.kind === "ActivityScheduled"
      ? routeOf(request, means)
      : (means.llm?.lines.placeOf(request, rankOf(item)) ?? placeless(request));
  return { instanceId, execution, eventId, ...place, body: means.codec.encode(item, rootId, sink), attempts };
}

/** The row of a job that has none. */
export function rowOfJob({ item, lastFailure }: Job, attempts: number, means: RowMeans): OutgoingWork {
  const failure = lastFailure && { failure: means.codec.encode(lastFailure, item.rootId) };
  return { ...rowOf(item, attempts, means), ...failure };
}

function routeOf(
  request: ActivityScheduled,
  { registry }: RowMeans,
): Pick<OutgoingWork, "name" | "tag" | "session"> & { readonly kind: "activity" } {
  const { name } = request;
  const definition = registry.activity(name);
  const { tag, session } = definition === undefined ? (request.options ?? {}) : effectiveOptions(definition, request);
  return { kind: "activity", name, ...(tag !== undefined && { tag }), ...(session !== undefined && { session }) };
}

/** Where a call stands that this worker has no models for. */
function placeless({ request }: LlmRequested): { readonly kind: "model"; readonly name: string } {
  return { kind: "model", name: request.model ?? "" };
}
