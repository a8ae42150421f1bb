/**
 * A share of the simulator's seeds; `bun run sim` runs a thousand. And that it means something: a
 * seed is one life whoever runs it, and planted bugs are found.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { failureText, runSeed } from "./campaign.ts";
import { MUTANTS } from "./mutant-table.ts";
import { planted, runMutant } from "./mutants.ts";
import { simulate } from "./simulation.ts";

/** Other lives than those of `bun run sim`. */
const FIRST_SEED = 100_001;

/** A seed takes a fifth of a second, on a busy machine several times that. */
const TIMEOUT_MS = 60_000;

const root = join(import.meta.dir, "..", "..");

function expectClean(seed: number): void {
  const report = runSeed(seed);
  if (!report.ok) throw new Error(failureText(report));
}

describe("simulation", () => {
  for (let fives = 0; fives < 8; fives++) {
    const first = FIRST_SEED + 5 * fives;
    const last = first + 4;
    test(
      `seeds ${first} to ${last}`,
      () => {
        for (let seed = first; seed <= last; seed++) expectClean(seed);
      },
      TIMEOUT_MS,
    );
  }

  test(
    "a seed is one life, also when it is watched",
    () => {
      for (let seed = 1; seed <= 5; seed++) {
        const { hash } = simulate(seed);
        expect(simulate(seed).hash).toBe(hash);
        let lines = 0;
        expect(simulate(seed, { line: () => lines++ }).hash).toBe(hash);
        expect(lines).toBeGreaterThan(1000);
      }
      expect(simulate(1).hash).not.toBe(simulate(2).hash);
    },
    TIMEOUT_MS,
  );

  test(
    "seeds that found something once",
    async () => {
      const table = await Bun.file(join(import.meta.dir, "seeds.md")).text();
      for (const [, seed] of table.matchAll(/^\| *(\d+) \|/gm)) expectClean(Number(seed));
    },
    TIMEOUT_MS,
  );
});

describe("mutants", () => {
  for (const { name, patches } of MUTANTS) {
    test(`${name} still applies`, async () => {
      const texts = new Map<string, string>();
      for (const patch of patches) {
        const text = texts.get(patch.file) ?? (await Bun.file(join(root, patch.file)).text());
        texts.set(patch.file, planted(text, patch));
      }
    });
  }

  test("each has its own name, and there are enough", () => {
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
    expect(MUTANTS.length).toBeGreaterThanOrEqual(14);
  });

  test(
    "a planted bug is found",
    async () => {
      const mutant = MUTANTS.find(({ name }) => name === "applied-index-behind");
      if (mutant === undefined) throw new Error("the mutant is gone");
      expect((await runMutant(mutant, 1))?.what).toMatch(/state machine|row|applied/);
    },
    TIMEOUT_MS,
  );
});
