import { describe, expect, test } from "bun:test";
import { EXPIRY_RETRY_MS, LeaseClock } from "../../src/node/lease-clock.ts";
import { runLeaseModel } from "./lease-model.ts";

describe("lease clock", () => {
  test("a TTL is a minimum: nothing comes due before it", () => {
    const clock = new LeaseClock();
    clock.start(1n, 2000, 100);
    expect(clock.takeExpired(2099, 10)).toEqual([]);
    expect(clock.takeExpired(2100, 10)).toEqual([1n]);
  });

  test("a renewal counts the full TTL again", () => {
    const clock = new LeaseClock();
    clock.start(1n, 2000, 0);
    expect(clock.renew(1n, 1500)).toBe(2000);
    expect(clock.takeExpired(2000, 10)).toEqual([]);
    expect(clock.remainingMs(1n, 2000)).toBe(1500);
    expect(clock.takeExpired(3500, 10)).toEqual([1n]);
  });

  test("a lease whose time is over cannot be renewed", () => {
    const clock = new LeaseClock();
    clock.start(1n, 2000, 0);
    expect(clock.renew(1n, 2000)).toBeUndefined();
    expect(clock.takeExpired(2000, 10)).toEqual([1n]);
    expect(clock.renew(1n, 2001)).toBeUndefined();
  });

  test("an expiry that was not applied comes up again, not at once", () => {
    const clock = new LeaseClock();
    clock.start(1n, 1000, 0);
    expect(clock.takeExpired(1000, 10)).toEqual([1n]);
    expect(clock.takeExpired(1001, 10)).toEqual([]);
    expect(clock.takeExpired(1000 + EXPIRY_RETRY_MS, 10)).toEqual([1n]);
    clock.forget(1n);
    expect(clock.takeExpired(1e9, 10)).toEqual([]);
  });

  test("at most `limit`, oldest first", () => {
    const clock = new LeaseClock();
    for (let i = 5; i >= 1; i--) clock.start(BigInt(i), i * 1000, 0);
    expect(clock.takeExpired(1e6, 2)).toEqual([1n, 2n]);
    expect(clock.takeExpired(1e6, 9)).toEqual([3n, 4n, 5n]);
  });

  test("a renewal does not take back a new leader's allowance", () => {
    const clock = new LeaseClock();
    clock.start(1n, 2000, 0, 3000);
    clock.renew(1n, 10);
    expect(clock.remainingMs(1n, 10)).toBe(2990);
    clock.verify();
    expect(clock.takeExpired(2999, 10)).toEqual([]);
    expect(clock.takeExpired(3000, 10)).toEqual([1n]);
  });

  test("leases of a day that live for a moment leave nothing behind", () => {
    const clock = new LeaseClock();
    clock.start(1n, 500, 0);
    for (let i = 0; i < 10_000; i++) {
      clock.start(2n, 86_400_000, 0);
      clock.forget(2n);
      if (i % 1000 === 0) clock.verify();
    }
    expect(clock.nodeCount).toBeLessThan(2000);
    expect(clock.takeExpired(500, 10)).toEqual([1n]);
    clock.clear();
    expect(clock.nodeCount).toBe(0);
  });

  test("equals a naive map under random operations", () => {
    for (let seed = 1; seed <= 20; seed++) runLeaseModel(seed, 500);
  });
});
