/** The corners of the wire format, by hand. */
import { describe, expect, test } from "bun:test";
import { DecodeError } from "../../src/proto/decode-error.ts";
import { LeaseExpire } from "../../src/proto/gen/aether.v1.ts";
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  ResponseHeader,
  StatusResponse,
  TxnRequest,
  WatchCreateRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { DEPTH_MAX } from "../../src/proto/reader.ts";
import { encodeOurs } from "./oracle.ts";

function decode<T>(type: MessageType<T>, hex: string): T {
  // Bytes around the message show that only [start, end) is looked at.
  const bytes = Buffer.from(`0a0a${hex.replaceAll(" ", "")}0a0a`, "hex");
  return type.decode(bytes, 2, bytes.length - 2);
}

function refuses(type: MessageType<unknown>, hex: string): void {
  expect(() => decode(type, hex)).toThrow(DecodeError);
}

describe("varints", () => {
  test("may be longer than their value needs", () => {
    expect(decode(RangeRequest, "18 8500").limit).toBe(5);
    expect(decode(RangeRequest, "18 85808080808080808000").limit).toBe(5);
    expect(decode(PutRequest, "9880808000 07").lease).toBe(7n); // the tag itself
    expect(decode(PutRequest, "0a 8180808080808080 8000 61").key).toBe("a"); // a length
  });

  test("must end within ten bytes and 64 bits", () => {
    refuses(RangeRequest, "18 8580808080808080808000");
    refuses(RangeRequest, "18 ffffffffffffffffff02");
    refuses(RangeRequest, "18 ffffffffffffffffff");
    refuses(RangeRequest, "18");
  });

  test("hold counters up to 2^53 - 1 and read what is beyond as that", () => {
    const most = 2 ** 53 - 1;
    expect(decode(RangeRequest, "20 ffffffffffffff0f").revision).toBe(most);
    expect(decode(RangeRequest, "20 8080808080808010").revision).toBe(most); // 2^53
    expect(decode(RangeRequest, "18 ffffffffffffffff7f").limit).toBe(most); // 2^63 - 1
    expect(decode(RangeRequest, "20 81808080808080f0ff01").revision).toBe(-most);
    expect(decode(RangeRequest, "20 80808080808080f0ff01").revision).toBe(-most); // -(2^53)
    expect(decode(StatusResponse, "28 ffffffffffffffffff01").raftIndex).toBe(most); // 2^64 - 1
  });

  test("hold identities of all 64 bits", () => {
    expect(decode(PutRequest, "18 ffffffffffffffffff01").lease).toBe(-1n);
    expect(decode(ResponseHeader, "08 ffffffffffffffffff01").clusterId).toBe(2n ** 64n - 1n);
    expect(decode(PutRequest, "18 80808080808080808001").lease).toBe(-(2n ** 63n));
  });

  test("are cut to 32 bits for enums and are any bit for booleans", () => {
    expect(decode(RangeRequest, "28 ffffffffffffffffff01").sortOrder).toBe(-1);
    expect(decode(RangeRequest, "28 8280808010").sortOrder).toBe(2);
    expect(decode(RangeRequest, "38 8080808080808080 8001").serializable).toBe(true);
    expect(decode(RangeRequest, "38 8000").serializable).toBe(false);
  });
});

describe("fields", () => {
  test("of the last occurrence win", () => {
    expect(decode(PutRequest, "0a0161 1801 0a0162 1802")).toEqual(
      PutRequest.create({ key: "b", lease: 2n }),
    );
  });

  test("of another wire type than they should have are unknown", () => {
    expect(decode(PutRequest, "0801 0a0161 1a0177")).toEqual(PutRequest.create({ key: "a" }));
  });

  test("merge when a nested message comes twice", () => {
    const response = decode(WatchResponse, "0a021803 0a020801 1005");
    expect(response.header).toEqual(ResponseHeader.create({ revision: 3, clusterId: 1n }));
  });

  test("of a oneof: the last is set, the others are not, one that comes twice merges", () => {
    const last = decode(RequestOp, "0a030a0161 12030a0162");
    expect(last).toEqual(RequestOp.create({ requestPut: PutRequest.create({ key: "b" }) }));
    const merged = decode(RequestOp, "1a030a0161 1a02 1801");
    const expected = DeleteRangeRequest.create({ key: "a", prevKv: true });
    expect(merged).toEqual(RequestOp.create({ requestDeleteRange: expected }));
  });

  test("that repeat are taken packed, unpacked and mixed", () => {
    expect(decode(WatchCreateRequest, "2801 2a020001 2800").filters).toEqual([1, 0, 1, 0]);
    expect(decode(LeaseExpire, "0801 0a0bffffffffffffffffff0102").IDs).toEqual([1n, -1n, 2n]);
    refuses(WatchCreateRequest, "2a0280"); // packed, longer than the message
    refuses(WatchCreateRequest, "2a0180"); // packed, cut inside a varint
  });

  test("with number 0, wire types 6 and 7, or lone group ends are refused", () => {
    for (const tag of ["00", "02", "05", "8000", "0e", "0f", "0c"]) refuses(PutRequest, `${tag}00`);
    refuses(PutRequest, "8080808010 00"); // 2^32
    refuses(PutRequest, "8a80808010 0161"); // 2^32 above the tag of the key
  });

  test("that are longer than their message are refused", () => {
    refuses(PutRequest, "0a02 61");
    refuses(PutRequest, "0a ffffffff0f 61");
    refuses(PutRequest, "0a ffffffffffffffffff01 61");
    refuses(PutRequest, "0a 8180808010 61"); // 1 in the lower half, something in the upper
    refuses(RequestOp, "12030a0261 62"); // inside the outer message, past the inner one
    refuses(PutRequest, "f97f 00000000000000");
    refuses(PutRequest, "fd7f 000000");
  });
});

describe("groups", () => {
  test("are passed over up to their own end", () => {
    expect(decode(PutRequest, "7b 0a0162 7c 0a0161").key).toBe("a");
    refuses(PutRequest, "7b 0a0162");
    refuses(PutRequest, "7b 84017c");
  });

  test("nest only so deep", () => {
    const nested = (depth: number) => `${"7b".repeat(depth)}${"7c".repeat(depth)}`;
    expect(decode(PutRequest, nested(DEPTH_MAX)).key).toBe("");
    refuses(PutRequest, nested(DEPTH_MAX + 1));
    refuses(PutRequest, "7b".repeat(100_000));
  });
});

describe("depth", () => {
  /** A transaction around a transaction …: two messages a level. */
  function txnOfDepth(levels: number): Uint8Array {
    let txn = TxnRequest.create();
    for (let i = 0; i < levels; i++) {
      txn = TxnRequest.create({ success: [RequestOp.create({ requestTxn: txn })] });
    }
    return encodeOurs(TxnRequest, txn);
  }

  test(`is at most ${DEPTH_MAX} messages`, () => {
    const deepest = txnOfDepth(DEPTH_MAX / 2);
    expect(() => TxnRequest.decode(deepest, 0, deepest.length)).not.toThrow();
    const deeper = txnOfDepth(DEPTH_MAX / 2 + 1);
    expect(() => TxnRequest.decode(deeper, 0, deeper.length)).toThrow(DecodeError);
  });

  test("counts messages inside each other, not those side by side", () => {
    const compare = Array.from({ length: 3 * DEPTH_MAX }, () => Compare.create());
    const wide = encodeOurs(TxnRequest, TxnRequest.create({ compare }));
    expect(TxnRequest.decode(wide, 0, wide.length).compare.length).toBe(3 * DEPTH_MAX);
  });

  test("starts anew with each message, also after a refusal", () => {
    refuses(RequestOp, "2204 1a02 0a05");
    const deepest = txnOfDepth(DEPTH_MAX / 2);
    for (let i = 0; i < 3; i++) {
      expect(() => TxnRequest.decode(deepest, 0, deepest.length)).not.toThrow();
    }
  });
});

describe("strings", () => {
  const cut = (hex: string) => `12${(hex.length / 2).toString(16).padStart(2, "0")}${hex}`;

  test("are UTF-8 with all of its planes, and keep a byte order mark", () => {
    const text = "\ufeffπ漢😀a".repeat(9);
    const hex = Buffer.from(text).toString("hex");
    expect(
      decode(StatusResponse, `12${Buffer.from([hex.length / 2]).toString("hex")}${hex}`).version,
    ).toBe(text);
  });

  test("that are not UTF-8 are refused", () => {
    for (const hex of ["ff", "c080", "eda080", "e282", "f8888080", "f4908080"]) {
      refuses(StatusResponse, cut(hex));
    }
    refuses(StatusResponse, cut(`${"61".repeat(100)}ff`));
  });

  test("of bytes fields may be anything", () => {
    expect(decode(PutRequest, "0a02ff00").key).toBe("\xff\0");
  });
});
