/**
 * Header compression against a second implementation, written from RFC 7541 alone (test/rfc/kit):
 * any block ends in the same list or in an error at both, and leaves the same table; what our
 * encoder writes, both decode to what it was given.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import { HpackDecoder } from "../../src/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../src/wire/hpack/encoder.ts";
import { HpackError } from "../../src/wire/hpack/error.ts";
import {
  huffmanBytes,
  huffmanDecode,
  huffmanDecodedBytesMax,
  huffmanEncode,
} from "../../src/wire/hpack/huffman.ts";
import { Decoder, indexed, literal, sizeUpdate } from "../rfc/kit/hpack.ts";
import * as huffman from "../rfc/kit/huffman.ts";
import { fuzz } from "./fuzz.ts";

const LIST_BYTES_MAX = 4096;
const FIELD_OVERHEAD_BYTES = 32;

/** What a decoder made of a block. */
type Outcome = readonly string[] | "malformed" | "list_too_large";

const octets = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
const name = fc.oneof(
  fc.constantFrom("x-a", "x-b", ":path", "Upper", "a:b", ""),
  octets(12).map((bytes) => Buffer.from(bytes).toString("latin1")),
);
const value = fc.oneof(fc.constantFrom("", "v", " v", "a\nb"), octets(300));
/** Mostly of the static table and of the first dynamic entries, so that blocks go on. */
const index = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 61 }) },
  { weight: 6, arbitrary: fc.integer({ min: 62, max: 64 }) },
  { weight: 1, arbitrary: fc.nat() },
);

/** One representation (§6), mostly a good one. */
const part: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 30, arbitrary: index.map(indexed) },
  {
    weight: 60,
    arbitrary: fc
      .tuple(
        fc.oneof(name, index),
        value,
        fc.constantFrom("indexing", "plain", "never"),
        fc.boolean(),
      )
      .map(([named, valued, form, coded]) => literal(named, valued, form, coded)),
  },
  { weight: 1, arbitrary: fc.nat(5000).map(sizeUpdate) },
  { weight: 1, arbitrary: octets(8) },
);

const change = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 });

/** A block of parts, of which a few bytes may be others. */
const block: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.array(fc.nat(4500).map(sizeUpdate), { maxLength: 2, size: "xsmall" }),
    fc.array(part, { maxLength: 12 }),
    fc.oneof({ weight: 9, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: change }),
  )
  .map(([updates, parts, changes]) => {
    const whole = Buffer.concat([...updates, ...parts]);
    for (const [at, byte] of changes) if (whole.length > 0) whole[at % whole.length] = byte;
    return whole;
  });

function decodeOurs(decoder: HpackDecoder, bytes: Uint8Array): Outcome {
  try {
    const framed = Buffer.concat([Buffer.from([0xff]), bytes, Buffer.from([0x82])]);
    return decoder.decode(framed, 1, 1 + bytes.length);
  } catch (error) {
    if (!(error instanceof HpackError)) throw error;
    return error.fault;
  }
}

function decodeTheirs(decoder: Decoder, bytes: Uint8Array): Outcome {
  try {
    const fields = decoder.decode(Buffer.from(bytes)).flat();
    const overhead = (fields.length / 2) * FIELD_OVERHEAD_BYTES;
    const size = fields.reduce((sum, text) => sum + text.length, overhead);
    return size > LIST_BYTES_MAX ? "list_too_large" : fields;
  } catch {
    return "malformed";
  }
}

/** RFC 9113 §8.2.1, in the grammar of RFC 9110 §5.1 for names. */
function isLegal(fields: readonly string[]): boolean {
  return fields.every((text, at) => {
    if (at % 2 === 0) return /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(text);
    return !/[\0\r\n]/.test(text) && !/^[ \t]|[ \t]$/.test(text);
  });
}

function entriesOf({ table }: HpackDecoder): string[][] {
  const places = Array.from({ length: table.count }, (_, at) => at + 1);
  return places.map((place) => [table.nameAt(place), table.valueAt(place)]);
}

fuzz({
  name: "hpack-decode",
  inputs: [fc.array(block, { maxLength: 6 })],
  runs: 1500,
  check: (blocks) => {
    const ours = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: LIST_BYTES_MAX });
    const theirs = new Decoder(Number.POSITIVE_INFINITY);
    for (const bytes of blocks) {
      const version = ours.version;
      const outcome = decodeOurs(ours, bytes);
      expect(outcome).toEqual(decodeTheirs(theirs, bytes));
      if (outcome === "malformed") return;
      ours.table.verify();
      expect(entriesOf(ours)).toEqual(theirs.entries.map((entry) => [...entry]));
      if (typeof outcome === "string") continue;
      expect(ours.fieldsValid).toBe(isLegal(outcome));
      if (ours.version === version) expect(decodeOurs(ours, bytes)).toEqual(outcome);
    }
  },
});

const text = fc.oneof(
  fc.constantFrom("", "200", "application/grpc", "token", "secret"),
  octets(80).map((bytes) => Buffer.from(bytes).toString("latin1")),
);
const list = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(":status", "token", "grpc-status"), text), text), {
    maxLength: 8,
  })
  .map((fields) => fields.flat());
const step = fc.record({
  fields: list,
  sizes: fc.array(fc.oneof(fc.nat(300), fc.nat(100_000)), { maxLength: 3 }),
  sensitive: fc.subarray(["token", "secret", "grpc-status"]),
});

fuzz({
  name: "hpack-identity",
  inputs: [fc.array(step, { maxLength: 8 })],
  runs: 1000,
  check: (steps) => {
    const encoder = new HpackEncoder();
    const ours = new HpackDecoder({ tableBytesMax: 100_000, listBytesMax: 1 << 20 });
    const theirs = new Decoder();
    for (const { fields, sizes, sensitive } of steps) {
      for (const size of sizes) {
        encoder.setTableBytesMax(size);
        theirs.allow(size);
      }
      const out = new ByteWriter(16);
      encoder.encode(fields, out, sensitive);
      expect(ours.decode(out.bytes, 0, out.length)).toEqual(fields);
      expect(theirs.decode(Buffer.from(out.view())).flat()).toEqual(fields);
      const names = fields.filter((_, at) => at % 2 === 0);
      const secret = names.filter((each) => sensitive.includes(each) || each === "token");
      for (const each of secret) expect(ours.neverIndexed).toContain(each);
    }
  },
});

fuzz({
  name: "huffman",
  inputs: [octets(200)],
  runs: 3000,
  check: (bytes) => {
    const latin1 = Buffer.from(bytes).toString("latin1");
    const out = new ByteWriter(16);
    huffmanEncode(latin1, huffmanBytes(latin1), out);
    expect(Buffer.from(out.view()).equals(huffman.encode(bytes))).toBe(true);
    expect(decodeHuffman(huffman.encode(bytes))).toBe(latin1);
    let theirs = "malformed"; // and the same bytes, taken for a code
    try {
      theirs = huffman.decode(bytes).toString("latin1");
    } catch {
      // as it was
    }
    expect(decodeHuffman(bytes)).toBe(theirs);
  },
});

function decodeHuffman(bytes: Uint8Array): string {
  const out = Buffer.alloc(huffmanDecodedBytesMax(bytes.length) + 1, 0xee);
  try {
    const end = huffmanDecode(bytes, 0, bytes.length, out, 0);
    expect(out[out.length - 1]).toBe(0xee); // nothing beyond the room that it asked for
    return out.toString("latin1", 0, end);
  } catch (error) {
    if (!(error instanceof HpackError)) throw error;
    return "malformed";
  }
}

fuzz({
  name: "hpack-integer",
  inputs: [fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 2 ** 31 }))],
  runs: 500,
  check: (size) => {
    const limits = { tableBytesMax: size, listBytesMax: LIST_BYTES_MAX };
    expect(decodeOurs(new HpackDecoder(limits), sizeUpdate(size))).toEqual([]);
    expect(decodeOurs(new HpackDecoder(limits), sizeUpdate(size + 1))).toBe("malformed");
  },
});
