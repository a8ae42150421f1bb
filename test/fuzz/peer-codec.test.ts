/** The bytes that members send each other, whole and spoilt: messages or a typed error. */
import { expect } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import { encodeMessages, FrameView } from "../../src/net/peers/frame.ts";
import { decodeMessages, encodeMessage } from "../../src/net/peers/message-codec.ts";
import { DecodeError } from "../../src/proto/decode-error.ts";
import type { Message } from "../../src/raft/message.ts";
import { fuzz } from "./fuzz.ts";
import { FROM, message, TO } from "./peer-messages.ts";

const IDS = { clusterId: 77n, from: FROM, to: TO };

function bytesOf(messages: readonly Message[]): Buffer {
  const out = new ByteWriter(256);
  for (const each of messages) encodeMessage(each, out);
  return Buffer.from(out.view());
}

function decoded(bytes: Uint8Array): readonly Message[] | undefined {
  try {
    return decodeMessages(bytes, 0, bytes.length, FROM, TO);
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return undefined;
  }
}

fuzz({
  name: "peer-messages",
  inputs: [fc.array(message, { maxLength: 4 })],
  check(messages) {
    const bytes = bytesOf(messages);
    const again = decoded(bytes);
    expect(again?.map(({ type }) => type)).toEqual(messages.map(({ type }) => type));
    expect(bytesOf(again ?? [])).toEqual(bytes);
  },
  runs: 1500,
});

fuzz({
  name: "peer-bytes",
  inputs: [fc.uint8Array({ maxLength: 200 })],
  check(bytes) {
    const messages = decoded(bytes);
    if (messages !== undefined) expect(bytesOf(messages)).toEqual(Buffer.from(bytes));
  },
  runs: 4000,
});

/** Where a frame is changed, and into what; or where it is cut. */
const spoilt = fc.record({
  at: fc.nat(400),
  value: fc.nat(255),
  cut: fc.option(fc.nat(400), { nil: undefined }),
});

fuzz({
  name: "peer-frames",
  inputs: [fc.array(message, { minLength: 1, maxLength: 3 }), fc.array(spoilt, { maxLength: 3 })],
  check(messages, changes) {
    const out = new ByteWriter(256);
    encodeMessages(out, IDS, 1, messages, 0, messages.length);
    let bytes = Buffer.from(out.view());
    for (const { at, value, cut } of changes) {
      if (cut !== undefined) bytes = bytes.subarray(0, cut);
      else if (at < bytes.length) bytes[at] = value;
    }
    const frame = new FrameView();
    try {
      frame.read(bytes, 0, bytes.length);
      const isIntact = frame.intact;
      frame.open();
      if (isIntact) decodeMessages(bytes, frame.start, frame.end, FROM, TO);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
    }
  },
  runs: 3000,
});
