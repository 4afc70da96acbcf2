/** Kept answers as data, out of a store and into another. Keys of instances are a store's own, so their ids go instead. */
import type { Page, StoredAnswer } from "@stet/core";
import type { Database } from "./database.ts";
import { fromJson, toJson } from "./values.ts";

/** The verbs that carry answers. */
export interface CarriedAnswers {
  exportAnswers(query: { readonly limit: number; readonly cursor?: string }): Promise<Page<StoredAnswer>>;
  importAnswers(answers: readonly StoredAnswer[]): Promise<void>;
}

interface Row {
  readonly instance: number;
  readonly id: string | null;
  readonly execution: number;
  readonly digest: string;
  readonly body: string;
  readonly expires_at: number | null;
}

/** Binds them to a database. */
export function bindCarriedAnswers(db: Database): CarriedAnswers {
  const [answers, instances] = [db.table("answers"), db.table("instances")];
  const page = `SELECT a.instance, i.id, a.execution, a.digest, a.body, a.expires_at
    FROM ${answers} a LEFT JOIN ${instances} i ON i.key = a.instance
    WHERE (a.instance, a.execution, a.digest) > ($1, $2, $3) ORDER BY a.instance, a.execution, a.digest LIMIT $4`;
  // An instance that is deleted meanwhile is waited for, or waits.
  const put = `WITH here AS (SELECT key, id FROM ${instances}
      WHERE id IN (SELECT "instanceId" FROM json_to_recordset($1::json) AS r ("instanceId" text)) ORDER BY key FOR KEY SHARE)
    INSERT INTO ${answers} (instance, execution, digest, expires_at, body)
    SELECT coalesce(h.key, 0), coalesce(r.execution, 0), r.digest, r."expiresAt", r.body
    FROM json_to_recordset($1::json) AS r ("instanceId" text, execution integer, digest text, "expiresAt" bigint, body text)
    LEFT JOIN here h ON h.id = r."instanceId" WHERE r."instanceId" IS NULL OR h.key IS NOT NULL
    ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING`;
  return {
    async exportAnswers({ limit, cursor }) {
      const after = cursor === undefined ? [-1, 0, ""] : (fromJson(cursor) as [number, number, string]);
      const rows = await db.query<Row>(page, [...after, limit + 1]);
      const last = rows[limit - 1];
      return {
        rows: rows.slice(0, limit).map(answerOf),
        ...(rows.length > limit && { cursor: toJson([last!.instance, last!.execution, last!.digest]) }),
      };
    },
    async importAnswers(rows) {
      if (rows.length > 0) await db.query(put, [toJson(rows)]);
    },
  };
}

function answerOf({ id, execution, digest, body, expires_at }: Row): StoredAnswer {
  return {
    digest,
    ...(id !== null && { instanceId: id }),
    ...(execution > 0 && { execution }),
    body,
    ...(expires_at !== null && { expiresAt: expires_at }),
  };
}
