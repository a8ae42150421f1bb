import { describe, expect, test } from "bun:test";
import { CALLS_MAX, CALLS_MIN, CallLimit, WAIT_MS_TARGET } from "../../src/node/call-limit.ts";

/** Lets one batch a period of 100 ms be answered after `waitedMs`. */
function answer(limit: CallLimit, waitedMs: number, periods: number, fromMs = 0): void {
  for (let period = 0; period < periods; period++) limit.answered(waitedMs, fromMs + period * 100);
}

describe("the calls that may wait", () => {
  test("are many while answers come in time", () => {
    const limit = new CallLimit();
    answer(limit, WAIT_MS_TARGET - 1, 100);
    expect(limit.calls).toBe(CALLS_MAX);
  });

  test("become fewer while they come late, in proportion and not below the least", () => {
    const limit = new CallLimit();
    answer(limit, 1, 1); // what this machine can do
    limit.answered(WAIT_MS_TARGET * 1.25, 200);
    expect(limit.calls).toBe(Math.floor(CALLS_MAX * 0.8));
    limit.answered(2000, 2200);
    expect(limit.calls).toBe(Math.floor(CALLS_MAX * 0.8 * 0.6));
    for (let ms = 4200; ms < 20_000; ms += 2000) limit.answered(2000, ms);
    expect(limit.calls).toBe(CALLS_MIN);
  });

  test("do not become fewer by answers to calls that came when they were more", () => {
    const limit = new CallLimit();
    answer(limit, 1, 1);
    limit.answered(1000, 1000);
    const { calls } = limit;
    expect(calls).toBe(Math.floor(CALLS_MAX * 0.6));
    for (let ms = 1100; ms < 2000; ms += 100) limit.answered(ms - 1, ms);
    expect(limit.calls).toBe(calls);
    limit.answered(1000, 2000);
    expect(limit.calls).toBeLessThan(calls);
  });

  test("come back within seconds", () => {
    const limit = new CallLimit();
    answer(limit, 1, 1);
    answer(limit, 2000, 50, 100);
    answer(limit, 1, 30, 6000);
    expect(limit.calls).toBe(CALLS_MAX);
  });

  test("one late answer of a period counts, among a thousand in time", () => {
    const limit = new CallLimit();
    answer(limit, 1, 1);
    for (let ms = 101; ms < 150; ms++) limit.answered(1, 50);
    limit.answered(1000, 60);
    limit.answered(1, 200);
    expect(limit.calls).toBeLessThan(CALLS_MAX);
  });

  test("members far away are no overload: three times the best is allowed", () => {
    const limit = new CallLimit();
    answer(limit, 250, 100);
    expect(limit.calls).toBe(CALLS_MAX);
    answer(limit, 2500, 3, 10_000);
    expect(limit.calls).toBeLessThan(CALLS_MAX);
  });
});
