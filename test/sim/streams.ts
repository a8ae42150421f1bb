/**
 * Chance, in streams: each part of a simulation draws from its own, derived from the seed and the
 * part's name, so that one more draw in one part leaves the luck of the others as it was.
 */
import { Prng } from "../../src/base/prng.ts";

export function randomOf(seed: number, name: string): Prng {
  return new Prng(Bun.hash.crc32(name, seed >>> 0));
}

/** Exponential with this mean, at most ten times of it: most are short, some are long. */
export function exponential(random: Prng, mean: number): number {
  return Math.min(10 * mean, -mean * Math.log(1 - random.unit()));
}

/** An integer in [low, high]. */
export function between(random: Prng, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

/** One of the items, by weight. */
export function weighted<T>(random: Prng, items: readonly (readonly [number, T])[]): T {
  let total = 0;
  for (const [weight] of items) total += weight;
  let at = random.below(total);
  for (const [weight, item] of items) {
    at -= weight;
    if (at < 0) return item;
  }
  throw new Error("no item has a weight");
}
