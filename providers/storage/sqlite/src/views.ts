/**
 * What people and their tools may look at with SQL. The views keep their names and columns from release to release; the
 * tables below them do not. Columns may be added at the end.
 *
 * Histories are chunks of JSON without an index by instance, so each view of events reads all of them: for reports, not
 * for the answer to a click.
 */
import { firstEnded, statuses } from "./statuses.ts";

const statusName = statuses.map((status, number) => `WHEN ${number} THEN '${status}'`).join(" ");

/** The request of each `kinds` with what became of it, one row for both. */
function answered(requested: string, ends: { readonly [kind: string]: string }, columns: string): string {
  const kinds = [requested, ...Object.keys(ends)].map((kind) => `'${kind}'`).join(", ");
  const status = Object.entries(ends).map(([kind, name]) => `WHEN '${kind}' THEN '${name}'`);
  const tried = Object.keys(ends).filter((kind) => !kind.endsWith("Cancelled"));
  return `SELECT instance_id, execution, coalesce(source, event_id) AS event_id,
      coalesce(max(CASE kind ${status.join(" ")} END), 'outstanding') AS status,
      max(at) FILTER (WHERE kind = '${requested}') AS requested_at,
      max(at) FILTER (WHERE kind <> '${requested}') AS ended_at,
      max(CASE WHEN kind IN (${tried.map((kind) => `'${kind}'`).join(", ")}) THEN coalesce(event ->> '$.attempts', 1) END) AS attempts,
      max(event ->> '$.error.code') AS error_code,
      ${columns}
    FROM stet_events WHERE kind IN (${kinds}) GROUP BY instance_id, execution, coalesce(source, event_id)`;
}

/** Of the attempts of one call that came to nothing. */
function wasted(sum: string): string {
  return `(SELECT ${sum} FROM json_each(event, '$.wasted'))`;
}

/** The statements that make them. */
export const viewsSql: string = `
  CREATE VIEW stet_instances AS
    SELECT i.id AS instance_id, coalesce(r.id, i.id) AS root_id, p.id AS parent_id, i.name AS orchestration, i.version,
      CASE WHEN i.blocked IS NOT NULL AND i.status < ${firstEnded} THEN 'blocked' ELSE CASE i.status ${statusName} END END AS status,
      i.execution, i.last_event_id, i.labels, i.created_at, i.updated_at, i.ended_at, i.owner AS worker_id
    FROM instances i LEFT JOIN instances r ON r.key = i.root LEFT JOIN instances p ON p.key = i.parent;

  CREATE VIEW stet_events AS
    SELECT i.id AS instance_id, h.execution, e.value ->> '$.id' AS event_id, e.value ->> '$.at' AS at,
      e.value ->> '$.kind' AS kind, e.value ->> '$.source' AS source, e.value AS event
    FROM history h CROSS JOIN instances i ON i.key = h.instance CROSS JOIN json_each(h.body) e;

  CREATE VIEW stet_activities AS
    ${answered(
      "ActivityScheduled",
      { ActivityCompleted: "completed", ActivityFailed: "failed", ActivityCancelled: "cancelled" },
      "max(event ->> '$.name') AS activity",
    )};

  CREATE VIEW stet_llm_calls AS
    ${answered(
      "LlmRequested",
      { LlmCompleted: "completed", LlmFailed: "failed", LlmCancelled: "cancelled" },
      `max(event ->> '$.operation') AS operation, max(event ->> '$.label') AS label, max(event ->> '$.model') AS model,
      max(event ->> '$.usage.inputTokens') AS input_tokens, max(event ->> '$.usage.outputTokens') AS output_tokens,
      max(event ->> '$.usage.cachedTokens') AS cached_tokens, max(event ->> '$.usage.reasoningTokens') AS reasoning_tokens,
      max(event ->> '$.error.details.kind') AS error_kind, max(event ->> '$.costUsd') AS cost_usd, coalesce(max(event ->> '$.cached'), 0) AS from_cache,
      coalesce(max(${wasted("sum(value ->> '$.usage.inputTokens')")}), 0) AS wasted_input_tokens,
      coalesce(max(${wasted("sum(value ->> '$.usage.outputTokens')")}), 0) AS wasted_output_tokens,
      max(${wasted("CASE count(*) WHEN count(value ->> '$.costUsd') THEN sum(value ->> '$.costUsd') END")}) AS wasted_cost_usd`,
    )};

  CREATE VIEW stet_waits AS
    SELECT i.id AS instance_id, w.execution, w.event_id, w.name, w.details, w.since, w.timeout_at
    FROM waits w JOIN instances i ON i.key = w.instance;

  CREATE VIEW stet_work AS
    SELECT i.id AS instance_id, w.execution, w.event_id, w.kind, w.name, w.tag, w.session, w.attempts,
      nullif(max(w.visible_at, 0), 0) AS not_before, w.owner AS worker_id
    FROM work w JOIN instances i ON i.key = w.instance;

  CREATE VIEW stet_workers AS
    SELECT w.key AS worker_id, w.name, w.host, w.pid, w.registered_at, w.heartbeat_at,
      (SELECT count(*) FROM instances i WHERE i.owner = w.key) AS instances,
      (SELECT count(*) FROM work k WHERE k.owner = w.key) AS work, w.busy
    FROM workers w;
`;
