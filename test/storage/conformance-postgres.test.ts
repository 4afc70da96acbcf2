/**
 * The conformance suite of the storage seam on PostgreSQL. Making a schema takes longer than a test, so a store that
 * nobody uses any more is emptied and used again.
 */
import { after } from "node:test";
import type { StorageProvider } from "@stet/core";
import { testStorageProvider } from "@stet/testing";
import pg from "pg";
import { databaseUrl, dropSchemas, emptySchema, inSchema, newSchema } from "./postgres-database.ts";

const pool = new pg.Pool({ connectionString: databaseUrl(), max: 20 });
const schemaOf = new WeakMap<StorageProvider, string>();
const handles = new Map<string, number>();
/** Those of closed stores, oldest first. The last few may be opened again by their test. */
const idle: string[] = [];
const mayBeOpenedAgain = 3;

after(async () => {
  await dropSchemas([...handles.keys()]);
  await pool.end();
});

async function fresh(): Promise<StorageProvider> {
  const schema = idle.length > mayBeOpenedAgain ? idle.shift()! : newSchema();
  if (handles.has(schema)) await emptySchema(pool, schema);
  return handle(schema);
}

/** A handle that counts itself, so that the last to be closed gives its schema back. */
function handle(schema: string): StorageProvider {
  if (idle.includes(schema)) idle.splice(idle.indexOf(schema), 1);
  handles.set(schema, (handles.get(schema) ?? 0) + 1);
  const store = inSchema(schema, { pool });
  let opens = 0;
  const counted: StorageProvider = {
    ...store,
    open: async () => {
      opens++;
      await store.open();
    },
    close: async () => {
      await store.close();
      if (--opens > 0) return;
      const others = handles.get(schema)! - 1;
      handles.set(schema, others);
      if (others === 0) idle.push(schema);
    },
  };
  schemaOf.set(counted, schema);
  return counted;
}

testStorageProvider("postgres", fresh, { openSecond: (first) => handle(schemaOf.get(first)!) });
