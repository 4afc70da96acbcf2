/** Stores that commands are tried on: a file of SQLite, and a schema of PostgreSQL that nobody has used before. */
import { join } from "node:path";
import { after } from "node:test";
import type { StorageProvider } from "@stet/core";
import { postgres } from "@stet/postgres";
import { sqlite } from "@stet/sqlite";
import { newFolder } from "../runtime/world.ts";
import { databaseUrl, dropSchemas, newSchema } from "../storage/postgres-database.ts";

const schemas: string[] = [];

// Not by a hook of a test: those run in the order in which they were put up, and what uses the schema is closed later.
after(() => (schemas.length === 0 ? undefined : dropSchemas(schemas)));

/** A store by its address, and for a runtime in the process of the test. */
export interface Store {
  readonly address: string;
  readonly open: () => StorageProvider;
}

/** A new file. */
export function sqliteStore(): Store {
  const file = join(newFolder(), "app.db");
  return { address: `sqlite:${file}`, open: () => sqlite(file) };
}

/** A new schema. */
function postgresStore(): Store {
  const schema = newSchema();
  schemas.push(schema);
  const url = new URL(databaseUrl());
  url.searchParams.set("schema", schema);
  return { address: url.href, open: () => postgres({ url: databaseUrl(), schema }) };
}

/** A new store of each kind. */
export const kindsOfStores: { readonly [kind: string]: () => Store } = {
  sqlite: sqliteStore,
  postgres: postgresStore,
};
