/** The hub keeps its promises under random histories; more seeds: test/fuzz/models.test.ts. */
import { expect, test } from "bun:test";
import { MachineStore } from "./machine-store.ts";
import { type ModelStore, memoryStore, runModel, type Total } from "./model-run.ts";

/** Runs the seeds, each over a new store, and sums up what they came to. */
function runSeeds(seeds: number, newStore: (seed: number) => ModelStore): Total {
  const total = { events: 0, marks: 0, compacted: 0, fragments: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const run = runOf(seed, newStore(seed));
    for (const key of ["events", "marks", "compacted", "fragments"] as const)
      total[key] += run[key];
  }
  return total;
}

function runOf(seed: number, store: ModelStore): Total {
  try {
    return runModel(seed, store);
  } catch (error) {
    throw new Error(`seed ${seed}`, { cause: error });
  }
}

test("random histories keep every promise of the watch API", () => {
  const total = runSeeds(30, memoryStore);
  // The runs are only worth something if they come to every part of the rules.
  expect(total.events).toBeGreaterThan(100_000);
  expect(total.marks).toBeGreaterThan(400);
  expect(total.compacted).toBeGreaterThan(300);
  expect(total.fragments).toBeGreaterThan(300);
});

test("random histories keep every promise over the machine's own history", () => {
  const total = runSeeds(8, (seed) => new MachineStore(seed));
  expect(total.events).toBeGreaterThan(20_000);
  expect(total.compacted).toBeGreaterThan(50);
});
