import { expect, test } from "bun:test";
import { encodeEvent } from "../../src/proto/hot/watch.ts";
import { EventBatch } from "../../src/watch/event-batch.ts";
import { decodeEvent, KeyValue } from "./messages.ts";

const kvOfBytes = (valueBytes: number): Uint8Array =>
  KeyValue.encode({ key: Buffer.from("k"), value: Buffer.alloc(valueBytes, 120) }).finish();

test("an event decodes to what it was made of, at every length of length", () => {
  const sizes = [0, 1, 16_374, 16_375, 16_376, 16_377, 16_378, 16_379, 2_097_200];
  for (let size = 100; size < 140; size++) sizes.push(size);
  for (const size of sizes) {
    const kv = kvOfBytes(size);
    for (const tombstone of [false, true]) {
      const plain = decodeEvent(encodeEvent(tombstone, kv, undefined));
      expect(plain.isDelete).toBe(tombstone);
      expect(plain.kv.value.length).toBe(size);
      expect(plain.prevKv).toBeUndefined();
      const both = decodeEvent(encodeEvent(tombstone, kvOfBytes(3), kv));
      expect(both.kv.value).toBe("xxx");
      expect(both.prevKv?.value.length).toBe(size);
    }
  }
});

test("a batch counts revisions and the bytes of its events as a repeated field", () => {
  const batch = new EventBatch(5);
  batch.add(5, new Uint8Array(10));
  batch.add(5, new Uint8Array(127));
  batch.add(7, new Uint8Array(128));
  expect(batch.revisionCount).toBe(2);
  expect([batch.firstRevision, batch.lastRevision]).toEqual([5, 7]);
  expect(batch.eventBytes).toBe(12 + 129 + 131);
  expect(() => batch.add(6, new Uint8Array(1))).toThrow("in order");
});

test("fragments keep every event in order, below the bound unless one event is larger", () => {
  const batch = new EventBatch(5);
  const sizes = [10, 500, 20, 30, 1, 1, 1, 90, 90, 300];
  for (const size of sizes) batch.add(5, new Uint8Array(size));
  const pieces = batch.fragments(200);
  expect(pieces.flatMap((piece) => piece.events.map((event) => event.length))).toEqual(sizes);
  for (const piece of pieces) {
    if (piece.events.length > 1) expect(piece.eventBytes + 64).toBeLessThan(200);
  }
  expect(pieces.map((piece) => piece.events.length)).toEqual([1, 1, 5, 1, 1, 1]);
  expect(batch.fragments(200)).toBe(pieces);
});

test("a small batch is its own only fragment", () => {
  const batch = new EventBatch(5);
  batch.add(5, new Uint8Array(10));
  batch.add(6, new Uint8Array(10));
  expect(batch.fragments(2000)).toEqual([batch]);
});
