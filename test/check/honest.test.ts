/** No complaint about a right server, whatever the clients and the network did. */
import { expect, test } from "bun:test";
import { checkHistory } from "./check.ts";
import { simulate } from "./simulation.ts";

/** Seeds tried; CHECK_SEEDS=first-last tries others. */
const { CHECK_SEEDS = "1-200" } = process.env;
const [FIRST = 1, LAST = FIRST] = CHECK_SEEDS.split("-").map(Number);

for (const [what, options] of Object.entries({
  "many answers lost": { clients: 6, calls: 120, keys: 6, unknownPercent: 15, watches: 6 },
  "few keys": { clients: 8, calls: 100, keys: 2, unknownPercent: 5, watches: 4 },
  "no watches": { clients: 5, calls: 150, keys: 8, unknownPercent: 5, watches: 0 },
})) {
  test(`${what}, seeds ${FIRST} to ${LAST}`, () => {
    for (let seed = FIRST; seed <= LAST; seed++) {
      const { history } = simulate({ ...options, seed, mix: "whole" });
      expect(`seed ${seed}: ${checkHistory(history).join("\n")}`).toBe(`seed ${seed}: `);
    }
  }, 600_000);
}
