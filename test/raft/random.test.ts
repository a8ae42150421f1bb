/**
 * Many seeded lives of a cluster. SEEDS=n runs n of them, SEED=n that one alone; a failure names
 * its seed. What they find becomes a scenario: a seed means something else after each change here.
 */
import { describe, expect, test } from "bun:test";
import { runSeed } from "./random-run.ts";

const STEPS = 4000;
const SEEDS = Number(process.env["SEEDS"] ?? 80);
const ONLY = process.env["SEED"];

function attempt(seed: number): ReturnType<typeof runSeed> {
  try {
    return runSeed(seed, STEPS);
  } catch (error) {
    const replay = `SEED=${seed} bun test test/raft/random.test.ts`;
    throw new Error(`${String(error)} (${replay})`, { cause: error });
  }
}

describe("random lives of a cluster", () => {
  test("stay safe under faults and agree after them", () => {
    if (ONLY !== undefined) {
      attempt(Number(ONLY));
      return;
    }
    let committed = 0;
    let granted = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const result = attempt(seed);
      committed += result.committed;
      granted += result.granted;
    }
    // The faults must leave room for something to happen.
    expect(committed).toBeGreaterThan(SEEDS * 20);
    expect(granted).toBeGreaterThan(SEEDS * 5);
  }, 600_000);

  test("are the same each time they are lived", () => {
    expect(attempt(5)).toEqual(attempt(5));
  });
});
