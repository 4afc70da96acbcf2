/** Stores on which several workers of one process are tried, in virtual time: SQLite in memory, and a schema of PostgreSQL. */
import { after } from "node:test";
import type { StorageProvider } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { dropSchemas, inSchema, newSchema } from "../storage/postgres-database.ts";

const schemas: string[] = [];

// Not by a hook of a test: those run in the order in which they were put up, and what uses the schema is closed later.
after(() => (schemas.length === 0 ? undefined : dropSchemas(schemas)));

/** A new store of each kind. */
export const kindsOfStores: { readonly [kind: string]: () => StorageProvider } = {
  sqlite: () => sqlite(":memory:"),
  postgres() {
    const schema = newSchema();
    schemas.push(schema);
    return inSchema(schema);
  },
};
