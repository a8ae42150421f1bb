/**
 * RFC 7541 over the wire. What the server decoded is seen by an echo: it answers a call in an
 * unknown grpc-encoding with that encoding's name, byte for byte. Requirements: requirements.ts.
 */
import { describe, expect, test } from "bun:test";
import { callFields, messageOf, RANGE } from "./kit/grpc.ts";
import * as hpack from "./kit/hpack.ts";
import { indexed, literal, sizeUpdate } from "./kit/hpack.ts";
import * as huffman from "./kit/huffman.ts";
import { useServer } from "./kit/node.ts";
import { open, type Peer, VERSION_REQUEST } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Flag, headers, Setting } from "./kit/wire.ts";

const port = useServer();
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;
const CALL = hpack.block(callFields(RANGE));
const ECHO = "grpc-encoding";
const FIRST = hpack.DYNAMIC_FIRST;
/** What an entry of the dynamic table costs (§4.1). */
const sizeOf = (name: string, value: string): number => name.length + value.length + 32;

const NOTHING: Buffer = Buffer.alloc(0);

/** Sends a call's block with `parts` in front or behind, and gives back what was echoed. */
async function echo(peer: Peer, behind: Buffer, front: Buffer = NOTHING): Promise<string> {
  const id = peer.newId();
  peer.send(headers(id, Buffer.concat([front, CALL, behind]), WHOLE));
  const text = decodeURIComponent(messageOf(await peer.answer(id)) ?? "");
  const start = text.indexOf('"');
  return text.slice(start + 1, text.lastIndexOf('"'));
}

/** Sends a block on a new stream, and expects the connection to end of it. */
async function breaks(peer: Peer, block: Uint8Array): Promise<void> {
  peer.send(headers(peer.newId(), block, WHOLE));
  expect(await peer.goaway()).toBe("COMPRESSION_ERROR");
}

const indexing = (value: string): Buffer => literal(ECHO, value, "indexing");

describe("RFC 7541 §2, §3 tables and order", () => {
  test("§2.1-1 the server's fields keep their order: :status stands first", async () => {
    await using peer = await open(port());
    for (let count = 0; count < 3; count++) {
      const { head } = await peer.answer(peer.request());
      expect(head.map(([name]) => name)[0]).toBe(":status");
    }
  });

  test("§2.1-2 fields keep their order", async () => {
    await using peer = await open(port());
    const [a, b] = [literal(ECHO, "a"), literal(ECHO, "b")];
    expect(await echo(peer, Buffer.concat([a, b]))).toBe("b"); // the last one counts
    expect(await echo(peer, Buffer.concat([b, a]))).toBe("a");
  });

  test("§2.3.2-1 the same entry may stand in the table twice", async () => {
    await using peer = await open(port());
    await echo(peer, Buffer.concat([indexing("twice"), indexing("twice")]));
    expect(await echo(peer, indexed(FIRST))).toBe("twice");
    expect(await echo(peer, indexed(FIRST + 1))).toBe("twice");
  });

  test("§2.3.2 the newest entry has the lowest index", async () => {
    await using peer = await open(port());
    await echo(peer, Buffer.concat([indexing("old"), indexing("new")]));
    expect(await echo(peer, indexed(FIRST))).toBe("new");
    expect(await echo(peer, indexed(FIRST + 1))).toBe("old");
  });

  const beyond: readonly (readonly [name: string, block: Buffer])[] = [
    ["an index over an empty table", indexed(FIRST)],
    ["a name's index over an empty table", literal(FIRST, "x")],
    ["a name's index with indexing", literal(FIRST, "x", "indexing")],
    ["one beyond the last entry", Buffer.concat([indexing("x"), indexed(FIRST + 1)])],
    ["a large index", indexed(1_000_000)],
    ["a large name's index", literal(1_000_000, "x", "never")],
  ];
  test.each(beyond)("§2.3.3-1 %s", async (_name, block) => {
    await using peer = await open(port());
    await breaks(peer, Buffer.concat([CALL, block]));
  });

  test("§3.2-1 with indexing a field is added to the table, otherwise not", async () => {
    await using peer = await open(port());
    expect(await echo(peer, literal(ECHO, "plain"))).toBe("plain");
    expect(await echo(peer, literal(ECHO, "never", "never"))).toBe("never");
    expect(await echo(peer, indexing("kept"))).toBe("kept");
    expect(await echo(peer, indexed(FIRST))).toBe("kept");
    await breaks(peer, Buffer.concat([CALL, indexed(FIRST + 1)]));
  });

  test("§3.2-1 indexed names are those of the entry", async () => {
    await using peer = await open(port());
    await echo(peer, indexing("first"));
    expect(await echo(peer, literal(FIRST, "plain"))).toBe("plain");
    expect(await echo(peer, literal(FIRST, "never", "never"))).toBe("never");
    expect(await echo(peer, literal(FIRST, "second", "indexing"))).toBe("second");
    expect(await echo(peer, indexed(FIRST + 1))).toBe("first");
  });
});

/** Whether a table of `bytes` holds a marker and one more entry at once. */
async function bothFit(peer: Peer, bytes: number, entry: Buffer, name: string): Promise<void> {
  peer.send(
    headers(peer.newId(), Buffer.concat([sizeUpdate(0), sizeUpdate(bytes), CALL]), WHOLE),
    headers(peer.newId(), Buffer.concat([CALL, indexing("marker"), entry]), WHOLE),
  );
  const marker = await echo(peer, indexed(FIRST + 1));
  if (marker !== "marker") throw new Error(`with ${name} a table of ${bytes} held "${marker}"`);
}

describe("RFC 7541 §4 the dynamic table", () => {
  const MARKER_BYTES = sizeOf(ECHO, "marker");

  test("§3.2-1 §4.1 each name of the static table is as long as Appendix A says", async () => {
    await using peer = await open(port());
    for (const [at, [name]] of hpack.STATIC_TABLE.entries()) {
      const entry = literal(at + 1, "value", "indexing");
      await bothFit(peer, MARKER_BYTES + sizeOf(name, "value"), entry, name);
    }
  });

  test("§3.2-1 §4.1 one byte less, and the older entry is gone", async () => {
    for (const [at, [name]] of hpack.STATIC_TABLE.entries()) {
      await using peer = await open(port());
      const entry = literal(at + 1, "value", "indexing");
      const bytes = MARKER_BYTES + sizeOf(name, "value") - 1;
      const update = Buffer.concat([sizeUpdate(bytes), CALL, indexing("marker"), entry]);
      peer.send(headers(peer.newId(), update, WHOLE));
      await breaks(peer, Buffer.concat([CALL, indexed(FIRST + 1)]));
    }
  });

  test("§4.1 a Huffman string counts by its plain length", async () => {
    await using peer = await open(port());
    const entry = literal("x-mine", "aaaaaaaaaaaa", "indexing", true);
    await bothFit(peer, MARKER_BYTES + sizeOf("x-mine", "aaaaaaaaaaaa"), entry, "Huffman");
  });

  test("§4.3 a smaller table evicts the oldest entries", async () => {
    await using peer = await open(port());
    await echo(peer, Buffer.concat([indexing("older"), indexing("newer")]));
    const one = sizeUpdate(sizeOf(ECHO, "newer"));
    expect(await echo(peer, indexed(FIRST), one)).toBe("newer");
    await breaks(peer, Buffer.concat([CALL, indexed(FIRST + 1)]));
  });

  test("§4.2 §4.3 a size of 0 clears the table, and it may grow again", async () => {
    await using peer = await open(port());
    await echo(peer, indexing("gone"));
    const both = Buffer.concat([sizeUpdate(0), sizeUpdate(4096)]);
    expect(await echo(peer, indexing("back"), both)).toBe("back");
    expect(await echo(peer, indexed(FIRST))).toBe("back");
    await breaks(peer, Buffer.concat([CALL, indexed(FIRST + 1)]));
  });

  test("§4.4 an entry larger than the table empties it, and is no error", async () => {
    await using peer = await open(port());
    await echo(peer, indexing("small"), sizeUpdate(100));
    const large = "l".repeat(100);
    expect(await echo(peer, indexing(large))).toBe(large);
    await breaks(peer, Buffer.concat([CALL, indexed(FIRST)]));
  });

  test("§4.4 a name may be that of an entry which its own entry evicts", async () => {
    await using peer = await open(port());
    const room = sizeOf(ECHO, "evicting");
    await echo(peer, indexing("evicted!"), sizeUpdate(room));
    expect(await echo(peer, literal(FIRST, "evicting", "indexing"))).toBe("evicting");
    expect(await echo(peer, indexed(FIRST))).toBe("evicting");
  });

  test("§4.2-2 §6.3 a size update belongs to the start of a block", async () => {
    for (const late of [sizeUpdate(100), sizeUpdate(1), Buffer.from([0x21, 0x01, 0x61])]) {
      await using peer = await open(port());
      await breaks(peer, Buffer.concat([CALL, late]));
    }
  });

  test("§4.2-1 §6.3-1 §6.3-2 a size over the limit is a decoding error", async () => {
    for (const bytes of [4097, 65_536, 2 ** 31]) {
      await using peer = await open(port());
      await breaks(peer, Buffer.concat([sizeUpdate(bytes), CALL]));
    }
  });

  test("§4.2-3 the server's encoder says the smallest size that there was", async () => {
    await using peer = await open(port());
    await peer.serves();
    peer.send(wire.settings([Setting.HEADER_TABLE_SIZE, 0]));
    peer.send(wire.settings([Setting.HEADER_TABLE_SIZE, 4096]));
    await peer.settle();
    await peer.serves(); // the audit asks for an update to 0
    const table = Setting.HEADER_TABLE_SIZE;
    peer.send(wire.settings([table, 10], [table, 2000]));
    await peer.settle();
    await peer.serves(); // and for one to 10 or less
  });

  test("§4.2-1 the server's encoder keeps to a table between 0 and ours", async () => {
    await using peer = await open(port(), [Setting.HEADER_TABLE_SIZE, 60]);
    for (let count = 0; count < 4; count++) await peer.serves();
    peer.send(wire.settings([Setting.HEADER_TABLE_SIZE, 2 ** 32 - 1]));
    await peer.settle();
    for (let count = 0; count < 4; count++) await peer.serves();
  });
});

describe("RFC 7541 §5.1 integers", () => {
  test("Appendix C.1: 1337 in a 5-bit prefix", async () => {
    await using peer = await open(port());
    const update = Buffer.from([0x3f, 0x9a, 0x0a]);
    expect(sizeUpdate(1337).equals(update)).toBe(true);
    const value = "v".repeat(1337 - sizeOf(ECHO, ""));
    expect(await echo(peer, indexing(value), update)).toBe(value);
    expect(await echo(peer, indexed(FIRST))).toBe(value);
    const longer = Buffer.concat([CALL, indexing(`${value}v`), indexed(FIRST)]);
    await breaks(peer, longer);
  });

  test("a value may take more bytes than it needs", async () => {
    await using peer = await open(port());
    const value = "p".repeat(127);
    const name = hpack.string(ECHO);
    const padded = Buffer.from([0x7f, 0x80, 0x80, 0x00]); // 127 + 0 + 0 + 0
    const parts = [Buffer.from([0]), name, padded, Buffer.from(value)];
    expect(await echo(peer, Buffer.concat(parts))).toBe(value);
  });

  const bad: readonly (readonly [name: string, ...bytes: number[]])[] = [
    ["an index of many bytes", 0xff, ...Array<number>(10).fill(0xff), 0x7f],
    ["an index of many zeros", 0xff, ...Array<number>(20).fill(0x80), 0x00],
    [
      "a string's length of many zeros",
      ...[0x00, 0x01, 0x61, 0x7f, ...Array<number>(20).fill(0x80), 0x00],
      ...Array<number>(127).fill(0x61),
    ],
    ["an index of 2^32", 0xff, 0x81, 0xff, 0xff, 0xff, 0x0f],
    ["an index of 2^64", 0xff, 0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ["a string's length of 2^32", 0x00, 0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f],
    ["a length that is cut off", 0x00, 0x7f, 0x80],
    ["a string that is cut off", 0x00, 0x05, 0x61, 0x62],
    ["a value that is cut off", 0x00, 0x01, 0x61, 0x02, 0x62],
    ["a name without a value", 0x00, 0x01, 0x61],
    ["a size update that is cut off", 0x3f],
  ];
  test.each(bad)("§5.1-1 %s", async (_name, ...bytes) => {
    await using peer = await open(port());
    await breaks(peer, Buffer.from(bytes));
  });
});

/** A literal whose value is these Huffman bytes. */
function coded(bytes: Uint8Array, name = hpack.string(ECHO)): Buffer {
  const length = hpack.integer(7, bytes.length, 0x80);
  return Buffer.concat([Buffer.from([0]), name, length, bytes]);
}

describe("RFC 7541 §5.2 strings", () => {
  test("codes as Appendix B prints them", () => {
    const printed: readonly (readonly [symbol: number, hex: number, bits: number])[] = [
      [0, 0x1ff8, 13],
      [1, 0x7fffd8, 23],
      [9, 0xffffea, 24],
      [10, 0x3ffffffc, 30],
      [47, 0x18, 6],
      [48, 0x0, 5],
      [88, 0xfc, 8],
      [92, 0x7fff0, 19],
      [127, 0xffffffc, 28],
      [199, 0x1ffffec, 25],
      [220, 0xffffffd, 28],
      [249, 0xffffffe, 28],
      [255, 0x3ffffee, 26],
      [huffman.EOS, 0x3fffffff, 30],
    ];
    for (const [symbol, hex, bits] of printed) {
      expect(huffman.CODES[symbol]).toBe(hex.toString(2).padStart(bits, "0"));
    }
  });

  test("every byte that a value may hold, coded and plain", async () => {
    await using peer = await open(port());
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    const legal = bytes.filter((byte) => (byte >= 0x20 && byte !== 0x7f) || byte === 9);
    for (let at = 0; at < legal.length; at += 8) {
      const value = `<${String.fromCharCode(...legal.slice(at, at + 8))}>`;
      expect(await echo(peer, literal(ECHO, value, "plain", true))).toBe(value);
      expect(await echo(peer, literal(ECHO, value))).toBe(value);
    }
  });

  test("the other bytes are decoded too: the request is malformed, the block is not", async () => {
    await using peer = await open(port());
    for (const byte of [0x00, 0x0a, 0x0d]) {
      const id = peer.newId();
      const value = Buffer.from([0x61, byte, 0x62]);
      peer.send(headers(id, Buffer.concat([CALL, literal("a", value, "plain", true)]), WHOLE));
      expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
    }
    await peer.serves();
  });

  test("an empty string may be Huffman coded", async () => {
    await using peer = await open(port());
    expect(await echo(peer, coded(Buffer.alloc(0)))).toBe("");
  });

  const letters = Buffer.from("abd"); // 17 bits: zeros behind it are "0" and two bits more
  const bits = [...letters].map((byte) => huffman.CODES[byte]).join("");
  const eos = huffman.CODES[huffman.EOS] as string;
  const faulty: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["§5.2-1 a byte of padding", Buffer.concat([huffman.encode(letters), Buffer.from([0xff])])],
    ["§5.2-1 padding alone", Buffer.from([0xff])],
    ["§5.2-1 three bytes of padding", Buffer.from([0xff, 0xff, 0xff])],
    ["§5.2-2 padding of zeros", huffman.pack(bits, "0")],
    ["§5.2-2 padding that ends in a zero", huffman.pack(`${huffman.CODES[0x61]}110`)],
    ["§5.2-3 EOS alone", huffman.pack(eos)],
    ["§5.2-3 EOS at the end", huffman.pack(`${bits}${eos}`)],
    ["§5.2-3 EOS in the middle", huffman.pack(`${bits}${eos}${bits}`)],
  ];
  test.each(faulty)("%s, in a value", async (_name, bytes) => {
    await using peer = await open(port());
    await breaks(peer, Buffer.concat([CALL, coded(bytes)]));
  });
  test.each(faulty)("%s, in a name", async (_name, bytes) => {
    await using peer = await open(port());
    const name = Buffer.concat([hpack.integer(7, bytes.length, 0x80), bytes]);
    await breaks(peer, Buffer.concat([CALL, coded(huffman.encode(letters), name)]));
  });
});

describe("RFC 7541 §6 representations, Appendix C", () => {
  test("§6.1-1 index 0", async () => {
    await using peer = await open(port());
    await breaks(peer, Buffer.concat([CALL, indexed(0)]));
  });

  const requests: readonly (readonly [name: string, ...blocks: string[]])[] = [
    [
      "C.3",
      "828684410f7777772e6578616d706c652e636f6d",
      "828684be58086e6f2d6361636865",
      "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ],
    [
      "C.4",
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ],
  ];
  test.each(requests)(
    "the requests of %s, and the table that they leave",
    async (_name, ...hex) => {
      await using peer = await open(port());
      for (const block of hex) {
        const id = peer.newId();
        peer.send(headers(id, Buffer.from(block, "hex"), WHOLE));
        expect((await peer.answer(id)).status).toMatch(/^[245]\d\d$/);
      }
      const id = peer.newId();
      const version = hpack.block(VERSION_REQUEST.slice(0, 3));
      const three = [64, 63, 62].map(indexed); // :authority, cache-control, custom-key
      peer.send(headers(id, Buffer.concat([version, ...three]), WHOLE));
      await peer.answer(id);
      await breaks(peer, Buffer.concat([CALL, indexed(65)]));
    },
  );
});

/** The responses of C.5 and C.6, one after the other through a table of 256 bytes. */
const RESPONSES: readonly (readonly [name: string, ...blocks: string[]])[] = [
  [
    "C.5",
    "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" +
      "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
    "4803333037c1c0bf",
    "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f" +
      "3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076" +
      "657273696f6e3d31",
  ],
  [
    "C.6",
    "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f" +
      "0b97c8e9ae82ae43d3",
    "4883640effc1c0bf",
    "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335df" +
      "dfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ],
];

test.each(RESPONSES)("the kit's own decoder reads %s as the RFC does", (_name, ...blocks) => {
  const decoder = new hpack.Decoder();
  decoder.size = 256;
  const cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
  const rest = (second: string): hpack.Field[] => [
    ["cache-control", "private"],
    ["date", `Mon, 21 Oct 2013 20:13:2${second} GMT`],
    ["location", "https://www.example.com"],
  ];
  const more: hpack.Field[] = [
    ["content-encoding", "gzip"],
    ["set-cookie", cookie],
  ];
  const lists = blocks.map((block) => decoder.decode(Buffer.from(block, "hex")));
  expect(lists).toEqual([
    [[":status", "302"], ...rest("1")],
    [[":status", "307"], ...rest("1")],
    [[":status", "200"], ...rest("2"), ...more],
  ]);
  expect(decoder.entries).toEqual([
    ["set-cookie", cookie],
    ["content-encoding", "gzip"],
    ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
  ]);
});
