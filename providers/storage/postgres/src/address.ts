/**
 * Where to connect, and how. `pg` by itself lets a url win over whatever else it is given, even where the url says
 * nothing: a password that is a function would be lost, and the certificates of a service.
 */
import type { PoolConfig } from "pg";
import { parseIntoClientConfig } from "pg-connection-string";

/** For those who have nothing but one string. */
export function schemaOf(url: string | undefined): string | undefined {
  if (url === undefined || !URL.canParse(url)) return undefined; // `pg` takes other texts, too
  return new URL(url).searchParams.get("schema") ?? undefined;
}

/** The place that a url names, and everything else as `connection` has it before the url. */
export function addressed({ connectionString, ...connection }: PoolConfig, place?: string): PoolConfig {
  const url = place ?? connectionString;
  if (url === undefined) return connection;
  const { host, port, user, database, ...rest } = said(parseIntoClientConfig(url));
  return { ...rest, ...connection, ...said({ host, port, user, database }) };
}

function said(config: PoolConfig): PoolConfig {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== "" && value !== undefined));
}
