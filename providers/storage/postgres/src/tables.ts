/** The rows of the tables as kysely sees them: what the reading side of the admin asks. `schema.ts` makes them. */
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type Compilable,
} from "kysely";
import type { Database } from "./database.ts";
import { toText } from "./values.ts";

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
  readonly labels: Record<string, string> | null;
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
  readonly visible_at: number;
}

interface WorkTable {
  readonly owner: number | null;
  readonly visible_at: number;
  readonly kind: "activity" | "model";
  readonly name: string;
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
}

/** Kysely as a writer of statements, which somebody else runs. */
export function kyselyFor(schema: string): Kysely<Tables> {
  const dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
  return new Kysely<Tables>({ dialect }).withSchema(schema);
}

/** The rows of a statement that kysely wrote. */
export function rowsOf<Row>(db: Database, query: Compilable<Row>): Promise<Row[]> {
  const { sql, parameters } = query.compile();
  return db.query<Row>(sql, parameters.map(asValue));
}

function asValue(parameter: unknown): string | number | readonly (string | number)[] {
  if (typeof parameter === "string") return toText(parameter);
  if (Array.isArray(parameter))
    return parameter.map((each: string | number) => (typeof each === "string" ? toText(each) : each));
  return parameter as number;
}
