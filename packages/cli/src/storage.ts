/** Which store a command works on: flag, environment, configuration, in this order. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigurationError, StorageError, type StorageProvider } from "@stet/core";
import type { StetConfig } from "./config.ts";

/** A store, and how it is called. */
export interface ChosenStorage {
  readonly storage: StorageProvider;
  /** Without passwords. */
  readonly name: string;
}

/** Who says which store. The first that says anything goes. */
export interface StorageChoice {
  readonly flag: string | undefined;
  readonly env: string | undefined;
  readonly config: StetConfig["storage"];
  readonly cwd: string;
  /** Whether a file that is not there is made. A typo must not look like an empty store. */
  readonly create: boolean;
}

/**
 * @throws ConfigurationError when nobody says which store, or nobody can read what is said.
 * @throws StorageError when a SQLite file is not there and must not be made.
 */
export async function chooseStorage({ flag, env, config, cwd, create }: StorageChoice): Promise<ChosenStorage> {
  const chosen = flag ?? env ?? config;
  if (chosen === undefined) {
    throw new ConfigurationError(
      "Expected a store to be named, got none: give --storage sqlite:FILE or --storage postgres://..., set STET_STORAGE, or name it in stet.config.ts",
    );
  }
  if (typeof chosen !== "string") return { storage: chosen, name: chosen.name };
  if (chosen.startsWith("sqlite:")) {
    const path = chosen.slice("sqlite:".length);
    const file = path === ":memory:" ? path : resolve(cwd, path);
    if (!create && !existsSync(file)) {
      throw new StorageError(`Expected ${chosen} to be a store, got no such file: ${file}`, false);
    }
    const { sqlite } = await import("@stet/sqlite");
    return { storage: sqlite(file), name: chosen };
  }
  if (/^postgres(ql)?:\/\//.test(chosen)) return postgresAt(chosen);
  throw new ConfigurationError(
    `Expected the store to be named sqlite:FILE or postgres://user@host/database, got ${withoutPassword(chosen)}`,
  );
}

async function postgresAt(address: string): Promise<ChosenStorage> {
  const name = withoutPassword(address);
  if (!URL.canParse(address)) {
    throw new ConfigurationError(`Expected the address of the store to be a url, got ${name}`);
  }
  const { postgres } = await import("@stet/postgres");
  return { storage: postgres({ url: address }), name };
}

function withoutPassword(address: string): string {
  return address.replace(/(:\/\/[^:/@]*):[^@]*@/, "$1:***@");
}
