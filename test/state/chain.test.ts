/** Finding old versions: chains of 1 to 5000 revisions, before and after compaction. */
import { describe, expect, test } from "bun:test";
import { DEPTH_MAX, extendChain, KeyEntry } from "../../src/state/key-entry.ts";
import { verify } from "../../src/state/verify.ts";
import { Driver, texts } from "./driver.ts";

/** A driver whose key "k" was put `count` times: revision 2 has value 2, and so on. */
function chain(count: number): Driver {
  const driver = new Driver(0);
  for (let i = 2; i < 2 + count; i++) driver.put("k", String(i));
  driver.flush();
  return driver;
}

const EMPTY_BATCH = { appliedIndex: 0, appliedTerm: 0, rows: [], records: [] };

const entryDepth = (driver: Driver): number | undefined =>
  driver.machine.space.index.get("k")?.depth;

const valueAt = (driver: Driver, revision: number): string | undefined =>
  texts(driver.range({ key: "k", revision }))[0];

describe("jumps", () => {
  test("the jump of depth d goes to depth d & (d - 1)", () => {
    const entry = new KeyEntry("k");
    for (let depth = 1; depth <= 5000; depth++) {
      const jump = extendChain(entry, depth * 10);
      expect(jump).toBe((depth & (depth - 1)) * 10);
      expect([entry.depth, entry.seq]).toEqual([depth, depth * 10]);
      expect((entry.path ?? []).length).toBeLessThan(13);
    }
  });

  test("a key that was put once keeps no path", () => {
    const entry = new KeyEntry("k");
    extendChain(entry, 1);
    expect(entry.path).toBeNull();
  });
});

test("a chain of the greatest depth goes on at depth 1, and every revision is found", () => {
  const driver = chain(2);
  driver.compact(3);
  driver.history.compact(3); // so that the newest row may be as deep as it likes
  const [row] = driver.history.stored().rows;
  const entry = driver.machine.space.index.get("k");
  if (row === undefined || entry === undefined) throw new Error("the key is gone");
  entry.depth = DEPTH_MAX - 2;
  driver.history.store({ ...EMPTY_BATCH, rows: [{ ...row, depth: entry.depth }] });
  for (let i = 4; i < 9; i++) driver.put("k", String(i));
  driver.flush();
  const depths = Array.from(driver.history.stored().rows, ({ depth }) => depth);
  expect(depths).toEqual([DEPTH_MAX - 2, DEPTH_MAX - 1, DEPTH_MAX, 1, 2, 3]);
  for (const restart of [false, true]) {
    if (restart) driver.restart();
    verify(driver.machine);
    for (let revision = 3; revision < 9; revision++) {
      expect(valueAt(driver, revision)).toBe(`k=${revision}`);
    }
  }
  driver.put("k", "9");
  expect(entryDepth(driver)).toBe(4);
});

describe("every revision is found", () => {
  for (const count of [1, 2, 3, 4, 7, 8, 9, 31, 100, 1000]) {
    test(`of ${count}`, () => {
      const driver = chain(count);
      for (let revision = 2; revision < 2 + count; revision++) {
        expect(valueAt(driver, revision)).toBe(`k=${revision}`);
      }
      expect(valueAt(driver, 1)).toBeUndefined();
    });
  }

  test("of 5000, in few reads", () => {
    const driver = chain(5000);
    let most = 0;
    for (let revision = 2; revision < 5002; revision += 13) {
      driver.history.reads = 0;
      expect(valueAt(driver, revision)).toBe(`k=${revision}`);
      most = Math.max(most, driver.history.reads);
    }
    // 5000 has 13 bits: at most one jump tried and one row taken for each step of log² / 2.
    expect(most).toBeLessThan(100);
    verify(driver.machine);
  });
});

describe("after compaction", () => {
  test("at every point of a chain, and with more revisions on top", () => {
    for (const count of [1, 2, 5, 16, 33]) {
      for (let point = 2; point < 2 + count; point++) {
        const driver = chain(count);
        driver.compact(point);
        driver.flush();
        driver.history.compact(point);
        for (const restarted of [false, true]) {
          if (restarted) driver.restart();
          for (let more = 0; more < 9; more++) driver.put("k", String(driver.machine.revision + 1));
          driver.flush();
          verify(driver.machine);
          for (let revision = point; revision <= driver.machine.revision; revision++) {
            expect(valueAt(driver, revision)).toBe(`k=${revision}`);
          }
        }
      }
    }
  });

  test("of 5000 at 2500, restarted", () => {
    const driver = chain(5000);
    driver.compact(2500);
    driver.flush();
    driver.history.compact(2500);
    driver.restart();
    verify(driver.machine);
    for (let revision = 2500; revision < 5002; revision += 7) {
      expect(valueAt(driver, revision)).toBe(`k=${revision}`);
    }
  });

  test("a chain through deletes and new lives", () => {
    const driver = new Driver(0);
    for (let i = 0; i < 300; i++) {
      if (i % 3 === 2) driver.delete("k");
      else driver.put("k", String(driver.machine.revision + 1));
    }
    driver.compact(150);
    driver.flush();
    driver.history.compact(150);
    driver.restart();
    for (let revision = 150; revision <= 301; revision++) {
      const expected = (revision - 2) % 3 === 2 ? undefined : `k=${revision}`;
      expect(valueAt(driver, revision)).toBe(expected);
    }
  });
});
