/** etcd's rules for compaction, one test a sentence (surface 3.6), and what the driver sees. */
import { describe, expect, test } from "bun:test";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { codeOf, Driver, texts } from "./driver.ts";

/** a: 2, 3, 6 · b: 4, dead at 5 · c: 7 */
function filled(): Driver {
  const driver = new Driver();
  driver.put("a", "1");
  driver.put("a", "2");
  driver.put("b", "x");
  driver.delete("b");
  driver.put("a", "3");
  driver.put("c", "y");
  driver.flush();
  return driver;
}

const ALL = RangeRequest.create({ key: "\0", rangeEnd: "\0" });

describe("the compaction point", () => {
  test("is not in the future and only goes forward", () => {
    const driver = filled();
    expect(codeOf(() => driver.compact(8))).toBe("future_revision");
    expect(driver.compact(4)).toEqual({ kind: "compact", revision: 7, compactRevision: 4 });
    expect(codeOf(() => driver.compact(4))).toBe("compacted");
    expect(codeOf(() => driver.compact(3))).toBe("compacted");
    expect(codeOf(() => driver.compact(7))).toBe("none");
  });

  test("before the first one, even revision 0 can be compacted at, as in etcd", () => {
    const driver = new Driver();
    expect(codeOf(() => driver.compact(0))).toBe("none");
    expect(codeOf(() => driver.compact(0))).toBe("compacted");
    expect(codeOf(() => driver.compact(-5))).toBe("compacted");
  });

  test("itself can be read at, below it cannot", () => {
    const driver = filled();
    driver.compact(4);
    expect(driver.contents(4)).toEqual(["a=2", "b=x"]);
    expect(codeOf(() => driver.contents(3))).toBe("compacted");
  });

  test("survives a restart", () => {
    const driver = filled();
    driver.compact(4);
    driver.restart();
    expect(driver.machine.compactRevision).toBe(4);
    expect(codeOf(() => driver.contents(3))).toBe("compacted");
  });
});

describe("physical removal", () => {
  const removed = (revision: number): { driver: Driver; kept: number[] } => {
    const driver = filled();
    driver.compact(revision);
    driver.flush();
    driver.history.compact(driver.machine.physicalTarget());
    return { driver, kept: [...driver.history.stored().rows].map((row) => row.revision) };
  };

  test("keeps each key's newest revision at the point", () => {
    expect(removed(4).kept).toEqual([3, 4, 5, 6, 7]);
    expect(removed(7).kept).toEqual([6, 7]);
  });

  test("drops a tombstone older than the point and keeps one at the point", () => {
    expect(removed(5).kept).toEqual([3, 5, 6, 7]);
    expect(removed(6).kept).toEqual([6, 7]);
  });

  test("changes no answer and no hash", () => {
    for (const revision of [2, 3, 4, 5, 6, 7]) {
      const before = filled();
      before.compact(revision);
      const after = removed(revision).driver;
      verify(after.machine);
      expect(stateHash(after.machine)).toBe(stateHash(before.machine));
      for (let at = revision; at <= 7; at++) {
        expect(after.contents(at)).toEqual(before.contents(at));
      }
      after.restart();
      expect(stateHash(after.machine)).toBe(stateHash(before.machine));
    }
  });

  test("an event's previous value is there until its row is removed", () => {
    const driver = filled();
    const last = driver.machine.scan(driver.machine.seek(6), 1)[0];
    driver.compact(6);
    expect(last && driver.machine.prevKv(last)).toBeDefined();
    driver.flush();
    driver.history.compact(driver.machine.physicalTarget());
    expect(last && driver.machine.prevKv(last)).toBeUndefined();
  });

  test("a watch from the point on still sees the delete at it", () => {
    const { driver } = removed(5);
    const rows = driver.machine.scan(driver.machine.seek(5), 10);
    expect(rows.map(({ key, revision, tombstone }) => [key, revision, tombstone])).toEqual([
      ["b", 5, true],
      ["a", 6, false],
      ["c", 7, false],
    ]);
  });
});

describe("dead keys", () => {
  test("leave the index only when the point has passed them", () => {
    const driver = filled();
    const size = (): number => driver.machine.space.index.tree.size;
    expect(size()).toBe(3);
    driver.compact(5);
    expect(driver.machine.sweep(100)).toBe(false);
    expect(size()).toBe(3);
    driver.compact(6);
    driver.machine.sweep(100);
    expect(size()).toBe(2);
  });

  test("a key that comes back meanwhile stays", () => {
    const driver = filled();
    driver.put("b", "again");
    driver.compact(8);
    driver.machine.sweep(100);
    expect(driver.contents()).toEqual(["a=3", "b=again", "c=y"]);
    verify(driver.machine);
  });

  test("go as entries are applied, without being asked", () => {
    const driver = filled();
    driver.compact(7);
    driver.put("d");
    expect(driver.machine.space.index.get("b")).toBeUndefined();
  });

  test("many are forgotten a few at a time", () => {
    const driver = new Driver();
    for (let i = 0; i < 1000; i++) driver.put(`k${i}`);
    driver.delete("\0", "\0");
    driver.put("last");
    driver.compact(driver.machine.revision);
    let rounds = 0;
    while (driver.machine.sweep(100)) rounds++;
    expect(rounds).toBeGreaterThan(5);
    expect(driver.machine.space.index.tree.size).toBe(1);
    verify(driver.machine);
  });
});

describe("a running read", () => {
  test("goes on at its revision through writes, compaction and removal", () => {
    const driver = new Driver();
    for (let i = 0; i < 500; i++) driver.put(`k${String(i).padStart(3, "0")}`, String(i));
    const expected = driver.contents();
    const cursor = driver.machine.openRange(ALL);
    const kvs: Uint8Array[] = [];
    let steps = 0;
    while (!cursor.step(7, 1000)) {
      kvs.push(...cursor.take());
      driver.delete(`k${String((steps * 37) % 500).padStart(3, "0")}`);
      driver.put(`k${String((steps * 91) % 500).padStart(3, "0")}`, "new");
      driver.put(`n${steps}`, "new");
      if (steps % 10 === 0) driver.compact(driver.machine.revision);
      driver.flush();
      driver.history.compact(driver.machine.physicalTarget());
      driver.machine.sweep(10);
      steps++;
    }
    kvs.push(...cursor.take());
    expect(texts({ kind: "range", revision: 0, kvs, more: false, count: 0 })).toEqual(expected);
    expect([cursor.count, cursor.more, cursor.revision]).toEqual([500, false, 501]);
    expect(steps).toBeGreaterThan(50);
    cursor.close();
    cursor.close();
    expect(driver.machine.physicalTarget()).toBe(driver.machine.compactRevision);
  });

  test("holds physical removal back until it is closed, finished or not", () => {
    const driver = filled();
    const first = driver.machine.openRange({ ...ALL, revision: 4 });
    const second = driver.machine.openRange({ ...ALL, revision: 4 });
    const third = driver.machine.openRange({ ...ALL, revision: 6 });
    driver.compact(7);
    expect(driver.machine.physicalTarget()).toBe(4);
    first.close();
    expect(driver.machine.physicalTarget()).toBe(4);
    second.close();
    expect(driver.machine.physicalTarget()).toBe(6);
    third.close();
    expect(driver.machine.physicalTarget()).toBe(7);
  });

  test("a step stops at its budgets", () => {
    const driver = new Driver();
    for (let i = 0; i < 300; i++) driver.put(`k${i}`, "x".repeat(100));
    const byKeys = driver.machine.openRange(ALL);
    expect([byKeys.step(50, 1e9), byKeys.take().length]).toEqual([false, 50]);
    byKeys.close();
    const byBytes = driver.machine.openRange(ALL);
    expect(byBytes.step(1e9, 1000)).toBe(false);
    expect(byBytes.take().length).toBeLessThan(12);
    byBytes.close();
  });

  test("counts right when the limit is reached anywhere in the tree", () => {
    const driver = new Driver();
    for (let i = 0; i < 200; i++) driver.put(`k${(i * 7) % 100}`, String(i));
    for (let limit = 1; limit <= 100; limit++) {
      const { count, more } = driver.range({ ...ALL, limit, revision: 120 });
      expect([count, more]).toEqual([100, limit < 100]);
    }
  });

  test("sliced, it comes to the same as whole", () => {
    const driver = new Driver();
    for (let i = 0; i < 200; i++) driver.put(`k${(i * 7) % 100}`, String(i));
    const limits = Array.from({ length: 100 }, (_, i) => ({ limit: i + 1, revision: 120 }));
    for (const request of [
      ...limits,
      { limit: 10 },
      { limit: 10, revision: 120 },
      { limit: 10, sortOrder: 2 },
      { sortTarget: 3, sortOrder: 2, revision: 150 },
      { limit: 5, sortTarget: 4 },
      { limit: 5, minModRevision: 150 },
      { countOnly: true, revision: 100 },
      { key: "z", rangeEnd: "a" },
    ]) {
      const whole = driver.range({ ...ALL, ...request });
      const cursor = driver.machine.openRange({ ...ALL, ...request });
      while (!cursor.step(1, 1));
      expect(cursor.result()).toEqual(whole);
      cursor.close();
    }
  });
});
