/**
 * The executable under frames in any order, good, odd and forbidden, cut anywhere, by the raw
 * client of test/rfc: a connection goes on in order or ends with GOAWAY, what the server sends is
 * in order all the way (the audit of test/rfc/kit), and others are served as before.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { begin, callFields, message, protobuf, RANGE } from "../rfc/kit/grpc.ts";
import { block, indexed, literal, sizeUpdate } from "../rfc/kit/hpack.ts";
import { useServer } from "../rfc/kit/node.ts";
import { dial, open, type Peer, VERSION_REQUEST } from "../rfc/kit/peer.ts";
import * as wire from "../rfc/kit/wire.ts";
import { Flag, Setting, Type } from "../rfc/kit/wire.ts";
import { fuzz } from "./fuzz.ts";

const port = useServer();
const WATCH = callFields("/etcdserverpb.Watch/Watch");
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;

/** Blocks of good, malformed and broken requests. */
const BLOCKS: readonly Buffer[] = [
  block(VERSION_REQUEST),
  block(callFields(RANGE)),
  block(WATCH),
  block([...VERSION_REQUEST, ["connection", "close"]]),
  block(VERSION_REQUEST.slice(1)),
  Buffer.concat([block(VERSION_REQUEST), literal("x-kept", "kept", "indexing")]),
  Buffer.concat([block(VERSION_REQUEST), indexed(62)]),
  Buffer.concat([sizeUpdate(0), sizeUpdate(4096), block(WATCH)]),
  Buffer.alloc(0),
];

/** What to do next; forbidden frames ("raw") are seldom, or every connection ended at once. */
type Step = readonly [kind: keyof typeof STEPS, pick: number, amount: number, bytes: Uint8Array];

/** What a client remembers of its streams, to stay within the rules. */
class Client {
  nextId = 1;
  /** Not ended by us. */
  readonly open: number[] = [];

  begin(bytes: Buffer, ends: boolean): Buffer {
    const id = this.nextId;
    this.nextId += 2;
    if (!ends) this.open.push(id);
    return wire.headers(id, bytes, ends ? WHOLE : Flag.END_HEADERS);
  }

  /** One of the open streams; a new one if there is none. */
  with(pick: number, make: (id: number) => Buffer): Buffer {
    const id = this.open[pick % Math.max(1, this.open.length)];
    return id === undefined ? this.begin(BLOCKS[pick % 3] as Buffer, false) : make(id);
  }

  without(id: number): void {
    this.open.splice(this.open.indexOf(id), 1);
  }
}

const MESSAGE = message(protobuf("key"));
const SETTINGS = Object.values(Setting);

const STEPS = {
  begin: (client: Client, pick: number) => client.begin(BLOCKS[pick % 6] as Buffer, pick % 4 === 0),
  inPieces: (client: Client, pick: number, amount: number) => {
    const bytes = BLOCKS[pick % 3] as Buffer;
    const whole = client.begin(bytes, pick % 2 === 0).subarray(wire.FRAME_HEADER_BYTES);
    const id = client.nextId - 2;
    const at = amount % whole.length;
    return Buffer.concat([
      wire.headers(id, whole.subarray(0, at), pick % 2 === 0 ? Flag.END_STREAM : 0),
      wire.continuation(id, whole.subarray(at)),
    ]);
  },
  message: (client: Client, pick: number, amount: number) =>
    client.with(pick, (id) => wire.data(id, MESSAGE.subarray(0, amount % (MESSAGE.length + 1)))),
  content: (client: Client, pick: number, _amount: number, bytes: Uint8Array) =>
    client.with(pick, (id) => wire.data(id, bytes)),
  padded: (client: Client, pick: number, amount: number, bytes: Uint8Array) =>
    client.with(pick, (id) => {
      const padding = Buffer.alloc(amount % 256);
      const whole = Buffer.concat([Buffer.from([padding.length]), bytes, padding]);
      return wire.data(id, whole, Flag.PADDED);
    }),
  end: (client: Client, pick: number) =>
    client.with(pick, (id) => {
      client.without(id);
      return wire.data(id, pick % 2 === 0 ? MESSAGE : "", Flag.END_STREAM);
    }),
  trailers: (client: Client, pick: number) =>
    client.with(pick, (id) => {
      client.without(id);
      return wire.headers(id, block([["x-end", "1"]]), WHOLE);
    }),
  reset: (client: Client, pick: number, amount: number) =>
    client.with(pick, (id) => {
      client.without(id);
      return wire.reset(id, amount % 20);
    }),
  window: (client: Client, pick: number, amount: number) =>
    client.with(pick, (id) => wire.windowUpdate(id, 1 + amount)),
  connectionWindow: (_client: Client, _pick: number, amount: number) =>
    wire.windowUpdate(0, 1 + amount),
  settings: (_client: Client, pick: number, amount: number) => {
    const id = SETTINGS[pick % SETTINGS.length] as number;
    const value = id === Setting.ENABLE_PUSH ? amount % 2 : amount;
    return wire.settings([id, id === Setting.MAX_FRAME_SIZE ? 16_384 + amount : value], [99, pick]);
  },
  acknowledged: () => wire.SETTINGS_ACK,
  answered: () => wire.ping("answered", Flag.ACK),
  priority: (_client: Client, pick: number) =>
    wire.frame(Type.PRIORITY, 0, 1 + pick, Buffer.from([0x80, 0, 0, 0, pick % 256])),
  unknown: (_client: Client, pick: number, amount: number, bytes: Uint8Array) =>
    wire.frame(10 + (pick % 240), amount % 256, amount, bytes),
  raw: (_client: Client, pick: number, amount: number, bytes: Uint8Array) =>
    wire.frame(pick % 10, amount % 256, amount % 12, bytes),
  broken: (client: Client, pick: number) => client.begin(BLOCKS[6 + (pick % 3)] as Buffer, true),
};

const KINDS = Object.keys(STEPS).filter((kind) => kind !== "raw" && kind !== "broken");
const step = fc.tuple(
  fc.oneof(
    { weight: 40, arbitrary: fc.constantFrom(...(KINDS as (keyof typeof STEPS)[])) },
    { weight: 1, arbitrary: fc.constantFrom("raw" as const, "broken" as const) },
  ),
  fc.nat(1000),
  fc.oneof(fc.nat(300), fc.nat(100_000)),
  fc.uint8Array({ maxLength: 40 }),
);

function framesOf(steps: readonly Step[]): Buffer[] {
  const client = new Client();
  return steps.map(([kind, pick, amount, bytes]) => STEPS[kind](client, pick, amount, bytes));
}

/** Sends the bytes in pieces of about equal size. */
function sendCut(peer: Peer, bytes: Buffer, pieces: number): void {
  const size = Math.ceil(bytes.length / pieces);
  for (let at = 0; at < bytes.length; at += size) peer.send(bytes.subarray(at, at + size));
}

fuzz({
  name: "http2-server",
  inputs: [fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 6 })],
  runs: 400,
  check: async (steps, pieces) => {
    await using peer = await dial(port());
    sendCut(peer, Buffer.concat([wire.PREFACE, wire.settings(), ...framesOf(steps)]), pieces);
    peer.send(wire.ping("the last"));
    const last = await peer.frame("the answer to the last PING, or GOAWAY", (frame) => {
      return frame.type === Type.GOAWAY || frame.payload.toString("latin1") === "the last";
    });
    if (last.type === Type.GOAWAY) await peer.end();
    await using other = await open(port());
    const watch = begin(other, WATCH);
    await other.serves();
    other.send(wire.reset(watch, wire.Code.CANCEL));
    expect(other.closed).toBe(false);
  },
});
