/** Transactions that only read, in steps; and what transactions cost, and are cut at. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MIB } from "../../src/base/units.ts";
import {
  Compare,
  CompareResult,
  CompareTarget,
  PutRequest,
  RangeRequest,
  RequestOp,
  SortOrder,
  SortTarget,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { RangeResult, TxnResult } from "../../src/state/results.ts";
import { TXN_READ_BYTES_MAX } from "../../src/state/txn.ts";
import { bytes, codeOf, Driver } from "./driver.ts";

const KEYS = 60;
const keyAt = (place: number): string => `k${`${place}`.padStart(2, "0")}`;

const range = (more: Partial<RangeRequest>): RequestOp =>
  RequestOp.create({ requestRange: RangeRequest.create(more) });
const nested = (request: Partial<TxnRequest>): RequestOp =>
  RequestOp.create({ requestTxn: TxnRequest.create(request) });
const isVersion = (key: string, version: number, rangeEnd = ""): Compare =>
  Compare.create({
    ...{ key, rangeEnd, version },
    ...{ target: CompareTarget.VERSION, result: CompareResult.EQUAL },
  });

function filled(): Driver {
  const driver = new Driver();
  for (let place = 0; place < KEYS; place++) driver.put(keyAt(place), `${place}`);
  for (let place = 0; place < KEYS; place += 3) driver.put(keyAt(place), "again");
  driver.delete(keyAt(7));
  return driver;
}

const place = fc.integer({ min: 0, max: KEYS });
const readOf = fc
  .record({
    from: place,
    to: place,
    limit: fc.integer({ min: 0, max: 20 }),
    revision: fc.constantFrom(0, 0, 40, 70),
    keysOnly: fc.boolean(),
    countOnly: fc.boolean(),
    sortTarget: fc.constantFrom(SortTarget.KEY, SortTarget.MOD, SortTarget.VALUE),
    sortOrder: fc.constantFrom(SortOrder.NONE, SortOrder.DESCEND),
  })
  .map(({ from, to, ...more }) => range({ key: keyAt(from), rangeEnd: keyAt(to), ...more }));
const requestOf = fc
  .record({ reads: fc.array(readOf, { maxLength: 4 }), inner: fc.array(readOf, { maxLength: 3 }) })
  .chain(({ reads, inner }) =>
    fc.boolean().map((holds) =>
      TxnRequest.create({
        compare: [isVersion(keyAt(1), holds ? 1 : 2)],
        success: [...reads, nested({ success: inner })],
        failure: reads.slice(1),
      }),
    ),
  );

describe("a transaction read in steps", () => {
  test("answers what it would have in one go, whatever is written meanwhile", () => {
    fc.assert(
      fc.property(requestOf, fc.integer({ min: 1, max: 9 }), (request, keysMax) => {
        const driver = filled();
        const whole = driver.machine.readTxn(request);
        const cursor = driver.machine.openTxn(request);
        for (let step = 0; !cursor.step(keysMax, 50); step++) {
          driver.put(keyAt((step * 7) % KEYS), `new ${step}`);
          driver.delete(keyAt((step * 11) % KEYS));
          if (step === 3) driver.compact(driver.machine.revision);
        }
        expect(cursor.result()).toEqual(whole);
        cursor.close();
      }),
      { numRuns: 150, seed: 7 },
    );
  });

  test("fails before it begins, as in one go, and leaves nothing pinned", () => {
    const driver = filled();
    const request = TxnRequest.create({ success: [range({ key: "a", revision: 1000 })] });
    expect(codeOf(() => driver.machine.openTxn(request))).toBe("future_revision");
    const good = driver.machine.openTxn(TxnRequest.create({ success: [range({ key: "a" })] }));
    good.close();
    good.close();
    driver.put("a");
    driver.compact(driver.machine.revision);
    expect(driver.machine.space.physicalTarget()).toBe(driver.machine.revision);
  });
});

describe("the keys that a transaction may look at", () => {
  const cost = (request: Partial<TxnRequest>) =>
    filled().machine.costInKeys(TxnRequest.create(request));

  test("are those in conditions, and those of the dearer branch, nested ones too", () => {
    const all = { key: "k", rangeEnd: "l" };
    expect(cost({ compare: [isVersion("k", 1, "l"), isVersion("x", 1)] }).compared).toBe(KEYS);
    expect(cost({ success: [range(all), range(all)], failure: [range({ key: "a" })] })).toEqual({
      compared: 0,
      read: 2 * (KEYS - 1),
    });
    const inner = nested({ compare: [isVersion("k", 1, "l")], success: [range(all)] });
    expect(cost({ failure: [inner, inner] })).toEqual({
      compared: 2 * (KEYS - 1),
      read: 2 * (KEYS - 1),
    });
  });

  test("are none for a count of the newest revision", () => {
    const counted = { key: "k", rangeEnd: "l", countOnly: true };
    expect(cost({ success: [range(counted)] }).read).toBe(1);
    expect(cost({ success: [range({ ...counted, revision: 50 })] }).read).toBe(KEYS - 1);
  });
});

test("the ranges of one that writes are read up to a bound, and what it writes is written", () => {
  const driver = new Driver();
  const value = "x".repeat(MIB);
  for (let count = 0; count < 10; count++) driver.put(`big${count}`, value);
  const reads = Array.from({ length: 20 }, () => range({ key: "big", rangeEnd: "bih" }));
  const requestPut = PutRequest.create({ key: "written", value: bytes("yes") });
  const result: TxnResult = driver.txn({ success: [...reads, RequestOp.create({ requestPut })] });
  const sizes = result.responses.map((response) =>
    (response as Partial<RangeResult>).kvs?.reduce((sum, kv) => sum + kv.length, 0),
  );
  const total = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0);
  expect(total).toBeGreaterThan(TXN_READ_BYTES_MAX); // so that rpc/ sees that it is too much
  expect(total).toBeLessThan(TXN_READ_BYTES_MAX + 2 * MIB);
  expect(driver.contents().at(-1)).toBe("written=yes");
});
