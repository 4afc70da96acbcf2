/** Kept answers as data, out of a store and into another. Keys of instances are a store's own, so their ids go instead. */
import type { Page, StoredAnswer } from "@stet/core";
import { limitMax, type Database } from "./database.ts";

/** The verbs that carry answers. */
export interface CarriedAnswers {
  exportAnswers(query: { readonly limit: number; readonly cursor?: string }): Page<StoredAnswer>;
  importAnswers(answers: readonly StoredAnswer[]): void;
}

interface Row {
  readonly key: number;
  readonly instanceId: string | null;
  readonly execution: number;
  readonly digest: string;
  readonly body: string;
  readonly expiresAt: number | null;
}

interface Putting {
  readonly instanceId: string | null;
  readonly execution: number;
  readonly digest: string;
  readonly body: string;
  readonly expiresAt: number | null;
}

/** Prepares them for a connection. */
export function prepareCarriedAnswers(db: Database): CarriedAnswers {
  const page = db.prepare<[{ readonly after: number; readonly max: number }], Row>(
    `SELECT a.key, i.id AS instanceId, a.execution, a.digest, a.body, a.expires_at AS expiresAt
     FROM answers a LEFT JOIN instances i ON i.key = a.instance WHERE a.key > :after ORDER BY a.key ${limitMax}`,
  );
  // Ignored like one that is kept already: an answer whose instance is not there, and so NULL.
  const put = db.prepare<[Putting]>(
    `INSERT OR IGNORE INTO answers (instance, execution, digest, expires_at, body)
     VALUES (iif(:instanceId IS NULL, 0, (SELECT key FROM instances WHERE id = :instanceId)),
       :execution, :digest, :expiresAt, :body)`,
  );
  const importAnswers = db.transaction((answers: readonly StoredAnswer[]) => {
    for (const { digest, instanceId = null, execution = 0, body, expiresAt = null } of answers) {
      put.run({ digest, instanceId, execution, body, expiresAt });
    }
  });
  return {
    exportAnswers({ limit, cursor }) {
      const rows = page.all({ after: Number(cursor ?? 0), max: limit + 1 });
      const last = rows[limit - 1];
      return { rows: rows.slice(0, limit).map(answerOf), ...(rows.length > limit && { cursor: `${last!.key}` }) };
    },
    importAnswers: (answers) => importAnswers.immediate(answers),
  };
}

function answerOf({ instanceId, execution, digest, body, expiresAt }: Row): StoredAnswer {
  return {
    digest,
    ...(instanceId !== null && { instanceId }),
    ...(execution > 0 && { execution }),
    body,
    ...(expiresAt !== null && { expiresAt }),
  };
}
