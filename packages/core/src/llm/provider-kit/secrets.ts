/** Keeping secrets out of messages: servers and gateways like to repeat the key they refuse. */

/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

const shortest = 6;

/** What follows the name of a header or member that carries keys. */
const named =
  /\b(authorization|(?:x-)?api[-_]?key)(["']?\s*[:=]\s*["']?)(?!\[secret\]|bearer\b)(basic\s+)?[^\s"',}]+/gi;

/** User name and password in an address. */
const inAddress = /\/\/[^/@\s"']+:[^/@\s"']+@/g;

/** Hides `secrets`, and whatever looks like a key (`sk-...`), a bearer token, a header that holds one, or a password in an address. */
export function redactor(secrets: readonly string[]): Redact {
  const longestFirst = [...new Set(secrets)]
    .filter((secret) => secret.length >= shortest)
    .sort((a, b) => b.length - a.length);
  return (text) =>
    longestFirst
      .reduce((redacted, secret) => redacted.replaceAll(secret, "[secret]"), text)
      .replace(/\bsk-[\w*.-]{4,}/g, "[secret]")
      .replace(/\bBearer\s+(?!\[secret\])[^\s"',]+/gi, "Bearer [secret]")
      .replace(named, "$1$2[secret]")
      .replace(inAddress, "//[secret]@");
}
