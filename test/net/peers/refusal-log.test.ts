import { expect, test } from "bun:test";
import {
  REFUSAL_LOG_MS,
  REFUSALS_APART_MAX,
  RefusalLog,
} from "../../../src/net/peers/refusal-log.ts";
import { Warnings } from "./members.ts";

function logAt(): { log: Warnings; refusals: RefusalLog; clock: { nowMs: number } } {
  const [log, clock] = [new Warnings(), { nowMs: 0 }];
  return { log, clock, refusals: new RefusalLog(log, () => clock.nowMs) };
}

test("the first of an address and reason is said at once, the others later and counted", () => {
  const { log, clock, refusals } = logAt();
  for (let port = 1; port <= 1000; port++)
    refusals.refused("unauthorized", "x", `10.0.0.1:${port}`);
  refusals.refused("malformed", "y", "10.0.0.1:9");
  refusals.refused("unauthorized", "x", "10.0.0.2:9");
  expect(log.lines).toHaveLength(3);
  clock.nowMs = REFUSAL_LOG_MS;
  refusals.refused("unauthorized", "x", "10.0.0.1:5000");
  expect(log.lines).toHaveLength(4);
  expect(log.lines.at(-1)).toContain("999");
  clock.nowMs = 2 * REFUSAL_LOG_MS;
  refusals.refused("unauthorized", "x", "10.0.0.1:5000");
  expect(log.lines.at(-1)).not.toContain("more");
});

test("so many addresses that they are none any more share their lines", () => {
  const { log, clock, refusals } = logAt();
  for (let i = 0; i < 10_000; i++)
    refusals.refused("unauthorized", "x", `10.0.${i >> 8}.${i & 255}:1`);
  expect(log.lines).toHaveLength(REFUSALS_APART_MAX + 1);
  clock.nowMs = REFUSAL_LOG_MS;
  refusals.refused("unauthorized", "x", "10.9.9.9:1");
  expect(log.lines).toHaveLength(REFUSALS_APART_MAX + 2); // there is room for it again
});
