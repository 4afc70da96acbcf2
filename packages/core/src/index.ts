/** The public names of `@stet/core`, grouped by who needs them. */

// Vocabulary
export * from "./events.ts";
export * from "./messages.ts";
export * from "./errors.ts";
export type { Duration } from "./duration.ts";
export { canonicalHash, canonicalJson, samePayload, type Payload } from "./payload.ts";
export type * from "./llm/conversation.ts";

// Seams
export type * from "./storage.ts";
export type * from "./storage-admin.ts";
export type * from "./llm/provider.ts";
export type * from "./ports.ts";
