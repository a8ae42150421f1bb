/** Waits for a condition, looking after every turn; fails loudly when it never comes true. */
export async function until(condition: () => boolean, what: string, msMax = 4000): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`never happened: ${what}`);
    await Bun.sleep(1);
  }
}
