/** Every generated codec against protobufjs: same bytes out, same message in, typed refusals. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DecodeError } from "../../src/proto/decode-error.ts";
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
