/**
 * PostgreSQL's errors become {@link StorageError}s here and nowhere else, by their SQLSTATE and never by their text.
 */
import { StorageError, isStetError } from "@stet/core";

/** The statement has changed nothing and may be made again at once. */
const repeatable = new Set([
  "40001", // serialization_failure
  "40P01", // deadlock_detected
]);

/** What passes by itself, or when somebody sees to the server. */
const passing = new RegExp(
  [
    "^(08|53|57)", // connection, resources, operator intervention
    "^58", // the system around the server
    "^40", // rolled back
    "^55P03$", // lock_not_available
    "^55000$", // a database that lets nobody in for a while
    "^25006$", // read_only_sql_transaction: a standby that may be promoted
    "^0A000$", // a plan that somebody changed the table of
    "^XX000$", // internal_error
  ].join("|"),
);

const reasons: ReadonlyMap<string, string> = new Map([
  ["28P01", "the password was refused"],
  ["28000", "the user was refused"],
  ["3D000", "the database does not exist"],
  ["42501", "the user lacks a privilege"],
  ["53100", "the disk is full"],
  ["53300", "it has too many connections"],
  ["55000", "the database lets nobody in"],
  ["57014", "the statement took too long"],
  ["57P01", "the server is shutting down"],
  ["57P03", "the server is starting or shutting down"],
  ["25006", "it cannot be written: this is a standby or a read-only session"],
]);

const sqlState = /^[0-9A-Z]{5}$/;

/** The SQLSTATE, where the server has answered. */
function sqlStateOf(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === "string" && typeof severity === "string" && sqlState.test(code) ? code : undefined;
}

/** Whether another transaction was in the way and this one has changed nothing. */
export function isRepeatable(error: unknown): boolean {
  return repeatable.has(sqlStateOf(error) ?? "");
}

/** Whether a row with the same key is there already. */
export function isTaken(error: unknown): boolean {
  return sqlStateOf(error) === "23505";
}

/** Anything thrown in this package as what the seam promises, naming the store. */
export function toStorageError(error: unknown, store: string): Error {
  if (isStetError(error)) return error;
  const text = error instanceof Error && error.message !== "" ? error.message : String(error);
  const state = sqlStateOf(error);
  if (state === undefined) {
    const code = (error as { readonly code?: unknown } | undefined)?.code;
    return new StorageError(`PostgreSQL store ${store}: ${text}`, !(error instanceof TypeError), {
      cause: error,
      ...(typeof code === "string" && { details: { code } }),
    });
  }
  const reason = reasons.get(state);
  const message = reason === undefined ? `${text} (${state})` : `${reason} (${text}, ${state})`;
  return new StorageError(`PostgreSQL store ${store}: ${message}`, passing.test(state), {
    cause: error,
    details: { code: state },
  });
}

/** Trouble of our own finding that no retry cures. */
export function storageError(store: string, message: string): StorageError {
  return new StorageError(`PostgreSQL store ${store}: ${message}`, false);
}
