/**
 * What a project says of itself in `stet.config.ts`, and how it is found: the file that `--config` names, else the one that
 * `STET_CONFIG` names, else the one in the folder of the command.
 */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigurationError, type RuntimeOptions, type StorageProvider } from "@stet/core";
import { importModule } from "./import-module.ts";

/** What `stet.config.ts` exports by default: the options of the project's runtime. */
export interface StetConfig extends Omit<RuntimeOptions, "storage"> {
  /** `"sqlite:FILE"`, `"postgres://..."`, or a storage provider. `--storage` and `STET_STORAGE` go before it. */
  readonly storage?: string | StorageProvider;
}

/**
 * The configuration of a project, checked by its type.
 *
 * @example
 * ```ts
 * const config = defineConfig({ storage: "sqlite:tickets.db", orchestrations: [handleTicket], activities: [refund] });
 * ```
 */
export function defineConfig(config: StetConfig): StetConfig {
  return config;
}

/** A configuration, and where it came from. */
export interface FoundConfig {
  readonly config: StetConfig;
  /** Absent when there is none. */
  readonly file?: string;
}

const names = ["stet.config.ts", "stet.config.mts", "stet.config.js", "stet.config.mjs"];

/** @throws ConfigurationError when the named file is not there or exports no configuration. */
export async function findConfig(named: string | undefined, cwd: string): Promise<FoundConfig> {
  const files = named === undefined ? names : [named];
  const file = files.map((name) => resolve(cwd, name)).find((path) => existsSync(path));
  if (file === undefined && named === undefined) return { config: {} };
  if (file === undefined) {
    throw new ConfigurationError(`Expected ${named} to be a configuration file, got no such file in ${cwd}`);
  }
  const { default: config } = (await load(file)) as { default?: unknown };
  if (typeof config !== "object" || config === null) {
    throw new ConfigurationError(
      `Expected ${file} to export a configuration by default, such as export default defineConfig({ ... }), got ${typeof config}`,
    );
  }
  return { config, file };
}

async function load(file: string): Promise<unknown> {
  try {
    return await importModule(file);
  } catch (error) {
    const { message, stack = message } = error instanceof Error ? error : new Error(String(error));
    throw new ConfigurationError(`Expected ${file} to load, got ${stack}`, { cause: error });
  }
}
