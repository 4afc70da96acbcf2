/** The PostgreSQL storage provider of Stet. */
export { postgres, type PostgresOptions } from "./postgres.ts";
