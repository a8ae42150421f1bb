/** etcd's rules for ranges, one test a sentence (surface 3.2). */
import { describe, expect, test } from "bun:test";
import { SortOrder, SortTarget } from "../../src/proto/gen/etcdserverpb.ts";
import { codeOf, Driver, decodeKv, texts } from "./driver.ts";

/** a=3 (version 2), b=1, c=2, d=0, created in the order b, a, d, c. */
function filled(): Driver {
  const driver = new Driver();
  driver.put("b", "1"); // 2
  driver.put("a", "x"); // 3
  driver.put("d", "0"); // 4
  driver.put("c", "2"); // 5
  driver.put("a", "3"); // 6
  return driver;
}

const ALL = { key: "\0", rangeEnd: "\0" };

describe("which revision", () => {
  test("0 and below are the latest", () => {
    expect(filled().contents(0)).toEqual(["a=3", "b=1", "c=2", "d=0"]);
    expect(filled().contents(-7)).toEqual(["a=3", "b=1", "c=2", "d=0"]);
  });

  test("a past revision shows what was then", () => {
    expect(filled().contents(3)).toEqual(["a=x", "b=1"]);
    expect(filled().contents(1)).toEqual([]);
  });

  test("above the current is an error, and so is below the compaction point", () => {
    const driver = filled();
    expect(codeOf(() => driver.contents(7))).toBe("future_revision");
    driver.compact(4);
    expect(codeOf(() => driver.contents(3))).toBe("compacted");
    expect(driver.contents(4)).toEqual(["a=x", "b=1", "d=0"]);
  });

  test("a future revision is named before a compacted one", () => {
    const driver = filled();
    driver.compact(6);
    expect(codeOf(() => driver.contents(7))).toBe("future_revision");
  });
});

describe("which keys", () => {
  const keys = (key: string, rangeEnd: string): string =>
    filled()
      .range({ key, rangeEnd })
      .kvs.map((kv) => decodeKv(kv).key)
      .join("");

  test("an empty range_end is the one key", () => {
    expect([keys("b", ""), keys("bb", "")]).toEqual(["b", ""]);
  });

  test("otherwise keys from key up to, not including, range_end", () => {
    expect([keys("a", "c"), keys("aa", "cc"), keys("0", "z")]).toEqual(["ab", "bc", "abcd"]);
  });

  test("range_end \\0 is every key from key on; with key \\0 it is all", () => {
    expect([keys("c", "\0"), keys("\0", "\0")]).toEqual(["cd", "abcd"]);
  });

  test("key ≥ range_end is empty and no error", () => {
    expect([keys("c", "a"), keys("c", "c"), keys("c", "\0")]).toEqual(["", "", "cd"]);
  });

  test("keys are ordered as bytes, shorter first", () => {
    const driver = new Driver();
    for (const key of ["é", "z", "a\0", "a", "aa", "A"]) driver.put(key);
    const found = driver.range(ALL).kvs.map((kv) => decodeKv(kv).key);
    expect(found).toEqual(["A", "a", "a\0", "aa", "z", "\xc3\xa9"]);
  });
});

describe("limit, more and count", () => {
  test("count is of all keys in the range, whatever the limit", () => {
    const { kvs, more, count } = filled().range({ ...ALL, limit: 3 });
    expect([kvs.length, more, count]).toEqual([3, true, 4]);
  });

  test("more only if something is behind the limit", () => {
    expect(filled().range({ ...ALL, limit: 4 }).more).toBe(false);
    expect(filled().range({ ...ALL, limit: 5 }).more).toBe(false);
    expect(filled().range({ ...ALL, limit: 0 }).more).toBe(false);
    expect(filled().range({ ...ALL, limit: -1 }).kvs).toHaveLength(4);
  });

  test("both are exact at a past revision, too", () => {
    const driver = filled();
    driver.delete("a", "c");
    driver.put("e");
    for (const limit of [1, 2, 3, 4, 5]) {
      const { kvs, more, count } = driver.range({ ...ALL, limit, revision: 6 });
      expect([kvs.length, more, count]).toEqual([Math.min(limit, 4), limit < 4, 4]);
    }
  });

  test("count_only has no keys and no more, and ignores the limit", () => {
    const { kvs, more, count } = filled().range({ ...ALL, countOnly: true, limit: 1 });
    expect([kvs, more, count]).toEqual([[], false, 4]);
    const past = filled().range({ ...ALL, countOnly: true, revision: 4 });
    expect([past.kvs, past.count]).toEqual([[], 3]);
    expect(filled().range({ key: "a", countOnly: true })).toEqual({
      kind: "range",
      revision: 6,
      kvs: [],
      more: false,
      count: 1,
    });
  });

  test("count ignores the bounds on revisions", () => {
    const { kvs, count, more } = filled().range({ ...ALL, minModRevision: 5 });
    expect([kvs.length, count, more]).toEqual([2, 4, false]);
  });

  test("a page at a pinned revision counts what is left", () => {
    const driver = filled();
    const { count } = driver.range({ key: "c", rangeEnd: "\0", limit: 1, revision: 6 });
    expect(count).toBe(2);
  });
});

describe("order", () => {
  const sorted = (sortTarget: number, sortOrder: number, limit = 0): string[] =>
    texts(filled().range({ ...ALL, sortTarget, sortOrder, limit }));
  const { ASCEND, DESCEND, NONE } = SortOrder;

  test("keys ascend by default, and as asked", () => {
    const ascending = ["a=3", "b=1", "c=2", "d=0"];
    expect(sorted(SortTarget.KEY, NONE)).toEqual(ascending);
    expect(sorted(SortTarget.KEY, ASCEND)).toEqual(ascending);
    expect(sorted(SortTarget.KEY, DESCEND)).toEqual(ascending.toReversed());
  });

  test("every target, both ways", () => {
    expect(sorted(SortTarget.VERSION, DESCEND)).toEqual(["a=3", "b=1", "c=2", "d=0"]);
    expect(sorted(SortTarget.VERSION, ASCEND)).toEqual(["b=1", "c=2", "d=0", "a=3"]);
    expect(sorted(SortTarget.CREATE, ASCEND)).toEqual(["b=1", "a=3", "d=0", "c=2"]);
    expect(sorted(SortTarget.CREATE, DESCEND)).toEqual(["c=2", "d=0", "a=3", "b=1"]);
    expect(sorted(SortTarget.MOD, ASCEND)).toEqual(["b=1", "d=0", "c=2", "a=3"]);
    expect(sorted(SortTarget.MOD, DESCEND)).toEqual(["a=3", "c=2", "d=0", "b=1"]);
    expect(sorted(SortTarget.VALUE, ASCEND)).toEqual(["d=0", "b=1", "c=2", "a=3"]);
    expect(sorted(SortTarget.VALUE, DESCEND)).toEqual(["a=3", "c=2", "b=1", "d=0"]);
  });

  test("another target without an order ascends, but only over limit + 1 keys", () => {
    expect(sorted(SortTarget.VALUE, NONE)).toEqual(["d=0", "b=1", "c=2", "a=3"]);
    // The first three keys are a=3, b=1, c=2; d=0 is never looked at.
    expect(sorted(SortTarget.VALUE, NONE, 2)).toEqual(["b=1", "c=2"]);
    expect(sorted(SortTarget.VALUE, ASCEND, 2)).toEqual(["d=0", "b=1"]);
  });

  test("such a slice still says more and counts all", () => {
    const range = { ...ALL, sortTarget: SortTarget.MOD, limit: 2 };
    const { more, count } = filled().range(range);
    expect([more, count]).toEqual([true, 4]);
    expect(filled().range({ ...range, limit: 4 }).more).toBe(false);
  });

  test("with an order the limit cuts after sorting", () => {
    const result = filled().range({ ...ALL, sortOrder: DESCEND, limit: 2 });
    expect([texts(result), result.more, result.count]).toEqual([["d=0", "c=2"], true, 4]);
  });

  test("the past is sorted by what it was", () => {
    const range = { ...ALL, sortTarget: SortTarget.VALUE, sortOrder: DESCEND, revision: 5 };
    expect(texts(filled().range(range))).toEqual(["a=x", "c=2", "b=1", "d=0"]);
    const byMod = { ...range, sortTarget: SortTarget.MOD };
    expect(texts(filled().range(byMod))).toEqual(["c=2", "d=0", "a=x", "b=1"]);
  });
});

describe("bounds on revisions", () => {
  const bounded = (bounds: object): string[] => texts(filled().range({ ...ALL, ...bounds }));

  test("each includes its end", () => {
    expect(bounded({ minModRevision: 5 })).toEqual(["a=3", "c=2"]);
    expect(bounded({ maxModRevision: 4 })).toEqual(["b=1", "d=0"]);
    expect(bounded({ minCreateRevision: 4 })).toEqual(["c=2", "d=0"]);
    expect(bounded({ maxCreateRevision: 3 })).toEqual(["a=3", "b=1"]);
    expect(bounded({ minModRevision: 4, maxModRevision: 5 })).toEqual(["c=2", "d=0"]);
  });

  test("more is about what passed", () => {
    const result = filled().range({ ...ALL, minModRevision: 4, limit: 2 });
    expect([texts(result), result.more, result.count]).toEqual([["a=3", "c=2"], true, 4]);
    expect(filled().range({ ...ALL, minModRevision: 5, limit: 2 }).more).toBe(false);
  });

  test("they hold for a single key", () => {
    const result = filled().range({ key: "a", maxModRevision: 5 });
    expect([result.kvs, result.count]).toEqual([[], 1]);
  });

  test("the last created below a bound is found: how locks queue", () => {
    const range = { sortTarget: SortTarget.CREATE, sortOrder: SortOrder.DESCEND, limit: 1 };
    expect(bounded({ ...range, maxCreateRevision: 4 })).toEqual(["d=0"]);
  });
});

describe("keys_only", () => {
  const leased = (): Driver => {
    const driver = new Driver();
    driver.grant(5n);
    driver.put("a", "value", { lease: 5n });
    return driver;
  };
  const shape = (driver: Driver, request: object): unknown => {
    const [kv] = driver.range({ key: "a", keysOnly: true, ...request }).kvs;
    const { key, createRevision, modRevision, version, value, lease } = decodeKv(kv as Uint8Array);
    return [key, createRevision, modRevision, version, value.length, lease];
  };

  test("empties the value, and the lease with it", () => {
    expect(shape(leased(), {})).toEqual(["a", 2, 2, 1, 0, 0n]);
    expect(shape(leased(), { rangeEnd: "b" })).toEqual(["a", 2, 2, 1, 0, 0n]);
  });

  test("the lease stays when values were compared", () => {
    const byValue = { sortTarget: SortTarget.VALUE };
    expect(shape(leased(), byValue)).toEqual(["a", 2, 2, 1, 0, 5n]);
    expect(shape(leased(), { ...byValue, rangeEnd: "b" })).toEqual(["a", 2, 2, 1, 0, 5n]);
  });

  test("the past is shown without value and lease, too", () => {
    const driver = leased();
    driver.put("a", "new");
    expect(shape(driver, { revision: 2 })).toEqual(["a", 2, 2, 1, 0, 0n]);
    expect(shape(driver, { revision: 2, sortTarget: SortTarget.MOD })).toEqual([
      "a",
      2,
      2,
      1,
      0,
      0n,
    ]);
  });
});
