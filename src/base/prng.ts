/**
 * A small seeded generator (xoshiro128**, Blackman and Vigna 2018) for tests, the simulator and
 * jitter. Not for secrets. The same seed gives the same numbers on every machine.
 */
import type { Random } from "./ports.ts";

export class Prng implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    // splitmix32 spreads the seed over the state, so that near seeds give unlike streams.
    let z = seed >>> 0;
    const next = (): number => {
      z = (z + 0x9e3779b9) >>> 0;
      let t = z ^ (z >>> 16);
      t = Math.imul(t, 0x21f0aaad);
      t ^= t >>> 15;
      t = Math.imul(t, 0x735a2d97);
      return (t ^ (t >>> 15)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1; // never the all-zero state
  }

  /** 32 random bits as an unsigned number. */
  u32(): number {
    const rotated = Math.imul(this.#b, 5);
    const result = Math.imul((rotated << 7) | (rotated >>> 25), 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** An integer in [0, bound), bound at most 2^32; rejection keeps it free of bias. */
  below(bound: number): number {
    const limit = 4294967296 - (4294967296 % bound);
    for (;;) {
      const value = this.u32();
      if (value < limit) return value % bound;
    }
  }

  /** A number in [0, 1). */
  unit(): number {
    return this.u32() / 4294967296;
  }

  /** True `percent` times out of a hundred. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  id63(): bigint {
    const high = BigInt(this.u32() & 0x7fffffff);
    const id = (high << 32n) | BigInt(this.u32());
    return id === 0n ? 1n : id;
  }
}
