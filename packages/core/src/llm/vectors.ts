/**
 * Vectors as history keeps them: 32-bit floats, which is all that models mean, in base64. A quarter of what JSON would
 * take, and the same numbers on every machine.
 */

/** Writes a vector. */
export function packedVector(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  vector.forEach((number, i) => bytes.writeFloatLE(number, i * 4));
  return bytes.toString("base64");
}

/** Reads a vector that {@link packedVector} wrote. */
export function unpackedVector(text: string): number[] {
  const bytes = Buffer.from(text, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4));
}
