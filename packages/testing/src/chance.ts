/**
 * Chance from a seed: what was drawn can be drawn again.
 */

/** Numbers from 0 to 1, the same for the same seed. */
export function chance(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}
