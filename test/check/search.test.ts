/**
 * The search guesses when a request without an answer happened, and so good that it hardly ever
 * comes to a dead end. Here it is given bad guesses: they may cost time, but not the verdict.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { Evidence } from "./evidence.ts";
import type { History } from "./history.ts";
import { LIES } from "./lies.ts";
import { type Problem, problemOf } from "./problem.ts";
import { isLinearizable } from "./reference-search.ts";
import { type Found, Search } from "./search.ts";
import { type SimulationOptions, simulate } from "./simulation.ts";
import { Suspects } from "./suspects.ts";

const ATTEMPTS_MAX = 300_000;

function searchWithBadGuesses(history: History, seed: number): Found["kind"] {
  const prng = new Prng(seed);
  const right = problemOf(history);
  const mays = right.mays.map((may) => ({ ...may, likely: prng.below(1000) }));
  const problem: Problem = { ...right, mays };
  const evidence = new Evidence(problem, []);
  const suspects = new Suspects(problem, evidence);
  if (suspects.contradiction !== undefined) return "none";
  return new Search(problem, { evidence, suspects }).run(ATTEMPTS_MAX).kind;
}

function run(seed: number, more: Omit<SimulationOptions, "seed" | "mix">): History {
  return simulate({ seed, mix: "whole", ...more }).history;
}

describe("with bad guesses", () => {
  for (const options of [
    { clients: 6, calls: 150, keys: 4, unknownPercent: 30 },
    { clients: 8, calls: 300, keys: 8, unknownPercent: 15 },
    { clients: 4, calls: 80, keys: 2, unknownPercent: 40 },
  ]) {
    test(`a right history has an order: ${JSON.stringify(options)}`, () => {
      for (let seed = 1; seed <= 150; seed++) {
        const kind = searchWithBadGuesses(run(seed, options), seed);
        expect(`seed ${seed}: ${kind}`).toBe(`seed ${seed}: order`);
      }
    });
  }

  test("a small history is judged as by the definition", () => {
    const lies = Object.values(LIES);
    const options = { clients: 3, calls: 9, keys: 3, unknownPercent: 35 };
    for (let seed = 1; seed <= 600; seed++) {
      const lie = lies[seed % lies.length]?.();
      const history = run(seed, { ...options, ...(lie !== undefined && { lie }) });
      const due = isLinearizable(history) ? "order" : "none";
      const kind = searchWithBadGuesses(history, seed);
      expect(`seed ${seed}: ${kind}`).toBe(`seed ${seed}: ${due}`);
    }
  });
});
