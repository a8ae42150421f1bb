/** The examples of RFC 7541 Appendix C, decoded and encoded, with the tables they leave behind. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { HpackDecoder } from "../../../src/wire/hpack/decoder.ts";
import type { DynamicTable } from "../../../src/wire/hpack/dynamic-table.ts";
import { HpackEncoder } from "../../../src/wire/hpack/encoder.ts";
import { readInteger, writeInteger } from "../../../src/wire/hpack/integer.ts";
import type { Indexing } from "../../../src/wire/hpack/policy.ts";

interface Step {
  readonly hex: string;
  readonly fields: readonly string[];
  readonly table: readonly string[]; // "name: value", newest first
  readonly tableBytes: number;
}

function fromHex(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

function rows(table: Readonly<DynamicTable>): string[] {
  const out: string[] = [];
  for (let at = 1; at <= table.count; at++) out.push(`${table.nameAt(at)}: ${table.valueAt(at)}`);
  return out;
}

function runDecoder(tableBytesMax: number, steps: readonly Step[]): void {
  const decoder = new HpackDecoder({ tableBytesMax, listBytesMax: 16384 });
  for (const step of steps) {
    const bytes = fromHex(step.hex);
    expect(decoder.decode(bytes, 0, bytes.length)).toEqual([...step.fields]);
    expect(decoder.fieldsValid).toBe(true);
    expect(rows(decoder.table)).toEqual([...step.table]);
    expect(decoder.table.bytes).toBe(step.tableBytes);
    decoder.table.verify();
  }
}

interface Settings {
  readonly tableBytesMax?: number;
  readonly huffman: boolean;
  readonly indexing?: Indexing;
}

function runEncoder(settings: Settings, steps: readonly Step[]): void {
  const indexing = settings.indexing ?? "index";
  const encoder = new HpackEncoder({ huffman: settings.huffman, indexing: () => indexing });
  const out = new ByteWriter(16);
  if (settings.tableBytesMax !== undefined) {
    encoder.setTableBytesMax(settings.tableBytesMax);
    encoder.encode([], out); // the announcement, which the examples leave out
  }
  for (const step of steps) {
    out.reset();
    encoder.encode(step.fields, out);
    expect(out.view().toString("hex")).toBe(step.hex.replaceAll(" ", ""));
    expect(rows(encoder.table)).toEqual([...step.table]);
    expect(encoder.table.bytes).toBe(step.tableBytes);
    encoder.table.verify();
  }
}

describe("C.1 integers", () => {
  const table: readonly [hex: string, prefixMax: number, value: number][] = [
    ["0a", 0x1f, 10],
    ["1f9a0a", 0x1f, 1337],
    ["2a", 0xff, 42],
  ];
  for (const [hex, prefixMax, value] of table) {
    test(`${value} with a prefix of ${prefixMax}`, () => {
      const bytes = fromHex(hex);
      const cursor = { bytes, at: 0, end: bytes.length };
      expect(readInteger(cursor, prefixMax)).toBe(value);
      expect(cursor.at).toBe(bytes.length);
      const out = new ByteWriter(8);
      writeInteger(out, 0, prefixMax, value);
      expect(out.view().toString("hex")).toBe(hex);
    });
  }
});

describe("C.2 single fields", () => {
  const single = (hex: string, fields: string[], table: string[], tableBytes: number): Step[] => [
    { hex, fields, table, tableBytes },
  ];
  test("C.2.1 literal with indexing", () => {
    const hex = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
    const steps = single(hex, ["custom-key", "custom-header"], ["custom-key: custom-header"], 55);
    runDecoder(4096, steps);
    runEncoder({ huffman: false }, steps);
  });
  test("C.2.2 literal without indexing", () => {
    const steps = single("040c 2f73 616d 706c 652f 7061 7468", [":path", "/sample/path"], [], 0);
    runDecoder(4096, steps);
    runEncoder({ huffman: false, indexing: "plain" }, steps);
  });
  test("C.2.3 literal never indexed", () => {
    const hex = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    const steps = single(hex, ["password", "secret"], [], 0);
    runDecoder(4096, steps);
    runEncoder({ huffman: false, indexing: "never" }, steps);
  });
  test("C.2.4 indexed", () => {
    const steps = single("82", [":method", "GET"], [], 0);
    runDecoder(4096, steps);
    runEncoder({ huffman: false }, steps);
  });
});

const REQUEST_1 = [":method", "GET", ":scheme", "http", ":path", "/"];
const AUTHORITY = [":authority", "www.example.com"];
const REQUEST_FIELDS = [
  [...REQUEST_1, ...AUTHORITY],
  [...REQUEST_1, ...AUTHORITY, "cache-control", "no-cache"],
  [":method", "GET", ":scheme", "https", ":path", "/index.html", ...AUTHORITY].concat(
    "custom-key",
    "custom-value",
  ),
];
const REQUEST_TABLES = [
  [":authority: www.example.com"],
  ["cache-control: no-cache", ":authority: www.example.com"],
  ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
];

const COOKIE = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const DATE_21 = "Mon, 21 Oct 2013 20:13:21 GMT";
const DATE_22 = "Mon, 21 Oct 2013 20:13:22 GMT";
const PLACE = "https://www.example.com";
const MIDDLE = ["cache-control", "private", "date", DATE_21, "location", PLACE];
const RESPONSE_FIELDS = [
  [":status", "302", ...MIDDLE],
  [":status", "307", ...MIDDLE],
  [":status", "200", "cache-control", "private", "date", DATE_22, "location", PLACE].concat(
    ["content-encoding", "gzip", "set-cookie", COOKIE], //
  ),
];
const RESPONSE_TABLES = [
  [`location: ${PLACE}`, `date: ${DATE_21}`, "cache-control: private", ":status: 302"],
  [":status: 307", `location: ${PLACE}`, `date: ${DATE_21}`, "cache-control: private"],
  [`set-cookie: ${COOKIE}`, "content-encoding: gzip", `date: ${DATE_22}`],
];

function story(
  hexes: readonly string[],
  fields: readonly string[][],
  tables: readonly string[][],
  sizes: readonly number[],
): Step[] {
  return hexes.map((hex, at) => ({
    hex,
    fields: fields[at] as string[],
    table: tables[at] as string[],
    tableBytes: sizes[at] as number,
  }));
}

describe("C.3 and C.4 requests", () => {
  const plain = [
    "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
    "8286 84be 5808 6e6f 2d63 6163 6865",
    "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
  ];
  const huffman = [
    "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
    "8286 84be 5886 a8eb 1064 9cbf",
    "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
  ];
  test("C.3 without Huffman", () => {
    const steps = story(plain, REQUEST_FIELDS, REQUEST_TABLES, [57, 110, 164]);
    runDecoder(4096, steps);
    runEncoder({ huffman: false }, steps);
  });
  test("C.4 with Huffman", () => {
    const steps = story(huffman, REQUEST_FIELDS, REQUEST_TABLES, [57, 110, 164]);
    runDecoder(4096, steps);
    runEncoder({ huffman: true }, steps);
  });
});

describe("C.5 and C.6 responses, in a table of 256 bytes", () => {
  const plain = [
    "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133" +
      "2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70" +
      "6c65 2e63 6f6d",
    "4803 3330 37c1 c0bf",
    "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d" +
      "54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049" +
      "5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e" +
      "3d31",
  ];
  const huffman = [
    "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6" +
      "2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
    "4883 640e ffc1 c0bf",
    "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab" +
      "77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f" +
      "9587 3160 65c0 03ed 4ee5 b106 3d50 07",
  ];
  test("C.5 without Huffman", () => {
    const steps = story(plain, RESPONSE_FIELDS, RESPONSE_TABLES, [222, 222, 215]);
    runDecoder(256, steps);
    runEncoder({ huffman: false, tableBytesMax: 256 }, steps);
  });
  test("C.6 with Huffman", () => {
    const steps = story(huffman, RESPONSE_FIELDS, RESPONSE_TABLES, [222, 222, 215]);
    runDecoder(256, steps);
    // The RFC writes "307" in Huffman form, which is as long as the plain one; we keep it plain.
    const ours = steps.map((step, at) => (at === 1 ? { ...step, hex: plain[1] as string } : step));
    runEncoder({ huffman: true, tableBytesMax: 256 }, ours);
  });
});
