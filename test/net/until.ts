/** Waits for a condition, looking after every turn; fails loudly when it never comes true. */
export async function until(condition: () => boolean, what: string, msMax = 4000): Promise<void> {
  const endMs = performance.now() + msMax;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`never happened: ${what}`);
    await Bun.sleep(1);
  }
}

/** What a growing number comes to: its value once it has not grown for 50 ms. */
export async function level(value: () => number): Promise<number> {
  let last = Number.NaN;
  while (value() !== last) {
    last = value();
    await Bun.sleep(50);
  }
  return last;
}
