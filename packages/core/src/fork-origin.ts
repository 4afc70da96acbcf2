/**
 * What a fork has of its origin while it is replayed. The code of the events before the fork asked under the origin's
 * id, and must do so again each time; from the fork on it asks under its own.
 */
import type { ForkOrigin } from "./events.ts";

/** Under whose id the code runs after this delivery, unless under its own. */
export function originAt(deliveredId: number, fork: ForkOrigin | undefined): string | undefined {
  if (fork === undefined || deliveredId >= fork.atEvent) return undefined;
  return originAt(deliveredId, fork.forkedFrom) ?? fork.instanceId;
}

/** The instance that answers a request for a sub-orchestration: in a fork it may be another than the recorded one. */
export function childIdOf(fork: ForkOrigin | undefined, eventId: number, recordedId: string): string {
  return fork?.children?.[eventId] ?? recordedId;
}
