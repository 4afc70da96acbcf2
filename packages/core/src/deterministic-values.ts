/**
 * Chance and identity that are the same on every replay, drawn from bits that depend on where the code stands.
 */

/** Gives 64 bits at a time, the same ones on every replay. */
export interface BitSource {
  drawBits(): bigint;
}

/** A number from 0 (included) to 1 (excluded). */
export function randomOf(source: BitSource): number {
  return Number(source.drawBits() >> 11n) / 2 ** 53;
}

/** A version 4 UUID (RFC 9562). */
export function uuidOf(source: BitSource): `${string}-${string}-${string}-${string}-${string}` {
  const hex = (bits: bigint) => bits.toString(16).padStart(16, "0");
  const high = hex(source.drawBits());
  const low = hex(source.drawBits());
  const variant = ((Number.parseInt(low.slice(0, 1), 16) & 0b0011) | 0b1000).toString(16);
  return `${high.slice(0, 8)}-${high.slice(8, 12)}-4${high.slice(13)}-${variant}${low.slice(1, 4)}-${low.slice(4)}`;
}
