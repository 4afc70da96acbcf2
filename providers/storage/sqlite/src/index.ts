/** The SQLite storage provider of Stet. */
export { sqlite, type SqliteOptions } from "./sqlite.ts";
