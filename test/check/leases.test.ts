/** A lease of two seconds, and what its clients may see of it. Times are milliseconds. */
import { expect, test } from "bun:test";
import type { Call, Outcome } from "./history.ts";
import { checkLeases } from "./leases.ts";
import type { Committed } from "./linearizable.ts";
import { expiryOf } from "./problem.ts";
import type { Answer, Request } from "./requests.ts";

function call(from: number, to: number, request: Request, answer?: Answer | string): Call {
  let outcome: Outcome = { kind: "unknown" };
  if (typeof answer === "string") outcome = { kind: "refused", at: to, code: answer };
  else if (answer !== undefined) outcome = { kind: "answered", at: to, answer };
  return { id: `@${from}`, client: "c", request, call: from, outcome };
}

const granted = call(
  100,
  110,
  { kind: "grant", id: "7", ttlSeconds: 2 },
  { kind: "grant", id: "7", ttlSeconds: 2 },
);
const renew = (from: number, ttlSeconds?: number): Call => {
  const answer = ttlSeconds === undefined ? undefined : ({ kind: "renew", ttlSeconds } as const);
  return call(from, from + 5, { kind: "renew", id: "7" }, answer);
};
const life = (from: number, ttlSeconds: number): Call => {
  return call(from, from + 5, { kind: "life", id: "7" }, { kind: "life", ttlSeconds });
};
const put: Request = { kind: "put", key: "k", value: "1", lease: "7" };
const refusedPut = (from: number): Call => call(from, from + 5, put, "lease_not_found");

const complaints = (calls: readonly Call[], committed: readonly Committed[] = []): string[] => {
  return checkLeases({ calls }, committed);
};

const gone = (seenAt: number, cause = expiryOf("7")): Committed => {
  return { revision: 9, changes: [], cause, seenAt, isCertain: true };
};

test("it may end when its time is over since it was granted or last renewed", () => {
  expect(complaints([granted, refusedPut(2100)])).toEqual([]);
  expect(complaints([granted, life(2090, 0), life(2100, -1)])).toEqual([]);
  expect(complaints([granted, renew(2100, 0)])).toEqual([]);
  expect(complaints([granted, renew(1000, 2), refusedPut(3000)])).toEqual([]);
  expect(complaints([granted], [gone(2101)])).toEqual([]);
});

test("it does not end before", () => {
  const early = "lease 7: T1: @2080 saw it gone 15.0 ms before @100 allows";
  expect(complaints([granted, refusedPut(2080)])).toEqual([early]);
  expect(complaints([granted, life(2080, -1)])).toEqual([early]);
  expect(complaints([granted, renew(2080, 0)])).toEqual([early]);
  const renewed = [granted, renew(1000, 2), refusedPut(2900)];
  expect(complaints(renewed)).toEqual([
    "lease 7: T1: @2900 saw it gone 95.0 ms before @1000 allows",
  ]);
  expect(complaints([granted], [gone(2000)])).toHaveLength(1);
  const noAnswer = { ...granted, outcome: { kind: "unknown" } } as const;
  expect(complaints([noAnswer], [gone(2000)])).toHaveLength(1);
});

test("what is not certain is no complaint", () => {
  expect(complaints([granted, renew(1000), refusedPut(2200)])).toEqual([]);
  expect(complaints([granted], [gone(2000, "one of several")])).toEqual([]);
  expect(
    complaints([granted, call(500, 500, { kind: "revoke", id: "7" }), refusedPut(900)]),
  ).toEqual([]);
  expect(complaints([refusedPut(90), granted])).toEqual([]);
  expect(complaints([granted, { ...granted, call: 150 }, refusedPut(900)])).toEqual([]);
});

test("a revocation excuses only what was seen after it was sent", () => {
  const revoke = call(1000, 1005, { kind: "revoke", id: "7" }, { kind: "revoke" });
  expect(complaints([granted, revoke, refusedPut(1100)])).toEqual([]);
  expect(complaints([granted, refusedPut(900), revoke])).toHaveLength(1);
});

test("what is gone is not renewed", () => {
  const revoke = call(1000, 1005, { kind: "revoke", id: "7" }, { kind: "revoke" });
  expect(complaints([granted, revoke, renew(1010, 2)])).toEqual([
    "lease 7: T2: @1010 renewed it, @1000 had seen it gone",
  ]);
  expect(complaints([granted, revoke, renew(1003, 2)])).toEqual([]);
  expect(complaints([granted, revoke, renew(1010, 0)])).toEqual([]);
});

test("it is not granted for less than was asked for", () => {
  const short: Answer = { kind: "grant", id: "7", ttlSeconds: 1 };
  const long: Answer = { kind: "grant", id: "7", ttlSeconds: 5 };
  expect(complaints([call(0, 1, granted.request, short)])).toEqual([
    "lease 7: T3: @0 asked for 2 s",
  ]);
  expect(complaints([call(0, 1, granted.request, long)])).toEqual([]);
});
