/**
 * The public names of `@stet/core/provider-kit`: what LLM providers have in common, for whoever writes one. See
 * `docs/models.md`.
 */

// Calling
export { callVendor, type Vendor, type VendorCall } from "./llm/provider-kit/vendor-call.ts";
export { headerText, serverAddress } from "./llm/provider-kit/address.ts";
export { durationMs } from "./duration.ts";

// Asking
export { withFormatInWords } from "./llm/provider-kit/json-instruction.ts";
export { intoEnvelope, needsEnvelope, outOfEnvelope } from "./llm/provider-kit/envelope.ts";
export { wireName } from "./llm/provider-kit/wire-name.ts";

// Reading
export { countOf, itemsOf, member, textOf } from "./llm/provider-kit/json-reading.ts";
export { type Heard, type HeardToolCall, toResponse } from "./llm/provider-kit/heard.ts";
export { type Embedded, toEmbedded } from "./llm/provider-kit/vectors.ts";

// Failing
export { type ErrorAnswer, errorAnswer, kindOfStatus, noAnswer, withUsage } from "./llm/provider-kit/failures.ts";
export { type Redact, redactor } from "./llm/provider-kit/secrets.ts";
