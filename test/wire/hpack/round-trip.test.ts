/** Whatever is encoded is decoded as it was, through any history of table sizes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { HpackDecoder } from "../../../src/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/wire/hpack/encoder.ts";
import { readInteger, writeInteger } from "../../../src/wire/hpack/integer.ts";

const LIMITS = { tableBytesMax: 4096, listBytesMax: 1 << 24 };

const anyText = fc
  .uint8Array({ maxLength: 60 })
  .map((bytes) => Buffer.from(bytes).toString("latin1"));
const nameText = fc.oneof(
  fc.constantFrom(":path", ":status", "content-type", "token", "x-a", "x-b", "cookie"),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
);
const valueText = fc.oneof(
  fc.constantFrom("", "200", "application/grpc", "a", "b", "GET"),
  fc.stringMatching(/^[a-zA-Z0-9/._-]{0,200}$/),
  anyText,
);
const field = fc.tuple(nameText, valueText);
const list = fc.array(field, { maxLength: 12 }).map((fields) => fields.flat());
const size = fc.oneof(fc.constantFrom(0, 31, 32, 64, 4096, 65536), fc.nat(5000));
const step = fc.oneof(
  { weight: 4, arbitrary: list.map((fields) => ({ fields })) },
  { weight: 1, arbitrary: size.map((bytes) => ({ bytes })) },
);

function sameTable(encoder: HpackEncoder, decoder: HpackDecoder): void {
  encoder.table.verify();
  decoder.table.verify();
  const [ours, theirs] = [encoder.table, decoder.table];
  expect([theirs.count, theirs.bytes, theirs.bytesMax]).toEqual([
    ours.count,
    ours.bytes,
    ours.bytesMax,
  ]);
  for (let at = 1; at <= ours.count; at++) {
    if (theirs.nameAt(at) !== ours.nameAt(at) || theirs.valueAt(at) !== ours.valueAt(at)) {
      throw new Error(`entry ${at} differs`);
    }
  }
}

test("lists and table sizes in any order", () => {
  const property = fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(LIMITS);
    const out = new ByteWriter(64);
    for (const each of steps) {
      if ("bytes" in each) {
        encoder.setTableBytesMax(each.bytes);
        decoder.setTableBytesMax(Math.min(each.bytes, 4096)); // acknowledged at once
        continue;
      }
      out.reset();
      encoder.encode(each.fields, out);
      expect(decoder.decode(out.bytes, 0, out.length)).toEqual(each.fields);
      if (out.length > 0) sameTable(encoder, decoder);
    }
  });
  fc.assert(property, { seed: 7541, numRuns: 600 });
});

test("a block whose encoding left the version alone may be sent again", () => {
  let reused = 0;
  const property = fc.property(fc.array(list, { minLength: 1, maxLength: 8 }), (lists) => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(LIMITS);
    const out = new ByteWriter(64);
    const kept = new Map<string, { version: number; block: Buffer; told: number }>();
    for (const fields of [...lists, ...lists, ...lists]) {
      const key = fields.join("\u0100");
      const cached = kept.get(key);
      if (cached?.version === encoder.version) {
        reused++;
        expect(decoder.version).toBe(cached.told);
        expect(decoder.decode(cached.block, 0, cached.block.length)).toEqual(fields);
        expect(decoder.version).toBe(cached.told);
        continue;
      }
      out.reset();
      const before = encoder.version;
      encoder.encode(fields, out);
      expect(decoder.decode(out.bytes, 0, out.length)).toEqual(fields);
      if (encoder.version !== before) continue;
      kept.set(key, { version: before, block: Buffer.from(out.view()), told: decoder.version });
    }
  });
  fc.assert(property, { seed: 11, numRuns: 200 });
  expect(reused).toBeGreaterThan(200);
});

test("integers of every prefix", () => {
  const property = fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(2 ** 31 - 1), (bits, n) => {
    const prefixMax = 2 ** bits - 1;
    const out = new ByteWriter(8);
    writeInteger(out, 0, prefixMax, n);
    const cursor = { bytes: out.view(), at: 0, end: out.length };
    expect(readInteger(cursor, prefixMax)).toBe(n);
    expect(cursor.at).toBe(out.length);
  });
  fc.assert(property, { seed: 5, numRuns: 2000 });
});

describe("what the encoder chooses", () => {
  const blockOf = (encoder: HpackEncoder, fields: string[], secrets?: string[]): string => {
    const out = new ByteWriter(64);
    encoder.encode(fields, out, secrets);
    return out.view().toString("hex");
  };

  test("a repeating field becomes one byte, and the version then stands", () => {
    const encoder = new HpackEncoder();
    const fields = [":status", "200", "content-type", "application/grpc"];
    expect(blockOf(encoder, fields).startsWith("885f")).toBe(true);
    const version = encoder.version;
    expect(blockOf(encoder, fields)).toBe("88be");
    expect(encoder.version).toBe(version);
  });

  test("a varying field never enters the table", () => {
    const encoder = new HpackEncoder();
    for (const value of ["1S", "2S"]) {
      const block = blockOf(encoder, ["grpc-timeout", value, "content-length", "5"]);
      expect(block.startsWith("00")).toBe(true);
    }
    expect(encoder.table.count).toBe(0);
    expect(encoder.version).toBe(0);
  });

  test("secrets are never indexed, nor found in the table", () => {
    const encoder = new HpackEncoder();
    const first = blockOf(encoder, ["authorization", "abc", "x-key", "abc"]);
    expect(first.startsWith("1f08")).toBe(true); // never indexed, name 23
    expect(encoder.table.count).toBe(1); // x-key
    expect(blockOf(encoder, ["x-key", "abc"], ["x-key"]).startsWith("1f2f")).toBe(true);
    expect(blockOf(encoder, [":path", "/"], [":path"]).startsWith("14")).toBe(true);
  });

  test("an entry over half of the table is not worth the place", () => {
    const encoder = new HpackEncoder();
    blockOf(encoder, ["x-large", "v".repeat(2100)]);
    expect(encoder.table.count).toBe(0);
    blockOf(encoder, ["x-less", "v".repeat(1900)]);
    expect(encoder.table.count).toBe(1);
  });

  test("the smallest size between two blocks is told, then the last", () => {
    const encoder = new HpackEncoder();
    encoder.setTableBytesMax(65536); // more than we use: nothing to tell
    expect(blockOf(encoder, [":method", "GET"])).toBe("82");
    encoder.setTableBytesMax(0);
    encoder.setTableBytesMax(100);
    const version = encoder.version;
    expect(blockOf(encoder, [":method", "GET"])).toBe("203f4582");
    expect(encoder.version).toBeGreaterThan(version); // not a block to keep
    expect(blockOf(encoder, [":method", "GET"])).toBe("82");
    encoder.setTableBytesMax(4096);
    expect(blockOf(encoder, [":method", "GET"])).toBe("3fe11f82");
  });
});
