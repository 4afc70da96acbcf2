/**
 * The last door before a failed call is recorded, retried or told: nothing that looks like a key goes through, whatever a
 * provider has put into its error.
 */
import { type Failure, fromFailure, type StetError, toFailure } from "../errors.ts";
import type { Payload } from "../payload.ts";
import { redactor } from "./provider-kit/secrets.ts";

const redact = redactor([]);

/** The error without what looks like a key, in its message, its details and its causes. */
export function withoutSecrets(thrown: unknown): StetError {
  return fromFailure(cleaned(toFailure(thrown)));
}

function cleaned({ message, details, cause, ...rest }: Failure): Failure {
  return {
    ...rest,
    message: redact(message),
    ...(details !== undefined && { details: cleanedDetails(details) }),
    ...(cause !== undefined && { cause: cleaned(cause) }),
  };
}

/** Through its text, so that the name of a member and its value are seen together. */
function cleanedDetails(details: Payload): Payload {
  try {
    return JSON.parse(redact(JSON.stringify(details))) as Payload;
  } catch {
    return "[secret]"; // a key that could not be taken out without breaking the rest
  }
}
