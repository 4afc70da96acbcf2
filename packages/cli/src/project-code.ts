/** The orchestrations of a project: those of its configuration, or what a module of new code exports. */
import { resolve } from "node:path";
import { type AnyOrchestration, ConfigurationError } from "@stet/core";
import { importModule } from "./import-module.ts";
import type { Session } from "./session.ts";

/**
 * @param module - A file whose exports are taken instead: orchestrations, lists of them, and a configuration.
 * @throws ConfigurationError when there are none.
 */
export async function orchestrationsOf(
  session: Session,
  module: string | undefined,
): Promise<readonly AnyOrchestration[]> {
  const { config, file } = module === undefined ? await session.config() : { config: {}, file: module };
  const found =
    module === undefined
      ? (config.orchestrations ?? [])
      : orchestrationsIn((await importModule(resolve(session.io.cwd, module))) as object);
  if (found.length > 0) return found;
  throw new ConfigurationError(
    `Expected ${file ?? "stet.config.ts"} to have orchestrations, got none: name the module that exports them with --module`,
  );
}

/** Whatever a module exports that is an orchestration, or holds some. */
function orchestrationsIn(exported: object): AnyOrchestration[] {
  const values: unknown[] = Object.values(exported);
  const held = values.flatMap((value) => [value, (value as { orchestrations?: unknown } | null)?.orchestrations]);
  return [...new Set(held.flat())].filter(isOrchestration);
}

function isOrchestration(value: unknown): value is AnyOrchestration {
  return typeof value === "object" && value !== null && (value as Partial<AnyOrchestration>).kind === "orchestration";
}
