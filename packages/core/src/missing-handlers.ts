/** What waits for code, a tag or models that no living worker has. It waits for as long as it takes. */
import type { StorageStats } from "./storage-admin.ts";
import type { Capabilities } from "./storage.ts";

/** What waits, and no living worker can run it. */
export interface MissingHandlers {
  /** `name` for instances whose version is still open, `name@version` for those that are pinned. */
  readonly orchestrations: readonly string[];
  readonly activities: readonly string[];
  /** Activities that some worker has, called with a tag that none of those has declared. */
  readonly tags: readonly { readonly activity: string; readonly tag: string }[];
  /** How many model calls wait although no worker was given an `llm`. */
  readonly modelCalls: number;
}

/** Holds what is needed against what living workers can do. */
export function missingHandlers(
  {
    neededOrchestrations,
    neededActivities,
    readyModelCalls,
  }: Pick<StorageStats, "neededOrchestrations" | "neededActivities" | "readyModelCalls">,
  workers: readonly Capabilities[],
): MissingHandlers {
  const orchestrations = new Set(workers.flatMap((worker) => worker.orchestrations));
  const having = (activity: string) => workers.filter(({ activities }) => activities.includes(activity));
  const unknown = neededActivities.filter(({ name }) => having(name).length === 0);
  return {
    orchestrations: neededOrchestrations.filter((name) => !orchestrations.has(name)),
    activities: [...new Set(unknown.map(({ name }) => name))],
    tags: neededActivities.flatMap(({ name, tag }) => {
      const able = having(name);
      const isMissing = tag !== undefined && able.length > 0 && !able.some(({ tags }) => tags.includes(tag));
      return isMissing ? [{ activity: name, tag }] : [];
    }),
    modelCalls: workers.some(({ models }) => models) ? 0 : readyModelCalls,
  };
}
