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
    answer(limit, 2000, 1, 300);
    expect(limit.calls).toBe(Math.floor(CALLS_MAX * 0.4));
    answer(limit, 2000, 50, 400);
    expect(limit.calls).toBe(CALLS_MIN);
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
