/** What the turns of a batch have in common, as far as this worker's registry tells it. */
import { effectiveOptions } from "./activity-runner.ts";
import type { Registry } from "./registry.ts";
import type { TurnTerms } from "./turn.ts";

/** The terms of a batch. */
export function termsAt(at: number, registry: Registry): TurnTerms {
  return {
    at,
    totalTimeoutMs(request) {
      const definition = registry.activity(request.name);
      return (definition === undefined ? request.options : effectiveOptions(definition, request))?.totalTimeoutMs;
    },
    nextVersion: ({ name, version }, asked) => asked ?? registry.orchestration(name)?.version ?? version,
  };
}
