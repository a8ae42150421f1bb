import { expect, test } from "bun:test";
import { COLLECTED_KEYS_MAX, collectorOf } from "../../src/server/collector.ts";

test("the collector takes a fifth of the time, and none beside many keys", () => {
  let [nowMs, runs, keys] = [0, 0, 10];
  const run = (): void => {
    nowMs += 30;
    runs++;
  };
  const collect = collectorOf(
    () => keys,
    run,
    () => nowMs,
  );
  expect(collect()).toBe(true);
  nowMs += 119;
  expect(collect()).toBe(false);
  nowMs += 1;
  expect(collect()).toBe(true);
  nowMs += 120;
  keys = COLLECTED_KEYS_MAX + 1;
  expect(collect()).toBe(false);
  keys--;
  expect(collect()).toBe(true);
  expect(runs).toBe(3);
});
