/**
 * A payload codec that encrypts with AES-256-GCM. Each text gets its own random nonce and is bound to the scope it is
 * stored under, so a sealed text can neither be changed nor moved to another instance.
 *
 * A sealed text is `keyId.nonce.tag.ciphertext`, the last three in base64url. Equal texts are found again by an HMAC
 * under a key of its own (SHA-256), which reveals nothing without the key.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { ConfigurationError, StetError } from "./errors.ts";
import { assertOptions, shown } from "./options.ts";
import type { PayloadCodec } from "./ports.ts";

/** Keys of the codec. */
export interface AesGcmOptions {
  /** The key that seals, by id: 32 bytes. */
  readonly key: { readonly id: string; readonly secret: Uint8Array };
  /** Keys that sealed before, so that what they sealed can still be opened. */
  readonly formerKeys?: readonly { readonly id: string; readonly secret: Uint8Array }[];
}

/**
 * Encrypts payloads at rest.
 *
 * @example
 * ```ts
 * const codec = aesGcm({ key: { id: "2026-11", secret: Buffer.from(process.env.STET_KEY ?? "", "base64") } });
 * const runtime = await Runtime.start({ storage, codec, orchestrations });
 * ```
 * @throws ConfigurationError when a key is not 32 bytes or an id is used twice.
 */
export function aesGcm(options: AesGcmOptions): PayloadCodec {
  assertOptions(options, { key: true, formerKeys: true }, "aesGcm");
  const { key, formerKeys = [] } = options;
  const secrets = new Map<string, Uint8Array>();
  for (const { id, secret } of [key, ...formerKeys].map(
    (each: Partial<AesGcmOptions["key"]> | undefined) => each ?? {},
  )) {
    if (typeof id !== "string" || !/^[\w-]{1,64}$/.test(id) || secrets.has(id)) {
      throw new ConfigurationError(
        `Expected each key id to be used once and hold only letters, digits, _ and -, got ${shown(id)}`,
      );
    }
    if (!(secret instanceof Uint8Array) || secret.length !== 32) {
      const found = secret instanceof Uint8Array ? secret.length : `a secret of type ${typeof secret}`;
      throw new ConfigurationError(`Expected the secret of key ${id} to be 32 bytes in a Buffer, got ${found}`);
    }
    secrets.set(id, secret);
  }
  const digestKey = Buffer.from(hkdfSync("sha256", key.secret, "", "stet payload digest", 32));
  return {
    name: "aes-256-gcm",
    seal(text, { scopeId }) {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", key.secret, nonce).setAAD(Buffer.from(scopeId));
      const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return [key.id, ...[nonce, cipher.getAuthTag(), sealed].map((part) => part.toString("base64url"))].join(".");
    },
    open(text, { scopeId }) {
      const [id = "", nonce = "", tag = "", sealed = ""] = text.split(".");
      const secret = secrets.get(id);
      if (secret === undefined) {
        throw new ConfigurationError(
          `Expected a payload sealed by key ${[...secrets.keys()].join(" or ")}, got one by key ${JSON.stringify(id)}: give aesGcm its secret in formerKeys`,
        );
      }
      try {
        const decipher = createDecipheriv("aes-256-gcm", secret, Buffer.from(nonce, "base64url"), { authTagLength: 16 })
          .setAAD(Buffer.from(scopeId))
          .setAuthTag(Buffer.from(tag, "base64url"));
        return Buffer.concat([decipher.update(Buffer.from(sealed, "base64url")), decipher.final()]).toString("utf8");
      } catch (cause) {
        const message = `Expected a payload as key ${id} sealed it for instance ${scopeId}, got one that was changed, moved from another instance, or sealed with another secret of that id`;
        throw new StetError("payload_invalid", message, false, { cause });
      }
    },
    digest: (text, { scopeId }) =>
      createHmac("sha256", digestKey).update(scopeId).update("\n").update(text).digest("base64url"),
  };
}
