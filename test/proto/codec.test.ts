/** Every generated codec against protobufjs: same bytes out, same message in, typed refusals. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DecodeError } from "../../src/proto/decode-error.ts";
import { PutRequest, RequestOp, TxnRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { MESSAGES } from "../../src/proto/gen/registry.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { encodeOurs, encodeTheirs, messagesOf, normalizeTheirs, PROPERTY } from "./oracle.ts";

function decode(type: MessageType<unknown>, bytes: Uint8Array): unknown {
  return type.decode(bytes, 0, bytes.length);
}

/** What our decoder makes of `bytes`, encoded again; undefined when it refuses them. */
function normalizeOurs(type: MessageType<unknown>, bytes: Uint8Array): Uint8Array | undefined {
  try {
    return encodeOurs(type, decode(type, bytes));
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return undefined;
  }
}

const SOME = { ...PROPERTY, numRuns: 25 };

test("every message has the bytes of protobufjs and comes back as it was", () => {
  expect(MESSAGES.length).toBeGreaterThan(200);
  for (const type of MESSAGES) {
    const property = fc.property(messagesOf(type, 2), (message) => {
      const bytes = encodeOurs(type, message);
      expect(bytes).toEqual(new Uint8Array(encodeTheirs(type, message)));
      expect(decode(type, bytes)).toEqual(message);
    });
    fc.assert(property, SOME);
  }
});

test("nested messages have the right length at every size of it", () => {
  for (const size of [100, 127, 128, 129, 16383, 16384, 20_000, 2_097_152, 3_000_000]) {
    const requestPut = PutRequest.create({ value: new Uint8Array(size).fill(size) });
    const txn = TxnRequest.create({ success: [RequestOp.create({ requestPut })] });
    const bytes = encodeOurs(TxnRequest, txn);
    const expected = encodeTheirs(TxnRequest as MessageType<unknown>, txn);
    expect(Buffer.compare(bytes, expected)).toBe(0);
    const [op] = TxnRequest.decode(bytes, 0, bytes.length).success;
    const value = op?.requestPut?.value ?? new Uint8Array(0);
    expect(Buffer.compare(value, requestPut.value)).toBe(0);
  }
});

/** The types with the most kinds of fields between them. */
const RICH = MESSAGES.filter((type) =>
  [
    "etcdserverpb.TxnRequest",
    "etcdserverpb.WatchRequest",
    "etcdserverpb.WatchResponse",
    "etcdserverpb.StatusResponse",
    "etcdserverpb.LeaseTimeToLiveResponse",
    "grpc.reflection.v1.ServerReflectionResponse",
    "aether.v1.LeaseExpire",
  ].includes(type.typeName),
);

describe("hostile bytes", () => {
  test("a message cut at any byte is refused or is what protobufjs reads", () => {
    for (const type of RICH) {
      const property = fc.property(messagesOf(type, 2), (message) => {
        const bytes = encodeOurs(type, message);
        for (let length = 0; length < bytes.length; length += 1 + (length >> 5)) {
          const cut = bytes.slice(0, length);
          const ours = normalizeOurs(type, cut);
          if (ours === undefined) expect(() => normalizeTheirs(type, cut)).toThrow();
          else expect(ours).toEqual(new Uint8Array(normalizeTheirs(type, cut)));
        }
      });
      fc.assert(property, { ...PROPERTY, numRuns: 12 });
    }
  });

  test("changed bytes never throw anything but DecodeError", () => {
    for (const type of RICH) {
      const changes = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 });
      const property = fc.property(messagesOf(type, 2), changes, (message, places) => {
        const bytes = encodeOurs(type, message);
        for (const [at, value] of places) {
          if (bytes.length > 0) bytes[at % bytes.length] = value;
        }
        normalizeOurs(type, bytes);
      });
      fc.assert(property, PROPERTY);
    }
  });

  test("random bytes never throw anything but DecodeError", () => {
    for (const type of MESSAGES) {
      const property = fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        normalizeOurs(type, bytes);
      });
      fc.assert(property, { ...PROPERTY, numRuns: 20 });
    }
  });
});

test("unknown fields of every wire type are passed over", () => {
  const unknown = Buffer.concat([
    Buffer.from([0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), // varint
    Buffer.from([0xf9, 0x7f, 1, 2, 3, 4, 5, 6, 7, 8]),
    Buffer.from([0xfa, 0x7f, 3, 9, 9, 9]),
    Buffer.from([0xfb, 0x7f, 0x08, 1, 0x13, 0x14, 0x1a, 1, 7, 0xfc, 0x7f]), // group, one inside
    Buffer.from([0xfd, 0x7f, 1, 2, 3, 4]),
  ]);
  for (const type of RICH) {
    const property = fc.property(messagesOf(type, 2), (message) => {
      const bytes = encodeOurs(type, message);
      expect(decode(type, Buffer.concat([unknown, bytes, unknown]))).toEqual(message);
    });
    fc.assert(property, { ...PROPERTY, numRuns: 10 });
  }
});

test("a message shares no memory with the bytes it was read from", () => {
  for (const type of RICH) {
    const property = fc.property(messagesOf(type, 2), (message) => {
      const bytes = Buffer.from(encodeOurs(type, message));
      const read = decode(type, bytes);
      bytes.fill(0x55);
      expect(read).toEqual(message);
    });
    fc.assert(property, { ...PROPERTY, numRuns: 10 });
  }
});
