/** Keeping secrets out of messages: servers and gateways like to repeat the key they refuse. */

/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

const shortest = 6;

/** Hides `secrets`, and whatever looks like a key (`sk-...`) or a bearer token, whosever it is. */
export function redactor(secrets: readonly string[]): Redact {
  const longestFirst = [...new Set(secrets)]
    .filter((secret) => secret.length >= shortest)
    .sort((a, b) => b.length - a.length);
  return (text) =>
    longestFirst
      .reduce((redacted, secret) => redacted.replaceAll(secret, "[secret]"), text)
      .replace(/\bsk-[\w*.-]{4,}/g, "[secret]")
      .replace(/\bBearer\s+(?!\[secret\])[^\s"',]+/gi, "Bearer [secret]");
}
