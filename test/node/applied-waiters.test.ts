import { describe, expect, test } from "bun:test";
import { AppliedWaiters } from "../../src/node/applied-waiters.ts";

describe("waiting until so much is applied", () => {
  test("ends with the index and not before, each once, in the order of asking", () => {
    const waiters = new AppliedWaiters();
    const seen: number[] = [];
    for (const index of [7, 5, 6, 5]) waiters.whenApplied(index, () => seen.push(index));
    waiters.applied(4, true);
    expect(seen).toEqual([]);
    waiters.applied(5, true);
    expect(seen).toEqual([5, 5]);
    waiters.applied(9, true);
    waiters.applied(10, true);
    expect(seen).toEqual([5, 5, 7, 6]);
  });

  test("asked for by one that ends waits for the next news", () => {
    const waiters = new AppliedWaiters();
    const seen: string[] = [];
    waiters.whenApplied(5, () => {
      seen.push("first");
      waiters.whenApplied(5, () => seen.push("inner"));
    });
    waiters.applied(5, false);
    expect(seen).toEqual(["first"]);
    waiters.applied(5, false);
    expect(seen).toEqual(["first", "inner"]);
  });
});

describe("waiting until a member is ready", () => {
  test("ends when it is, whatever is applied before, each once", () => {
    const waiters = new AppliedWaiters();
    let ready = 0;
    waiters.whenReady(() => {
      ready++;
      waiters.whenReady(() => ready++);
    });
    waiters.applied(100, false);
    expect(ready).toBe(0);
    waiters.applied(100, true);
    expect(ready).toBe(1);
    waiters.applied(100, true);
    waiters.applied(100, true);
    expect(ready).toBe(2);
  });
});
