/** Looks until a condition holds. The work is in other processes, so there is nothing to wait for but time. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  { withinMs = 120_000, everyMs = 10 } = {},
): Promise<void> {
  const giveUpAt = performance.now() + withinMs; // a loaded machine is slow, not wrong
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`Expected ${what} within ${withinMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
