/** Lies planted in simulated runs are noticed; catch-rates.ts counts over more runs. */
import { describe, expect, test } from "bun:test";
import { ALL_LIES, rateOf } from "./catch-rates.ts";

/** Runs in which a lie is told; and seeds tried for one that seldom has an occasion. */
const TOLD_MAX = 6;
const SEEDS_MAX = 400;

/** Where a lie leaves no trace in some of the runs. Otherwise five of six must be noticed. */
const MISSED_MAX = 1;

describe("is noticed", () => {
  for (const [name, plant] of ALL_LIES) {
    test(name, () => {
      const rate = rateOf(plant, { seedsMax: SEEDS_MAX, toldMax: TOLD_MAX });
      expect(rate.told).toBe(TOLD_MAX);
      expect(rate.missed.length).toBeLessThanOrEqual(MISSED_MAX);
      expect(rate.gaveUp).toBe(0);
    });
  }
});
