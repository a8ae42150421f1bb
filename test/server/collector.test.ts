import { expect, test } from "bun:test";
import { COLLECTED_KEYS_MAX, collectorOf } from "../../src/server/collector.ts";

test("the collector takes a fifth of the time, and rests where it takes long", () => {
  let [nowMs, tookMs, keys] = [0, 30, 10];
  const collect = collectorOf({
    keys: () => keys,
    run() {
      nowMs += tookMs;
    },
    nowMs: () => nowMs,
  });
  const after = (ms: number): boolean => {
    nowMs += ms;
    return collect();
  };
  expect(after(0)).toBe(true);
  expect(after(119)).toBe(false);
  expect(after(1)).toBe(true);
  keys = COLLECTED_KEYS_MAX + 1;
  expect(after(120)).toBe(false);
  keys--;
  tookMs = 101;
  expect(after(0)).toBe(true);
  expect(after(4999)).toBe(false);
  expect(after(1)).toBe(true);
});
