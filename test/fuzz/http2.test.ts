/**
 * HTTP/2 from a peer that may send anything: the same bytes give the same result however they are
 * cut, every sequence of frames leaves the invariants whole and ends by a GOAWAY or not at all, and
 * messages of gRPC are what a second, plain reading of them says.
 */
import { expect } from "bun:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { MIB } from "../../src/base/units.ts";
import { MessageReader } from "../../src/wire/grpc/message-reader.ts";
import { OUTPUT_BYTES_MAX, SERVER_LIMITS } from "../../src/wire/http2/limits.ts";
import { PREFACE } from "../../src/wire/http2/protocol.ts";
import { MemoryBudget } from "../../src/wire/memory.ts";
import {
  frame,
  message,
  PATH,
  RawClient,
  requestFields,
  STREAM_PATH,
  settings,
  takeOutput,
  u32,
} from "../wire/http2/kit.ts";
import { fuzz } from "./fuzz.ts";

/** Few ids, so that frames meet. */
const id = fc.oneof(fc.constantFrom(0, 1, 3, 5, 7), fc.nat(40), fc.constantFrom(2 ** 31 - 1));
const flags = fc.constantFrom(0, 1, 4, 5, 8, 9, 0x20, 0x2d, 0xff);

/** One step of a peer: most are nearly right. */
type Step =
  | {
      readonly kind: "request";
      readonly path: string;
      readonly bytes: number;
      readonly ends: boolean;
    }
  | { readonly kind: "frame"; type: number; flags: number; id: number; payload: Uint8Array }
  | { readonly kind: "word"; type: number; id: number; value: number }
  | { readonly kind: "settings"; readonly entries: [number, number][] }
  | { readonly kind: "time"; readonly ms: number }
  | { readonly kind: "serve"; readonly bytes: number };

const path = fc.constantFrom(PATH, STREAM_PATH, "/test.Service/Late", "/no.Such/Method");
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("request" as const),
    ...{ path, bytes: fc.nat(20_000), ends: fc.boolean() },
  }),
  fc.record({
    kind: fc.constant("frame" as const),
    ...{ type: fc.nat(10), flags, id, payload: fc.uint8Array({ maxLength: 40 }) },
  }),
  fc.record({
    kind: fc.constant("word" as const), // RST_STREAM, WINDOW_UPDATE
    ...{ type: fc.constantFrom(3, 8), id },
    value: fc.oneof(fc.nat(100_000), fc.constantFrom(0, 8, 2 ** 31 - 1, 2 ** 32 - 1)),
  }),
  fc.record({
    kind: fc.constant("settings" as const),
    entries: fc.array(
      fc.tuple(fc.nat(7), fc.oneof(fc.nat(70_000), fc.constantFrom(2 ** 31 - 1, 2 ** 32 - 1))),
      { maxLength: 3 },
    ),
  }),
  fc.record({ kind: fc.constant("time" as const), ms: fc.constantFrom(1, 100, 5000, 61_000) }),
  fc.record({ kind: fc.constant("serve" as const), bytes: fc.nat(40_000) }),
);

/** A peer's bytes for a step; new streams get the next odd id. */
class Peer {
  readonly client: RawClient;
  nextId = 1;

  constructor(memory: MemoryBudget) {
    const limits = { ...SERVER_LIMITS, concurrentStreamsMax: 8, grantBytesMax: 50_000 };
    this.client = RawClient.open({ limits, memory });
  }

  play(made: Step): void {
    const { client } = this;
    client.frames = [];
    switch (made.kind) {
      case "request":
        this.#request(made.path, made.bytes, made.ends);
        break;
      case "frame":
        client.send(frame(made.type, made.flags, made.id, made.payload));
        break;
      case "word":
        client.send(frame(made.type, 0, made.id, u32(made.value)));
        break;
      case "settings":
        client.send(settings(...made.entries));
        break;
      case "time":
        client.tick(client.nowMs + made.ms);
        break;
      case "serve":
        for (const call of client.seen.calls.splice(0, 2)) {
          if (call.path === STREAM_PATH) call.send(Buffer.alloc(made.bytes), 0, made.bytes);
          else call.reply(Buffer.alloc(made.bytes), 0, made.bytes);
        }
        client.server.onWritable(client.nowMs);
        client.read();
    }
  }

  #request(to: string, bytes: number, ends: boolean): void {
    const { client } = this;
    const stream = this.nextId;
    this.nextId += 2;
    const whole = message(Buffer.alloc(bytes));
    client.send(client.headers(stream, requestFields(to)));
    for (let at = 0; at < whole.length; at += 16_384) {
      const last = at + 16_384 >= whole.length;
      client.send(frame(0, last && ends ? 1 : 0, stream, whole.subarray(at, at + 16_384)));
    }
  }
}

fuzz({
  name: "http2-connection",
  inputs: [fc.array(step, { maxLength: 40 })],
  check(steps) {
    const memory = new MemoryBudget(MIB);
    const { client } = playAll(steps, memory);
    memory.verify();
    expect(client.server.output.pending).toBeLessThanOrEqual(OUTPUT_BYTES_MAX + MIB);
    if (client.server.closing) expect(client.server.reason).not.toBe("");
    client.server.closed(client.nowMs);
    for (const call of client.seen.calls) {
      if (call.path !== STREAM_PATH) call.fail(13, "late"); // nobody is there; nothing may happen
    }
    expect(client.server.openCalls).toBe(0);
    expect(memory.usedBytes).toBe(0);
  },
  runs: 1500,
});

/** verify() runs within send(), tick() and read() of the client. */
function playAll(steps: readonly Step[], memory: MemoryBudget): Peer {
  const peer = new Peer(memory);
  for (const made of steps) {
    if (peer.client.server.closing) break;
    peer.play(made);
  }
  return peer;
}

/** What a conversation of frames and rubbish comes to when it is cut so. */
function outcome(bytes: Buffer, cuts: readonly number[]): unknown {
  const client = new RawClient();
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(from, cut));
    client.server.receive(chunk, 0);
    chunk.fill(0xee); // nothing may be kept of what was lent
    client.server.verify();
    from = Math.max(from, cut);
  }
  const { reason, closing } = client.server;
  return { reason, closing, events: client.seen.events, output: takeOutput(client.server) };
}

fuzz({
  name: "http2-chunking",
  inputs: [
    fc.boolean(),
    fc.array(
      fc.oneof(
        fc.record({ type: fc.nat(10), flags, id, payload: fc.uint8Array({ maxLength: 30 }) }),
        fc.record({
          type: fc.constantFrom(0, 6, 0xfa),
          ...{ flags, id, payload: fc.uint8Array({ minLength: 300, maxLength: 700 }) },
        }),
        fc.record({
          type: fc.constant(1),
          flags: fc.constantFrom(4, 5),
          id: fc.constantFrom(1, 3, 5),
          payload: fc.constant(new Uint8Array(new RawClient().block(requestFields(STREAM_PATH)))),
        }),
      ),
      { maxLength: 8 },
    ),
    fc.uint8Array({ maxLength: 12 }),
    fc.array(fc.nat(1000), { maxLength: 6 }),
  ],
  check(begins, frames, rest, at) {
    const bytes = Buffer.concat([
      ...(begins ? [PREFACE, settings()] : []),
      ...frames.map((one) => frame(one.type, one.flags, one.id, one.payload)),
      rest,
    ]);
    const cuts = at.filter((cut) => cut < bytes.length).sort((a, b) => a - b);
    expect(outcome(bytes, cuts)).toEqual(outcome(bytes, []));
  },
  runs: 2000,
});

const BYTES_MAX = 2000;

/** Reads messages in the plainest way; "…" stands for what is missing, "!" for a failure. */
function readPlainly(bytes: Buffer): string[] {
  const seen: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 5) return [...seen, "…"];
    const length = bytes.readUInt32BE(at + 1);
    if ((bytes[at] as number) > 0 || length > BYTES_MAX) return [...seen, "!"];
    if (bytes.length - at - 5 < length) return [...seen, "…"];
    seen.push(bytes.subarray(at + 5, at + 5 + length).toString("hex"));
    at += 5 + length;
  }
  return seen;
}

const content = fc.uint8Array({ maxLength: 60 });

fuzz({
  name: "grpc-messages",
  inputs: [
    fc.array(
      fc.oneof(
        content.map((bytes) => message(bytes)),
        content.map((bytes) => Buffer.from(bytes)), // whatever prefix that is
        fc.nat(BYTES_MAX + 10).map((length) => Buffer.concat([Buffer.from([0]), u32(length)])),
      ),
      { maxLength: 6 },
    ),
    fc.array(fc.nat(300), { maxLength: 6 }),
  ],
  check(parts, at) {
    const bytes = Buffer.concat(parts);
    const memory = new MemoryBudget();
    const account = memory.open();
    const reader = new MessageReader(BYTES_MAX, false, account);
    const seen: string[] = [];
    const sink = {
      done: false,
      onMessage: (whole: Uint8Array, start: number, end: number) => {
        seen.push(Buffer.from(whole.subarray(start, end)).toString("hex"));
      },
    };
    let failed = false;
    let from = 0;
    const cuts = at.filter((cut) => cut < bytes.length).sort((a, b) => a - b);
    for (const cut of [...cuts, bytes.length]) {
      failed ||= reader.take(bytes, from, Math.max(from, cut), sink) !== undefined;
      if (failed) break;
      from = Math.max(from, cut);
      expect(reader.held).toBeLessThanOrEqual(BYTES_MAX + 5);
      expect(account.bytes).toBeGreaterThanOrEqual(reader.held);
    }
    if (failed) seen.push("!");
    else if (reader.held > 0) seen.push("…");
    expect(seen).toEqual(readPlainly(bytes));
    reader.clear();
    expect(memory.usedBytes).toBe(0);
  },
  runs: 3000,
});

fuzz({
  name: "grpc-gzip",
  inputs: [fc.uint8Array({ maxLength: 400 }), fc.nat(60), fc.nat(255), fc.boolean()],
  check(plain, place, value, damaged) {
    const packed = gzipSync(plain);
    if (damaged) packed[place % packed.length] = value;
    const reader = new MessageReader(BYTES_MAX, true);
    const got: Buffer[] = [];
    const sink = {
      done: false,
      onMessage: (whole: Uint8Array, start: number, end: number) => {
        got.push(Buffer.from(whole.subarray(start, end)));
      },
    };
    const bytes = message(packed, 1);
    const failure = reader.take(bytes, 0, bytes.length, sink);
    if (failure === undefined) expect(got[0]?.equals(Buffer.from(plain))).toBe(true);
    else expect([damaged, got]).toEqual([true, []]);
  },
  runs: 1500,
});
