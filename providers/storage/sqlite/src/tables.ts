/** The rows of the tables as kysely sees them: what the reading side of the admin asks. `schema.ts` makes them. */
import { Kysely, SqliteDialect } from "kysely";
import type { Database } from "./database.ts";

interface InstancesTable {
  readonly key: number;
  readonly root: number | null;
  readonly parent: number | null;
  readonly owner: number | null;
  readonly status: number;
  readonly execution: number;
  readonly last_event_id: number;
  readonly created_at: number;
  readonly updated_at: number;
  readonly started_at: number | null;
  readonly id: string;
  readonly name: string;
  readonly version: string | null;
  readonly blocked: string | null;
  readonly labels: string | null;
  readonly custom_status: string | null;
  readonly error: string | null;
  readonly output: string | null;
}

interface ExecutionsTable {
  readonly instance: number;
  readonly execution: number;
  readonly event_count: number;
  readonly started_at: number;
  readonly updated_at: number;
}

interface WaitsTable {
  readonly instance: number;
  readonly execution: number;
  readonly event_id: number;
  readonly name: string;
  readonly details: string | null;
  readonly since: number;
  readonly timeout_at: number | null;
}

interface StateTable {
  readonly instance: number;
  readonly name: string;
  readonly value: string;
}

interface OutputsTable {
  readonly key: number;
  readonly instance: number;
  readonly at: number;
  readonly body: string;
}

interface MessagesTable {
  readonly key: number;
}

interface TimersTable {
  readonly fire_at: number;
}

interface WorkTable {
  readonly owner: number | null;
  readonly visible_at: number;
  readonly kind: "activity" | "model";
  readonly name: string;
  readonly tag: string | null;
}

interface WorkersTable {
  readonly key: number;
}

/** The tables that the admin side reads, with the columns it reads. */
export interface Tables {
  readonly instances: InstancesTable;
  readonly executions: ExecutionsTable;
  readonly waits: WaitsTable;
  readonly state: StateTable;
  readonly outputs: OutputsTable;
  readonly messages: MessagesTable;
  readonly timers: TimersTable;
  readonly work: WorkTable;
  readonly workers: WorkersTable;
}

/** Kysely over a connection that somebody else opened and closes. */
export function kyselyOver(db: Database): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: db }) });
}
