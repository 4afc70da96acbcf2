/**
 * SQLite's errors become {@link StorageError}s here and nowhere else, by their code and never by their text.
 */
import { StorageError, isStetError } from "@stet/core";

/** What passes by itself: somebody else holds the lock, or the disk may recover. */
const passing = /^SQLITE_(BUSY|LOCKED|IOERR|FULL|PROTOCOL|NOMEM|INTERRUPT)/;

const reasons: ReadonlyMap<string, string> = new Map([
  ["SQLITE_NOTADB", "it is no SQLite database"],
  ["SQLITE_CORRUPT", "it is damaged"],
  ["SQLITE_READONLY", "it cannot be written"],
  ["SQLITE_CANTOPEN", "it cannot be opened"],
  ["SQLITE_BUSY", "another process holds its lock"],
  ["SQLITE_FULL", "the disk is full"],
  ["SQLITE_IOERR", "the disk cannot be read or written"],
]);

/** The error code of SQLite, where `error` has one. Extended codes begin with the plain ones. */
function sqliteCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

/** Whether another connection holds the lock, or wrote since this transaction began to read. */
export function isBusy(error: unknown): boolean {
  return sqliteCode(error)?.startsWith("SQLITE_BUSY") ?? false;
}

/** Anything thrown in this package as what the seam promises, naming the file. */
export function toStorageError(error: unknown, path: string): Error {
  if (isStetError(error)) return error;
  const code = sqliteCode(error);
  const plain = code?.split("_", 2).join("_") ?? "";
  const text = error instanceof Error ? error.message : String(error);
  const reason = reasons.get(plain);
  const message = reason === undefined ? text : `${reason} (${text}, ${code})`;
  return new StorageError(`SQLite store ${path}: ${message}`, code !== undefined && passing.test(code), {
    cause: error,
    ...(code !== undefined && { details: { code } }),
  });
}

/** Trouble of our own finding that no retry cures. */
export function storageError(path: string, message: string): StorageError {
  return new StorageError(`SQLite store ${path}: ${message}`, false);
}
