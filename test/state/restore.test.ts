/** Starting from what a store holds. */
import { describe, expect, test } from "bun:test";
import { KvHash } from "../../src/state/kv-hash.ts";
import { StateMachine } from "../../src/state/machine.ts";
import type { StoredState } from "../../src/state/ports.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import type { WatchSource } from "../../src/watch/ports.ts";
import { codeOf, Driver } from "./driver.ts";
import { MemoryHistory } from "./memory-history.ts";

function filled(): Driver {
  const driver = new Driver();
  driver.grant(1n);
  for (let i = 0; i < 300; i++) driver.put(`k${i % 100}`, String(i), { lease: i % 5 ? 0n : 1n });
  for (let i = 0; i < 30; i++) driver.delete(`k${i}`);
  driver.compact(150);
  return driver;
}

describe("a restart", () => {
  test("changes nothing that can be seen", () => {
    const driver = filled();
    const hash = stateHash(driver.machine);
    const at = [150, 200, 301, 320].map((revision) => driver.contents(revision));
    driver.restart();
    verify(driver.machine);
    expect(stateHash(driver.machine)).toBe(hash);
    expect([150, 200, 301, 320].map((revision) => driver.contents(revision))).toEqual(at);
  });

  test("goes on with seqs and subs where it stopped", () => {
    const driver = filled();
    const last = driver.machine.scan(1, 10_000).at(-1)?.seq ?? 0;
    driver.restart();
    driver.put("new");
    expect(driver.machine.takeRows().map((row) => row.seq)).toEqual([last + 1]);
  });

  test("applies nothing twice: the applied index comes back, too", () => {
    const driver = filled();
    const { appliedIndex } = driver.machine;
    driver.restart();
    expect(driver.machine.appliedIndex).toBe(appliedIndex);
    expect(() => driver.machine.advance(appliedIndex, 1)).toThrow("applied once");
  });

  test("of an empty store is an empty machine", () => {
    const driver = new Driver();
    driver.restart();
    expect([driver.machine.revision, driver.machine.compactRevision]).toEqual([1, -1]);
    expect(driver.put("a").revision).toBe(2);
  });
});

describe("a store that lost its newest rows to compaction", () => {
  // A store must not do that; one that did must still not make the revision go back.
  test("keeps the revision and the seq from the compaction record", () => {
    const driver = new Driver();
    driver.put("a");
    driver.delete("a");
    driver.compact(3);
    driver.flush();
    const stored: StoredState = { ...driver.history.stored(), rows: [] };
    const machine = new StateMachine(new MemoryHistory());
    machine.restore(stored);
    expect([machine.revision, machine.compactRevision, machine.seek(4)]).toEqual([3, 3, 3]);
  });
});

describe("a broken store", () => {
  test("rows out of order stop the start", () => {
    const driver = filled();
    driver.flush();
    const stored = driver.history.stored();
    const rows = [...stored.rows].reverse();
    const machine = new StateMachine(new MemoryHistory());
    expect(() => machine.restore({ ...stored, rows })).toThrow("row 329 stands after row 330");
  });

  test("a live key whose lease is not there stops the start", () => {
    const driver = filled();
    driver.flush();
    const machine = new StateMachine(driver.history);
    expect(() => machine.restore({ ...driver.history.stored(), records: [] })).toThrow("lease");
  });

  test("records of other rooms are left alone", () => {
    const driver = filled();
    driver.flush();
    const stored = driver.history.stored();
    const value = Uint8Array.of(1);
    const others = [
      { space: "auth", key: "compact", value },
      { space: "meta", key: "cluster", value },
    ];
    const records = [...stored.records, ...others];
    const machine = new StateMachine(driver.history);
    machine.restore({ ...stored, records });
    expect(machine.revision).toBe(driver.machine.revision);
  });
});

test("the machine is what the watch hub reads", () => {
  const driver = filled();
  const source: WatchSource = driver.machine;
  const [row] = source.scan(source.seek(300), 1);
  expect([source.revision, source.compactRevision, row?.revision]).toEqual([331, 150, 300]);
});

describe("batches", () => {
  test("hold everything since the last one, once", () => {
    const driver = new Driver();
    driver.put("a");
    driver.grant(1n);
    const first = driver.machine.takeBatch();
    expect([first.rows.length, first.records.length, first.appliedIndex]).toEqual([1, 1, 2]);
    driver.put("b");
    const second = driver.machine.takeBatch();
    expect([second.rows.map((row) => row.seq), second.records]).toEqual([[2], []]);
    expect(driver.machine.takeBatch().rows).toEqual([]);
  });

  test("rows are readable before and after the store has them", () => {
    const driver = new Driver(0);
    for (let i = 0; i < 3000; i++) driver.put(`k${i % 10}`, String(i));
    expect(driver.machine.unstoredCount).toBe(3000);
    const before = driver.contents(1500);
    const rows = driver.machine.scan(driver.machine.seek(1400), 50);
    driver.machine.takeRows();
    const batch = driver.machine.takeBatch();
    driver.history.store(batch);
    driver.machine.stored(1450);
    expect(driver.machine.unstoredCount).toBe(1550);
    expect(driver.contents(1500)).toEqual(before);
    expect(driver.machine.scan(driver.machine.seek(1400), 50)).toEqual(rows);
    driver.machine.stored(3000);
    expect(driver.contents(1500)).toEqual(before);
    expect(driver.machine.scan(driver.machine.seek(1400), 50)).toEqual(rows);
    expect(driver.machine.scan(3001, 10)).toEqual([]);
  });

  test("what was not handed out cannot be stored", () => {
    const driver = new Driver();
    driver.put("a");
    expect(() => driver.machine.stored(1)).toThrow("handed to the store");
    driver.machine.takeBatch();
    expect(() => driver.machine.stored(1)).toThrow("watch hub");
  });

  test("an entry without commands moves the applied index and nothing else", () => {
    const driver = new Driver();
    driver.machine.advance(5, 2);
    expect([driver.machine.appliedIndex, driver.machine.appliedTerm]).toEqual([5, 2]);
    expect(driver.machine.takeBatch()).toEqual({
      appliedIndex: 5,
      appliedTerm: 2,
      rows: [],
      records: [],
    });
    expect(() => driver.machine.advance(6, 1)).toThrow("terms");
  });
});

describe("the value cache", () => {
  test("keeps to its bound and loses no answer", () => {
    const driver = new Driver(20_000);
    for (let i = 0; i < 1000; i++) {
      driver.put(`k${i % 150}`, "x".repeat(i));
      if (i % 10 === 0) driver.flush();
    }
    driver.flush();
    verify(driver.machine);
    const { cache } = driver.machine.space;
    expect(cache.bytes).toBeLessThanOrEqual(20_000);
    expect(cache.size).toBeGreaterThan(5);
    for (let i = 850; i < 1000; i++) {
      expect(driver.range({ key: `k${i % 150}` }).kvs[0]?.length).toBeGreaterThan(i);
    }
    verify(driver.machine);
  });

  test("what is read again and again stays", () => {
    const driver = new Driver(20_000);
    driver.put("hot", "h");
    for (let i = 0; i < 2000; i++) {
      driver.put(`k${i}`, "x".repeat(100));
      driver.machine.get("hot");
      driver.flush();
    }
    driver.history.reads = 0;
    driver.machine.get("hot");
    expect(driver.history.reads).toBe(0);
    driver.machine.get("k0");
    expect(driver.history.reads).toBe(1);
  });
});

describe("hashes", () => {
  test("a sliced one is that of its revision, whatever happens meanwhile", () => {
    const driver = filled();
    const whole = new KvHash(driver.machine, 300);
    while (!whole.step(1e9));
    const sliced = new KvHash(driver.machine, 300);
    let steps = 0;
    while (!sliced.step(5)) {
      driver.put(`k${steps}`, "new");
      driver.compact(driver.machine.revision);
      driver.flush();
      driver.history.compact(driver.machine.physicalTarget());
      driver.machine.sweep(3);
      steps++;
    }
    expect(steps).toBeGreaterThan(10);
    expect([sliced.hash, sliced.revision, sliced.compactRevision]).toEqual([whole.hash, 300, 150]);
    expect(driver.machine.physicalTarget()).toBe(driver.machine.compactRevision);
  });

  test("is taken in steps of few rows and bytes, also of one key with a long history", () => {
    const driver = new Driver();
    for (let i = 0; i < 300; i++) driver.put("long", "x".repeat(16_000));
    driver.flush();
    driver.put("other");
    const cursor = new KvHash(driver.machine);
    const stepsOf = (rows: number): number => {
      let most = 0;
      for (let done = false; !done; ) {
        driver.history.reads = 0;
        done = cursor.step(rows);
        most = Math.max(most, driver.history.reads);
      }
      return most;
    };
    expect(stepsOf(20)).toBeLessThan(25);
    const bounded = new KvHash(driver.machine);
    let steps = 1;
    while (!bounded.step(1e9)) steps++;
    expect(steps).toBe(5); // of a MiB each
    expect(bounded.hash).toBe(cursor.hash);
  });

  test("tells different histories apart", () => {
    const hashes = new Set<string>();
    for (const change of [
      () => {},
      (d: Driver) => d.put("a"),
      (d: Driver) => d.put("a", "x"),
      (d: Driver) => d.delete("k50"),
      (d: Driver) => d.compact(200),
      (d: Driver) => d.grant(2n),
      (d: Driver) => d.expire([1n]),
    ]) {
      const driver = filled();
      change(driver);
      hashes.add(stateHash(driver.machine));
    }
    expect(hashes.size).toBe(7);
  });

  test("is refused where a read is", () => {
    const { machine } = filled();
    expect(codeOf(() => new KvHash(machine, 149))).toBe("compacted");
    expect(codeOf(() => new KvHash(machine, 1000))).toBe("future_revision");
  });
});
