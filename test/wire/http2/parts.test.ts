/** The small parts of HTTP/2: the table of streams, the cache of blocks, buckets, recent ids. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../../src/base/assert.ts";
import { Prng } from "../../../src/base/prng.ts";
import { BlockCache } from "../../../src/wire/http2/block-cache.ts";
import { Keepalive } from "../../../src/wire/http2/keepalive.ts";
import { STREAM_BYTES } from "../../../src/wire/http2/limits.ts";
import { RecentIds } from "../../../src/wire/http2/recent-ids.ts";
import { StreamTable } from "../../../src/wire/http2/stream-table.ts";
import { TokenBucket } from "../../../src/wire/http2/token-bucket.ts";

interface TableStream {
  readonly id: number;
  readonly headBytes: number;
}

describe("StreamTable", () => {
  test("is a map, also with long-lived streams in the way", () => {
    const prng = new Prng(1);
    const table = new StreamTable<TableStream>();
    const model = new Map<number, TableStream>();
    const lingering: TableStream[] = [];
    let id = 1;
    for (let step = 0; step < 20_000; step++) {
      if (prng.chance(52) && model.size < 1500) {
        const stream = { id, headBytes: prng.below(1000) };
        id += 2 * (1 + prng.below(3));
        table.add(stream);
        model.set(stream.id, stream);
      } else {
        const ids = [...model.keys()];
        // The oldest stay long: these are the ones in the way.
        const key = ids[Math.max(ids.length - 1 - prng.below(20), 0)];
        if (key === undefined) continue;
        const stream = model.get(key) as TableStream;
        if (prng.chance(10)) lingering.push(stream);
        if (lingering.at(-1) === stream) table.linger(stream);
        table.remove(stream);
        model.delete(key);
        if (lingering.length > 10) table.endLinger(lingering.shift() as TableStream);
      }
      const probe = 1 + 2 * prng.below(id);
      expect(table.get(probe)).toBe(model.get(probe) as TableStream);
      if (step % 100 === 0) table.verify();
    }
    const kept = [...model.values(), ...lingering];
    const heads = kept.reduce((sum, { headBytes }) => sum + headBytes, 0);
    expect(table.keptBytes).toBe(kept.length * STREAM_BYTES + heads);
    expect(table.callCount).toBe(kept.length);
    table.verify();
    const ids = table.list().map((stream) => stream.id);
    expect(ids.sort((a, b) => a - b)).toEqual([...model.keys()].sort((a, b) => a - b));
    expect(table.count).toBe(model.size);
  });
  test("asserts that what is removed was there", () => {
    const table = new StreamTable<TableStream>();
    expect(() => table.remove({ id: 1, headBytes: 0 })).toThrow(AssertionError);
  });
});

describe("BlockCache", () => {
  const block = (text: string): Buffer => Buffer.from(text);
  test("finds the same bytes at the same version", () => {
    const cache = new BlockCache<string>();
    const bytes = block("xxabcdxx");
    expect(cache.find(bytes, 2, 6, 1)).toBeUndefined();
    cache.keep(bytes, 2, 6, 1, "abcd");
    bytes.fill(0); // the cache has its own copy
    expect(cache.find(block("abcd"), 0, 4, 1)).toBe("abcd");
    expect(cache.find(block("abcd"), 0, 4, 2)).toBeUndefined();
    expect(cache.find(block("abce"), 0, 4, 1)).toBeUndefined();
    expect(cache.find(block("abcd"), 0, 3, 1)).toBeUndefined();
  });
  test("serves several blocks by turns", () => {
    const cache = new BlockCache<number>();
    const blocks = Array.from({ length: 8 }, (_, index) => block(`path-${index}-of-a-service`));
    for (let round = 0; round < 3; round++) {
      blocks.forEach((bytes, index) => {
        const found = cache.find(bytes, 0, bytes.length, 0);
        if (round > 0 && found !== undefined) expect(found).toBe(index);
        if (found === undefined) cache.keep(bytes, 0, bytes.length, 0, index);
      });
    }
    const hits = blocks.filter((bytes) => cache.find(bytes, 0, bytes.length, 0) !== undefined);
    expect(hits.length).toBeGreaterThan(5);
  });
  test("does not keep long blocks", () => {
    const cache = new BlockCache<number>();
    cache.keep(Buffer.alloc(1025), 0, 1025, 0, 1);
    expect(cache.find(Buffer.alloc(1025), 0, 1025, 0)).toBeUndefined();
    cache.keep(Buffer.alloc(1024), 0, 1024, 0, 1);
    expect(cache.find(Buffer.alloc(1024), 0, 1024, 0)).toBe(1);
  });
});

test("TokenBucket: the burst, then the rate, never more than the burst", () => {
  const bucket = new TokenBucket(3, 10);
  const take = (now: number, tries: number): number =>
    Array.from({ length: tries }, () => bucket.take(now)).filter(Boolean).length;
  expect(take(1000, 10)).toBe(3);
  expect(take(1099, 10)).toBe(0);
  expect(take(1100, 10)).toBe(1);
  expect(take(1000, 10)).toBe(0); // a clock that went back
  expect(take(9000, 10)).toBe(3);
  bucket.earn(2);
  expect(take(9000, 10)).toBe(2);
  bucket.earn(100);
  expect(take(9000, 10)).toBe(3);
});

test("RecentIds knows the last ones at least, and twice as many at most", () => {
  const ids = new RecentIds(3);
  for (let id = 1; id <= 1000; id++) {
    ids.add(id);
    for (let last = id; last > Math.max(0, id - 3); last--) expect(ids.has(last)).toBe(true);
    expect(ids.count).toBeLessThanOrEqual(6);
    expect(ids.has(id - 6)).toBe(false);
  }
});

test("Keepalive: ping after silence, dead after more of it, alive at a byte", () => {
  const keepalive = new Keepalive({ idleMs: 100, timeoutMs: 20 }, 0);
  const at = (now: number): string => keepalive.tick(now);
  expect([at(99), at(100), at(110), at(119)]).toEqual(["nothing", "ping", "nothing", "nothing"]);
  keepalive.onReceived(119);
  expect([at(130), at(218), at(219), at(239)]).toEqual(["nothing", "nothing", "ping", "dead"]);
});

test("Keepalive: who measures pings a busy peer too, and counts from each ping", () => {
  const trips: number[] = [];
  const onRoundTrip = (ms: number): void => void trips.push(ms);
  const keepalive = new Keepalive({ idleMs: 100, timeoutMs: 20, onRoundTrip }, 0);
  const at = (now: number): string => keepalive.tick(now);
  keepalive.onReceived(99);
  expect([at(99), at(100)]).toEqual(["nothing", "ping"]);
  keepalive.onReceived(110); // something else
  expect([at(199), at(200)]).toEqual(["nothing", "ping"]);
  keepalive.onReceived(205);
  keepalive.onAnswered(205); // the first of the two
  keepalive.onAnswered(206);
  expect(trips).toEqual([105]);
  expect([at(300), at(319), at(320)]).toEqual(["ping", "nothing", "dead"]);
});
