/** The machine agrees with the naive model; more seeds: test/fuzz/models.test.ts. */
import { test } from "bun:test";
import { runModel } from "./model-run.ts";

const STEPS = 1500;

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`random commands agree with the model, seed ${seed}`, () => runModel(seed * 1000, STEPS));
}
