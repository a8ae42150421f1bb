/** What a hostile or an odd block may do to the decoder: be refused, be counted, never more. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { HpackDecoder } from "../../../src/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/wire/hpack/encoder.ts";
import { HpackError, type HpackFault } from "../../../src/wire/hpack/error.ts";
import { readInteger, writeInteger } from "../../../src/wire/hpack/integer.ts";

const LIMITS = { tableBytesMax: 4096, listBytesMax: 16384 };

function decodeHex(decoder: HpackDecoder, hex: string): string[] {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  return decoder.decode(bytes, 0, bytes.length);
}

function faultOf(run: () => void): HpackFault | "none" {
  try {
    run();
  } catch (error) {
    if (error instanceof HpackError) return error.fault;
    throw error;
  }
  return "none";
}

/** A literal with indexing and a new name. */
function indexed(name: string, value: string): Buffer {
  const out = new ByteWriter(64);
  out.u8(0x40);
  writeInteger(out, 0, 0x7f, name.length);
  out.latin1(name);
  writeInteger(out, 0, 0x7f, value.length);
  out.latin1(value);
  return Buffer.from(out.view());
}

describe("malformed blocks", () => {
  const table: readonly [what: string, hex: string][] = [
    ["index 0 (§6.1)", "80"],
    ["index one past the static table", "be"],
    ["index far away", "ff ff ff ff 7f"],
    ["name index past the table", "7f 00 00"],
    ["integer with six continuation bytes (§5.1)", "ff 80 80 80 80 80 00"],
    ["integer that never ends", "ff 80 80 80 80 80 80 80 80 80 80"],
    ["integer cut", "ff 80"],
    ["literal cut before the name", "40"],
    ["literal cut inside the name", "40 05 61 62"],
    ["literal cut before the value", "40 01 61"],
    ["literal cut inside the value", "40 01 61 03 62"],
    ["string length of 32 GiB", "40 7f ff ff ff ff 7f"],
    ["string longer by one", "40 01 61 02 62"],
    ["Huffman string with EOS", "40 84 ff ff ff ff 00"],
    ["Huffman string with a byte of padding", "40 01 61 81 ff"],
    ["size update above the limit (§6.3)", "3f e2 1f"],
    ["size update after the first field (§4.2)", "82 20 01 61 01 62"],
    ["size update at the end", "20 82 3f e1 1f"],
  ];
  for (const [what, hex] of table) {
    test(what, () => {
      const decoder = new HpackDecoder(LIMITS);
      expect(faultOf(() => decodeHex(decoder, hex))).toBe("malformed");
    });
  }

  test("nothing outside of [start, end) is read", () => {
    for (const hex of ["82 40 01 61 01 62", "82 0f 10 01 62", "82 40 01 61 81 1f"]) {
      const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
      for (let end = 1; end < bytes.length; end++) {
        const decoder = new HpackDecoder(LIMITS);
        const cut = faultOf(() => decoder.decode(bytes, 1, end));
        expect(cut).toBe(end === 1 ? "none" : "malformed");
      }
      expect(new HpackDecoder(LIMITS).decode(bytes, 1, bytes.length)).toHaveLength(2);
    }
  });

  test("an integer has five continuation bytes at most, whatever its value", () => {
    const read = (hex: string): number => {
      const bytes = Buffer.from(hex, "hex");
      return readInteger({ bytes, at: 0, end: bytes.length }, 0xff);
    };
    expect(read("ff8080808000")).toBe(255);
    expect(read("ffffffffff7f")).toBe(255 + 2 ** 35 - 1);
    expect(() => read("ff808080808000")).toThrow(HpackError);
  });

  test("an integer stops at the end of its block", () => {
    const bytes = Buffer.from("ff800a", "hex");
    expect(readInteger({ bytes, at: 0, end: 3 }, 0xff)).toBe(255 + 10 * 128);
    expect(() => readInteger({ bytes, at: 0, end: 2 }, 0xff)).toThrow(HpackError);
    expect(() => readInteger({ bytes, at: 2, end: 2 }, 0xff)).toThrow(HpackError);
  });
});

describe("random bytes", () => {
  test("give a list or an HpackError, within bounds", () => {
    const random = new Prng(1);
    const seen = { none: 0, malformed: 0, list_too_large: 0 };
    for (let round = 0; round < 3000; round++) {
      const decoder = new HpackDecoder({ tableBytesMax: 512, listBytesMax: 256 });
      for (let block = 0; block < 8; block++) {
        const bytes = Buffer.alloc(random.below(80));
        const mask = random.chance(50) ? 0xff : 0x9f; // half of them lean to small lengths
        for (let at = 0; at < bytes.length; at++) bytes[at] = random.below(256) & mask;
        let fields: string[] = [];
        const fault = faultOf(() => {
          fields = decoder.decode(bytes, 0, bytes.length);
        });
        seen[fault]++;
        decoder.table.verify();
        expect(fields.length % 2).toBe(0);
        expect(fields.join("").length).toBeLessThanOrEqual(256);
        if (fault === "malformed") break;
      }
    }
    expect(Math.min(seen.none, seen.malformed, seen.list_too_large)).toBeGreaterThan(20);
  });

  test("damage to a good block gives the same", () => {
    const random = new Prng(2);
    const encoder = new HpackEncoder();
    const out = new ByteWriter();
    const fields = [":method", "POST", ":path", "/etcdserverpb.KV/Put", "te", "trailers"];
    encoder.encode([...fields, "user-agent", "grpc-go/1.70.0", "token", "abc.123"], out);
    for (let round = 0; round < 4000; round++) {
      const bytes = Buffer.from(out.view());
      bytes[random.below(bytes.length)] = random.below(256);
      const decoder = new HpackDecoder(LIMITS);
      faultOf(() => decoder.decode(bytes, 0, random.below(bytes.length + 1)));
      decoder.table.verify();
    }
  });
});

describe("bombs", () => {
  test("an entry of 4 KiB named ten thousand times is cut at the bound", () => {
    const decoder = new HpackDecoder(LIMITS);
    const entry = indexed("x", "v".repeat(4000));
    expect(decoder.decode(entry, 0, entry.length)).toHaveLength(2);
    const bomb = Buffer.alloc(10_000, 0xbe);
    expect(faultOf(() => decoder.decode(bomb, 0, bomb.length))).toBe("list_too_large");
    // The connection goes on: the table is still in step.
    expect(decodeHex(decoder, "be 82")).toEqual(["x", "v".repeat(4000), ":method", "GET"]);
  });

  test("the bound counts 32 bytes a field, to the byte", () => {
    const listBytes = 2 * (":method".length + "GET".length + 32);
    const enough = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: listBytes });
    expect(decodeHex(enough, "82 82")).toHaveLength(4);
    const short = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: listBytes - 1 });
    expect(faultOf(() => decodeHex(short, "82 82"))).toBe("list_too_large");
  });

  test("a list over the bound still feeds the table", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 100 });
    const block = Buffer.concat([indexed("a", "x".repeat(200)), indexed("b", "y")]);
    expect(faultOf(() => decoder.decode(block, 0, block.length))).toBe("list_too_large");
    expect(decodeHex(decoder, "be")).toEqual(["b", "y"]);
  });

  test("entries that thrash the table keep it in its bound", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 100, listBytesMax: 1 << 20 });
    for (let round = 0; round < 500; round++) {
      const block = indexed(`n${round}`, "v".repeat(round % 90));
      decoder.decode(block, 0, block.length);
      decoder.table.verify();
    }
  });
});

describe("table size (§4.2, §4.3, §4.4)", () => {
  test("an entry larger than the table empties it, and is still in the list", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 64, listBytesMax: 16384 });
    const small = indexed("a", "b");
    decoder.decode(small, 0, small.length);
    const large = indexed("c", "d".repeat(64));
    expect(decoder.decode(large, 0, large.length)).toEqual(["c", "d".repeat(64)]);
    expect(decoder.table.count).toBe(0);
  });

  test("an entry may take its name from the entry that it pushes out", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 64, listBytesMax: 16384 });
    const first = indexed("name", "v".repeat(20));
    decoder.decode(first, 0, first.length);
    expect(decodeHex(decoder, "7e 01 77")).toEqual(["name", "w"]); // name index 62
    expect(decoder.table.count).toBe(1);
  });

  test("updates at the start of a block shrink and grow the table", () => {
    const decoder = new HpackDecoder(LIMITS);
    const entry = indexed("a", "b");
    decoder.decode(entry, 0, entry.length);
    expect(decodeHex(decoder, "20 3f e1 1f 82")).toEqual([":method", "GET"]); // 0, then 4096
    expect(decoder.table.count).toBe(0);
    expect(decoder.table.bytesMax).toBe(4096);
  });

  test("a lowered limit must be answered by the next block", () => {
    const decoder = new HpackDecoder(LIMITS);
    decoder.setTableBytesMax(100);
    expect(faultOf(() => decodeHex(decoder, "82"))).toBe("malformed");
    const second = new HpackDecoder(LIMITS);
    second.setTableBytesMax(100);
    expect(faultOf(() => decodeHex(second, "3f 46 82"))).toBe("malformed"); // 101
    const third = new HpackDecoder(LIMITS);
    third.setTableBytesMax(100);
    expect(decodeHex(third, "3f 45 82")).toEqual([":method", "GET"]);
    expect(decodeHex(third, "82")).toEqual([":method", "GET"]);
  });

  test("a raised limit is used only when the peer says so", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 65536, listBytesMax: 1 << 20 });
    expect(decoder.table.bytesMax).toBe(4096);
    decodeHex(decoder, "3f e1 ff 03 82"); // 65536
    expect(decoder.table.bytesMax).toBe(65536);
  });
});

describe("version", () => {
  test("stands while nothing changes", () => {
    const decoder = new HpackDecoder(LIMITS);
    const entry = indexed("a", "b");
    decoder.decode(entry, 0, entry.length);
    const before = decoder.version;
    decodeHex(decoder, "82 be 86"); // indexes
    decodeHex(decoder, "00 01 61 01 62"); // literal without indexing
    decodeHex(decoder, "10 01 61 01 62"); // literal never indexed
    decodeHex(decoder, "3f e1 1f be"); // update to the size that stands
    decoder.setTableBytesMax(4096);
    expect(decoder.version).toBe(before);
  });

  test("stands when an entry too large meets an empty table", () => {
    const decoder = new HpackDecoder({ tableBytesMax: 40, listBytesMax: 16384 });
    const block = indexed("large", "entry");
    decoder.decode(block, 0, block.length);
    expect(decoder.version).toBe(0);
  });

  test("grows with an entry, a resize, an eviction and a new limit", () => {
    const decoder = new HpackDecoder(LIMITS);
    const grows = (change: () => void): void => {
      const before = decoder.version;
      change();
      expect(decoder.version).toBeGreaterThan(before);
    };
    const entry = indexed("a", "b");
    grows(() => decoder.decode(entry, 0, entry.length));
    grows(() => decodeHex(decoder, "3f 81 01 82")); // 160, nothing evicted
    const large = indexed("c", "d".repeat(200));
    grows(() => decoder.decode(large, 0, large.length)); // only evicts
    expect(decoder.table.count).toBe(0);
    grows(() => decoder.setTableBytesMax(50));
  });
});

describe("what a field may hold (RFC 9113 §8.2.1)", () => {
  const cases: readonly [name: string, value: string, valid: boolean][] = [
    ["content-type", "application/grpc", true],
    [":path", "/", true],
    ["x", "", true],
    ["x", "a b\tc \x80\xff", true],
    ["Content-Type", "a", false],
    ["", "a", false],
    [":", "a", false],
    ["a:b", "c", false],
    ["a b", "c", false],
    ["a\x00", "c", false],
    ["caf\xe9", "c", false],
    ["x", "a\rb", false],
    ["x", "a\nb", false],
    ["x", "a\x00b", false],
    ["x", " a", false],
    ["x", "a\t", false],
  ];
  for (const [name, value, valid] of cases) {
    test(`${JSON.stringify([name, value])} is ${valid ? "fine" : "not"}`, () => {
      const decoder = new HpackDecoder(LIMITS);
      const block = indexed(name, value);
      expect(decoder.decode(block, 0, block.length)).toEqual([name, value]);
      expect(decoder.fieldsValid).toBe(valid);
      decodeHex(decoder, "82");
      expect(decoder.fieldsValid).toBe(true);
      decodeHex(decoder, "be 82"); // the entry remembers
      expect(decoder.fieldsValid).toBe(valid);
    });
  }

  test("a sound name taken from an entry with an unsound value is sound, and the reverse", () => {
    const decoder = new HpackDecoder(LIMITS);
    const value = indexed("x", "a\nb");
    decoder.decode(value, 0, value.length);
    decodeHex(decoder, "0f 2f 01 61"); // name index 62, value "a"
    expect(decoder.fieldsValid).toBe(true);
    const name = indexed("X", "a");
    decoder.decode(name, 0, name.length);
    decodeHex(decoder, "0f 2f 01 61");
    expect(decoder.fieldsValid).toBe(false);
    decoder.decode(value, 0, value.length);
    decodeHex(decoder, "01 01 61"); // a static name, after an unsound value
    expect(decoder.fieldsValid).toBe(true);
  });

  test("what is known of an entry stays with it while the table grows and turns", () => {
    const decoder = new HpackDecoder(LIMITS);
    const bad = indexed("x", "a\nb");
    const good = indexed("x", "y");
    for (let round = 0; round < 300; round++) {
      const isBad = round % 7 === 0;
      const block = isBad ? bad : good;
      decoder.decode(block, 0, block.length);
      const oldest = decoder.table.count;
      const age = round - (oldest - 1);
      decodeHex(decoder, indexHex(oldest + 61));
      expect(decoder.fieldsValid).toBe(age % 7 !== 0);
    }
  });
});

/** The indexed field of this index. */
function indexHex(index: number): string {
  const out = new ByteWriter(8);
  writeInteger(out, 0x80, 0x7f, index);
  return out.view().toString("hex");
}

test("a Huffman string longer than the first scratch buffer", () => {
  const value = "aeiost012".repeat(300);
  const out = new ByteWriter(64);
  new HpackEncoder().encode(["x", value], out);
  expect(out.length).toBeLessThan(value.length);
  expect(new HpackDecoder(LIMITS).decode(out.bytes, 0, out.length)).toEqual(["x", value]);
});

test("never-indexed names are told for the block that had them", () => {
  const decoder = new HpackDecoder(LIMITS);
  expect(decodeHex(decoder, "10 01 61 01 62 82")).toEqual(["a", "b", ":method", "GET"]);
  expect(decoder.neverIndexed).toEqual(["a"]);
  decodeHex(decoder, "82");
  expect(decoder.neverIndexed).toEqual([]);
});
