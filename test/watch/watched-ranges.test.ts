import { expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { WatchedRanges } from "../../src/watch/watched-ranges.ts";
import { newStream, newWatcher, type WatchedRange, type Watcher } from "../../src/watch/watcher.ts";

const stream = newStream({ writable: true, send: () => undefined });

function watcherOf(key: string, rangeEnd: string, noPut = false): Watcher {
  return newWatcher(stream, {
    key,
    rangeEnd,
    startRevision: 0,
    progressNotify: false,
    noPut,
    noDelete: false,
    prevKv: false,
    watchId: 0,
    fragment: false,
  });
}

function found(ranges: WatchedRanges, key: string): Watcher[] {
  const out: WatchedRange[] = [];
  ranges.match(key, out);
  return out.flatMap((range) => range.audiences.flatMap((audience) => audience.watchers));
}

test("a random index finds exactly the watchers of a key", () => {
  const prng = new Prng(7);
  const ranges = new WatchedRanges();
  const watchers = new Set<Watcher>();
  const key = (): string =>
    String.fromCharCode(prng.below(6), prng.below(256)).slice(0, 1 + prng.below(2));
  for (let round = 0; round < 4000; round++) {
    if (prng.below(100) < 55 || watchers.size === 0) {
      const [a, b] = [key(), key()].sort() as [string, string];
      const end = prng.pick(["", "\0", b === a ? "" : b]);
      const watcher = watcherOf(a, end, prng.chance(30));
      ranges.add(watcher, 0);
      watchers.add(watcher);
    } else {
      const watcher = prng.pick([...watchers]);
      ranges.remove(watcher);
      watchers.delete(watcher);
    }
    if (round % 50 === 0) ranges.verify();
    const probe = key();
    const expected = [...watchers].filter((one) =>
      one.end === "" ? one.key === probe : one.key <= probe && probe < one.end,
    );
    expect(new Set(found(ranges, probe))).toEqual(new Set(expected));
  }
  for (const watcher of watchers) ranges.remove(watcher);
  ranges.verify();
  expect(ranges.size).toBe(0);
});

test("ranges added and removed in order keep the tree flat", () => {
  const ranges = new WatchedRanges();
  const watchers = Array.from({ length: 2000 }, (_, index) => {
    const start = String(index).padStart(5, "0");
    return watcherOf(start, `${start}x`);
  });
  for (const watcher of watchers) ranges.add(watcher, 0);
  ranges.verify();
  expect(found(ranges, "01234")).toEqual([watchers[1234] as Watcher]);
  expect(found(ranges, "x")).toEqual([]);
  for (const watcher of watchers.slice(0, 1990)) ranges.remove(watcher);
  ranges.verify();
  expect(found(ranges, "01995a")).toEqual([watchers[1995] as Watcher]);
});

test("watchers of one range who want the same share an audience", () => {
  const ranges = new WatchedRanges();
  for (let index = 0; index < 100; index++) ranges.add(watcherOf("a", "b", index % 2 === 0), 0);
  const out: WatchedRange[] = [];
  ranges.match("a", out);
  expect(out.length).toBe(1);
  expect(out[0]?.audiences.map((audience) => audience.watchers.length)).toEqual([50, 50]);
});
