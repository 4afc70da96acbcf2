/**
 * What people and their tools may look at with SQL. The views keep their names and columns from release to release; the
 * tables below them do not. Columns may be added at the end. They say what those of the SQLite provider say.
 *
 * An instance is found in the views of events by the key of the history; whatever else is asked reads all of it.
 */

/** States as {@link statuses} of the schema has them. */
export interface States {
  readonly statuses: readonly string[];
  readonly firstEnded: number;
}

/** jsonb holds neither NUL nor half a surrogate pair, which is all that JavaScript leaves escaped. */
const readable = String.raw`CASE WHEN strpos(h.body, '\u') = 0 THEN h.body
  ELSE regexp_replace(h.body, '(?<!\\)((?:\\\\)*)\\u(0000|d[89a-f][0-9a-f]{2})', '\1\\ufffd', 'gi') END::jsonb`;

/** The request of each `kinds` with what became of it, one row for both. */
function answered(requested: string, ends: { readonly [kind: string]: string }, columns: string): string {
  const kinds = [requested, ...Object.keys(ends)].map((kind) => `'${kind}'`).join(", ");
  const status = Object.entries(ends).map(([kind, name]) => `WHEN '${kind}' THEN '${name}'`);
  const tried = Object.keys(ends).filter((kind) => !kind.endsWith("Cancelled"));
  return `SELECT instance_id, execution, coalesce(source, event_id) AS event_id,
      coalesce(max(CASE kind ${status.join(" ")} END), 'outstanding') AS status,
      max(at) FILTER (WHERE kind = '${requested}') AS requested_at,
      max(at) FILTER (WHERE kind <> '${requested}') AS ended_at,
      max(coalesce((event ->> 'attempts')::integer, 1))
        FILTER (WHERE kind IN (${tried.map((kind) => `'${kind}'`).join(", ")})) AS attempts,
      max(event #>> '{error,code}') AS error_code,
      ${columns}
    FROM stet_events WHERE kind IN (${kinds}) GROUP BY instance_id, execution, coalesce(source, event_id)`;
}

function tokens(kind: string): string {
  return `max((event #>> '{usage,${kind}Tokens}')::bigint) AS ${kind}_tokens`;
}

/** Of the attempts of one call that came to nothing. */
function wasted(sum: string): string {
  return `(SELECT ${sum} FROM jsonb_array_elements(event -> 'wasted') w)`;
}

function wastedTokens(kind: string): string {
  return `coalesce(max(${wasted(`sum((w #>> '{usage,${kind}Tokens}')::bigint)`)}), 0)::bigint AS wasted_${kind}_tokens`;
}

/** The statements that make them. */
export function viewsSql({ statuses, firstEnded }: States): string {
  const statusName = statuses.map((status, number) => `WHEN ${number} THEN '${status}'`).join(" ");
  return `
  CREATE VIEW stet_instances AS
    SELECT i.id AS instance_id, coalesce(r.id, i.id) AS root_id, p.id AS parent_id, i.name AS orchestration, i.version,
      CASE WHEN i.blocked IS NOT NULL AND i.status < ${firstEnded} THEN 'blocked' ELSE CASE i.status ${statusName} END END AS status,
      i.execution, i.last_event_id, i.labels, i.created_at, i.updated_at, i.ended_at, i.owner AS worker_id
    FROM instances i LEFT JOIN instances r ON r.key = i.root LEFT JOIN instances p ON p.key = i.parent;

  CREATE VIEW stet_events AS
    SELECT i.id AS instance_id, h.execution, (e.event ->> 'id')::integer AS event_id, (e.event ->> 'at')::bigint AS at,
      e.event ->> 'kind' AS kind, (e.event ->> 'source')::integer AS source, e.event
    FROM history h JOIN instances i ON i.key = h.instance
    CROSS JOIN LATERAL jsonb_array_elements(${readable}) AS e (event);

  CREATE VIEW stet_activities AS
    ${answered(
      "ActivityScheduled",
      { ActivityCompleted: "completed", ActivityFailed: "failed", ActivityCancelled: "cancelled" },
      "max(event ->> 'name') AS activity",
    )};

  CREATE VIEW stet_llm_calls AS
    ${answered(
      "LlmRequested",
      { LlmCompleted: "completed", LlmFailed: "failed", LlmCancelled: "cancelled" },
      `max(event ->> 'operation') AS operation, max(event ->> 'label') AS label, max(event ->> 'model') AS model,
      ${["input", "output", "cached", "reasoning"].map(tokens).join(", ")},
      max(event #>> '{error,details,kind}') AS error_kind, max((event ->> 'costUsd')::double precision) AS cost_usd,
      coalesce(max((event ->> 'cached')::boolean::integer), 0) AS from_cache,
      ${["input", "output"].map(wastedTokens).join(", ")},
      max(${wasted("CASE count(*) WHEN count(w ->> 'costUsd') THEN sum((w ->> 'costUsd')::double precision) END")}) AS wasted_cost_usd`,
    )};

  CREATE VIEW stet_waits AS
    SELECT i.id AS instance_id, w.execution, w.event_id, w.name, w.details, w.since, w.timeout_at
    FROM waits w JOIN instances i ON i.key = w.instance;

  CREATE VIEW stet_work AS
    SELECT i.id AS instance_id, w.execution, w.event_id, w.kind, w.name, w.tag, w.session, w.attempts,
      nullif(greatest(w.visible_at, 0), 0) AS not_before, w.owner AS worker_id
    FROM work w JOIN instances i ON i.key = w.instance;

  CREATE VIEW stet_workers AS
    SELECT w.key AS worker_id, w.name, w.host, w.pid, w.registered_at, w.heartbeat_at,
      (SELECT count(*) FROM instances i WHERE i.owner = w.key) AS instances,
      (SELECT count(*) FROM work k WHERE k.owner = w.key) AS work, w.busy
    FROM workers w;
`;
}
