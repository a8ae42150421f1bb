/** Messages and frames as bytes: there and back, the generated codec's bytes, and garbage. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import {
  encodeMessages,
  encodeProposal,
  type FrameIds,
  FrameView,
} from "../../../src/net/peers/frame.ts";
import {
  decodeMessages,
  encodeMessage,
  messageBytes,
} from "../../../src/net/peers/message-codec.ts";
import { DecodeError } from "../../../src/proto/decode-error.ts";
import { RaftFrame } from "../../../src/proto/gen/aether.v1.ts";
import type { Message } from "../../../src/raft/message.ts";
import type { Entry, MemberId } from "../../../src/raft/types.ts";
import { faultInMessage } from "../../../src/raft/validate.ts";

const RUNS = { seed: 1811, numRuns: 300 };
const COUNTER_MAX = 2 ** 52 - 1;

const id = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }).map((value) => value as MemberId);
const counter = fc.oneof(
  fc.nat(300),
  fc.maxSafeNat().map((value) => value % (COUNTER_MAX + 1)),
  fc.constant(COUNTER_MAX),
);
const ids = fc.uniqueArray(id, { maxLength: 5 });
const from = 0xfedc_ba98_7654_3210n as MemberId;
const to = 1n as MemberId;

const entry = fc.record({
  term: counter,
  kind: fc.constantFrom("normal" as const, "config" as const, "noop" as const),
  payload: fc.uint8Array({ maxLength: 40 }),
});

function envelope<T extends object>(fields: fc.Arbitrary<T>): fc.Arbitrary<T & { term: number }> {
  return fc.tuple(fields, counter).map(([body, term]) => ({ from, to, term, ...body }));
}

const append = fc
  .record({
    type: fc.constant("append" as const),
    prevIndex: counter.map((index) => Math.min(index, COUNTER_MAX - 10)),
    prevTerm: counter,
    commit: counter,
    entries: fc.array(entry, { maxLength: 6 }),
  })
  .map((message) => {
    const entries: Entry[] = message.entries.map((each, i) => ({
      index: message.prevIndex + 1 + i,
      ...each,
    }));
    return { ...message, entries };
  });

const bodies: fc.Arbitrary<object>[] = [
  append,
  fc.record({
    type: fc.constant("append-response"),
    index: counter,
    commit: counter,
    rejection: fc.option(fc.record({ hintIndex: counter, hintTerm: counter }), { nil: undefined }),
  }),
  fc.record({ type: fc.constant("heartbeat"), commit: counter, round: counter }),
  fc.record({ type: fc.constant("heartbeat-response"), round: counter }),
  fc.record({
    type: fc.constantFrom("vote", "pre-vote"),
    lastIndex: counter,
    lastTerm: counter,
    force: fc.boolean(),
  }),
  fc.record({
    type: fc.constantFrom("vote-response", "pre-vote-response"),
    granted: fc.boolean(),
  }),
  fc.record({
    type: fc.constant("snapshot"),
    meta: fc.record({
      index: counter,
      term: counter,
      configuration: fc.record({
        voters: ids,
        votersOutgoing: ids,
        learners: ids,
        learnersNext: ids,
        autoLeave: fc.boolean(),
      }),
    }),
  }),
  fc.record({ type: fc.constant("timeout-now") }),
  fc.record({ type: fc.constant("transfer"), target: id }),
  fc.record({ type: fc.constant("read-index"), sequence: fc.maxSafeNat() }),
  fc.record({
    type: fc.constant("read-index-response"),
    sequence: fc.maxSafeNat(),
    index: counter,
  }),
];

const message = fc.oneof(...bodies.map(envelope)) as fc.Arbitrary<unknown> as fc.Arbitrary<Message>;

function encoded(messages: readonly Message[]): Uint8Array {
  const out = new ByteWriter(8);
  for (const each of messages) {
    const before = out.length;
    encodeMessage(each, out);
    expect(out.length - before).toBe(messageBytes(each));
  }
  return out.copy();
}

describe("messages", () => {
  test("come back as they were, whatever surrounds them", () => {
    const property = fc.property(fc.array(message, { maxLength: 5 }), (messages) => {
      const bytes = encoded(messages);
      const padded = Buffer.concat([Buffer.from([9, 9]), bytes, Buffer.from([9])]);
      expect(decodeMessages(padded, 2, padded.length - 1, from, to)).toEqual(messages);
    });
    fc.assert(property, RUNS);
  });

  test("share no memory with what they were read from", () => {
    const payload = new Uint8Array([1, 2, 3]);
    const entries = [{ index: 1, term: 1, kind: "normal" as const, payload }];
    const bytes = encoded([
      { type: "append", from, to, term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries },
    ]);
    const [read] = decodeMessages(bytes, 0, bytes.length, from, to);
    bytes.fill(0xff);
    expect(read).toMatchObject({ entries });
  });

  test("cut short or with a changed byte are refused or are other messages, nothing else", () => {
    const property = fc.property(
      message,
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (each, n, x) => {
        const bytes = encoded([each]);
        const at = n % bytes.length;
        if (at > 0) expect(() => decodeMessages(bytes, 0, at, from, to)).toThrow(DecodeError);
        bytes[at] = (bytes[at] as number) ^ x;
        decodeAnything(bytes);
      },
    );
    fc.assert(property, RUNS);
  });

  test("random bytes throw nothing but DecodeError, and Raft's check takes what is left", () => {
    const random = new Prng(7);
    let decoded = 0;
    for (let run = 0; run < 20_000; run++) {
      const bytes = new Uint8Array(random.chance(50) ? random.pick(SIZES) : random.below(80));
      // Small bytes often: types, counts and lengths that mean something.
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.chance(85) ? 0 : random.below(256);
      if (bytes.length > 0) bytes[0] = random.below(15);
      decoded += decodeAnything(bytes);
    }
    expect(decoded).toBeGreaterThan(300);
  });

  test("announce no more than there is", () => {
    const head = encoded([
      { type: "append", from, to, term: 1, prevIndex: 0, prevTerm: 0, commit: 0, entries: [] },
    ]);
    Buffer.from(head.buffer).writeUInt32BE(0xffff_ffff, head.length - 4);
    expect(() => decodeMessages(head, 0, head.length, from, to)).toThrow("more entries than bytes");
  });

  test("are those of Raft", () => {
    const [read] = decodeMessages(
      encoded([{ type: "timeout-now", from, to, term: 3 }]),
      0,
      9,
      from,
      to,
    );
    expect(read).toEqual({ type: "timeout-now", from, to, term: 3 });
  });
});

/** How long messages are that hold little. */
const SIZES = [9, 10, 17, 25, 26, 34, 37, 42, 50, 58];

/** Decodes `bytes`; returns how many messages they are. Every field is in range. */
function decodeAnything(bytes: Uint8Array): number {
  let messages: Message[];
  try {
    messages = decodeMessages(bytes, 0, bytes.length, from, to);
  } catch (error) {
    expect(error).toBeInstanceOf(DecodeError);
    return 0;
  }
  for (const each of messages) {
    faultInMessage(each, to, () => true); // must not throw either
    for (const value of Object.values(each)) {
      if (typeof value === "number") expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
    }
  }
  return messages.length;
}

const IDS: FrameIds = { clusterId: 2n ** 64n - 1n, from, to };

describe("frames", () => {
  const frame = (group: number, messages: readonly Message[]): Uint8Array => {
    const out = new ByteWriter(8);
    encodeMessages(out, IDS, group, messages, 0, messages.length);
    return out.copy();
  };

  test("are aether.v1.RaftFrame, byte for byte", () => {
    const messages: Message[] = [
      { type: "heartbeat", from, to, term: 4, commit: 2 ** 40, round: 9 },
      { type: "timeout-now", from, to, term: 4 },
    ];
    const bytes = frame(2 ** 40 + 5, messages);
    const generated = RaftFrame.decode(bytes, 0, bytes.length);
    expect(generated).toMatchObject({
      clusterId: IDS.clusterId,
      fromMemberId: from,
      toMemberId: to,
    });
    const out = new ByteWriter(8);
    RaftFrame.encode(generated, out);
    expect(out.copy()).toEqual(bytes);
    const view = new FrameView();
    view.read(bytes, 0, bytes.length);
    expect([view.clusterId, view.from, view.to]).toEqual([IDS.clusterId, from, to]);
    expect(view.intact).toBe(true);
    view.open();
    expect([view.kind, view.group]).toEqual([1, 2 ** 40 + 5]);
    expect(decodeMessages(bytes, view.start, view.end, from, to)).toEqual(messages);
  });

  test("with any bit of the body changed are not intact", () => {
    const bytes = frame(1, [{ type: "heartbeat", from, to, term: 4, commit: 2, round: 9 }]);
    const view = new FrameView();
    view.read(bytes, 0, bytes.length);
    for (let at = view.start; at < view.end; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = bytes.slice();
        changed[at] = (changed[at] as number) ^ (1 << bit);
        const other = new FrameView();
        other.read(changed, 0, changed.length);
        expect(other.intact).toBe(false);
      }
    }
  });

  test("of proposals carry them as they are", () => {
    const out = new ByteWriter(8);
    const payload = new Uint8Array([5, 6, 7]);
    encodeProposal(out, IDS, { group: 3, term: COUNTER_MAX, payload });
    const view = new FrameView();
    view.read(out.bytes, 0, out.length);
    expect(view.intact).toBe(true);
    view.open();
    expect([view.kind, view.group, view.openProposal()]).toEqual([2, 3, COUNTER_MAX]);
    expect(out.bytes.subarray(view.start, view.end)).toEqual(Buffer.from(payload));
    expect(() => view.openProposal()).toThrow("a proposal without its term"); // 3 bytes are left
  });

  test("random bytes throw nothing but DecodeError", () => {
    const random = new Prng(8);
    const view = new FrameView();
    for (let run = 0; run < 20_000; run++) {
      const bytes = new Uint8Array(random.below(40));
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(run % 2 === 0 ? 256 : 48);
      try {
        view.read(bytes, 0, bytes.length);
        view.open();
        expect(view.start).toBeLessThanOrEqual(view.end);
        view.openProposal();
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
    }
  });
});
