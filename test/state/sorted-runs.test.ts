/** Sorting in runs: as a stable sort, without a moment that sorts everything, within bounds. */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { RangeRequest, SortOrder, SortTarget } from "../../src/proto/gen/etcdserverpb.ts";
import { RUN_ITEMS, SortedRuns } from "../../src/state/sorted-runs.ts";
import { Driver, decodeKv } from "./driver.ts";

interface Item {
  readonly order: number;
  readonly place: number;
  readonly heldBytes: number;
}

const SIZES = [0, 1, RUN_ITEMS - 1, RUN_ITEMS, RUN_ITEMS + 1, 5 * RUN_ITEMS + 17];

/** Many of them compare equal. */
function itemsOf(count: number, seed: number): Item[] {
  const random = new Prng(seed);
  return Array.from({ length: count }, (_, place) => {
    return { order: random.below(50), place, heldBytes: 1 };
  });
}

function taken(runs: SortedRuns<Item>): Item[] {
  const all: Item[] = [];
  for (let item = runs.take(); item !== undefined; item = runs.take()) all.push(item);
  return all;
}

describe("sorted runs", () => {
  for (const size of SIZES) {
    test(`${size} items: in order, equal ones as they came`, () => {
      const items = itemsOf(size, 7);
      const runs = new SortedRuns<Item>((a, b) => a.order - b.order);
      for (const item of items) runs.push(item);
      expect(runs.heldBytes).toBe(size);
      expect(taken(runs)).toEqual(items.toSorted((a, b) => a.order - b.order));
    });
  }

  test("keep of each run no more than can be taken", () => {
    const items = itemsOf(5 * RUN_ITEMS, 8);
    const runs = new SortedRuns<Item>((a, b) => b.order - a.order, 3);
    for (const item of items) runs.push(item);
    expect(runs.heldBytes).toBe(5 * 3);
    const expected = items.toSorted((a, b) => b.order - a.order).slice(0, 3);
    expect(taken(runs).slice(0, 3)).toEqual(expected);
  });

  test("never sort all at once: no push or take compares more than a run's worth", () => {
    let compared = 0;
    let most = 0;
    const runs = new SortedRuns<Item>((a, b) => {
      compared++;
      return a.order - b.order;
    });
    const counted = (work: () => unknown): void => {
      compared = 0;
      work();
      most = Math.max(most, compared);
    };
    for (const item of itemsOf(50 * RUN_ITEMS, 9)) counted(() => runs.push(item));
    for (let i = 0; i < 1000; i++) counted(() => runs.take());
    expect(most).toBeLessThan(RUN_ITEMS * 16);
    expect(most).toBeGreaterThan(RUN_ITEMS);
  });
});

describe("a range that is sorted", () => {
  const COUNT = 3 * RUN_ITEMS + 5;
  const driver = new Driver();
  for (let i = 0; i < COUNT; i++) driver.put(`k${String(i).padStart(5, "0")}`, `${(i * 7) % 100}`);
  for (let i = 0; i < COUNT; i += 3) driver.put(`k${String(i).padStart(5, "0")}`, "again");
  const all = driver.range({ key: "k", rangeEnd: "l" }).kvs.map((kv) => decodeKv(kv));
  type Kv = (typeof all)[number];
  const orders: [SortTarget, (a: Kv, b: Kv) => number][] = [
    [SortTarget.KEY, (a, b) => (a.key < b.key ? -1 : 1)],
    [SortTarget.VERSION, (a, b) => a.version - b.version],
    [SortTarget.CREATE, (a, b) => a.createRevision - b.createRevision],
    [SortTarget.MOD, (a, b) => a.modRevision - b.modRevision],
    [SortTarget.VALUE, (a, b) => Buffer.compare(a.value, b.value)],
  ];
  for (const [sortTarget, compare] of orders) {
    for (const limit of [0, 1, 2000]) {
      test(`by target ${sortTarget}, limit ${limit}, over several runs`, () => {
        for (const sortOrder of [SortOrder.ASCEND, SortOrder.DESCEND]) {
          const by = sortOrder === SortOrder.ASCEND ? compare : (a: Kv, b: Kv) => compare(b, a);
          const asked = { key: "k", rangeEnd: "l", sortTarget, sortOrder, limit };
          const { kvs, more } = driver.range(asked);
          const sorted = all.toSorted(by);
          const expected = limit === 0 ? sorted : sorted.slice(0, limit);
          expect(kvs.map((kv) => decodeKv(kv).key)).toEqual(expected.map(({ key }) => key));
          expect(more).toBe(limit > 0 && limit < COUNT);
        }
      });
    }
  }

  for (const [sortTarget] of orders) {
    test(`by target ${sortTarget} says what it holds, and holds little for a small limit`, () => {
      const heldBy = (limit: number): number => {
        const sortOrder = SortOrder.DESCEND;
        const request = RangeRequest.create({
          key: "k",
          rangeEnd: "l",
          sortTarget,
          sortOrder,
          limit,
        });
        const cursor = driver.machine.openRange(request);
        let most = 0;
        while (!cursor.step(500, 1 << 20)) most = Math.max(most, cursor.heldBytes);
        cursor.close();
        return most;
      };
      expect(heldBy(0)).toBeGreaterThan(COUNT * 90);
      expect(heldBy(1)).toBeLessThan(RUN_ITEMS * 300);
    });
  }
});
