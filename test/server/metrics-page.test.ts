import { expect, test } from "bun:test";
import { Turn } from "../../src/base/turn.ts";
import { Pace } from "../../src/gateway/json/pace.ts";
import { MetricsPage } from "../../src/server/metrics-page.ts";

const MAKING_MS = 5;

test("the page is made for one at once, and then for all who asked while it rested", () => {
  let nowMs = 1000;
  let made = 0;
  const got: string[] = [];
  const clock = (): number => nowMs;
  const make = (): string => {
    nowMs += MAKING_MS;
    return `page ${++made}`;
  };
  const page = new MetricsPage(make, clock, new Pace(new Turn(() => undefined), clock));
  const ask = (): void => page.ask((body) => got.push(body));
  ask();
  expect(got).toEqual(["page 1"]);
  for (let asked = 0; asked < 400; asked++) ask();
  page.tick();
  expect([made, got.length]).toEqual([1, 1]);
  nowMs += 4 * MAKING_MS;
  page.tick();
  expect([made, got.length]).toEqual([2, 401]);
  expect(new Set(got.slice(1))).toEqual(new Set(["page 2"]));
  nowMs += 4 * MAKING_MS;
  ask();
  expect(got.at(-1)).toBe("page 3");
});
