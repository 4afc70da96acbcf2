/** The scope of a model call's cache as authors write it, checked and as history records it. */
import { durationMs } from "../duration.ts";
import { ConfigurationError } from "../errors.ts";
import type { RecordedCacheScope } from "../events.ts";
import { shown } from "../options.ts";
import type { CacheScope } from "./operations.ts";

/** @throws ConfigurationError when it is no scope, or a global one without a time. */
export function cacheScopeOf(cache: CacheScope | undefined, operation: string): RecordedCacheScope | undefined {
  if (cache === undefined || cache === "off") return undefined;
  if (cache === "execution" || cache === "instance") return cache;
  const { scope, ttl } = (cache ?? {}) as Partial<Exclude<CacheScope, string>>;
  if (scope !== "global" || ttl === undefined) {
    throw new ConfigurationError(
      `Expected cache of ctx.${operation} to be "off", "execution", "instance" or { scope: "global", ttl }, got ${shown(cache)}`,
    );
  }
  return { scope, ttlMs: durationMs(ttl, `ttl of the cache of ctx.${operation}`) };
}
