/** RFC 9113 §6 and §7: what each frame must be. Requirements: requirements.ts. */
import { describe, expect, test } from "bun:test";
import { call, callFields, message, protobuf, put, RANGE, statusOf } from "./kit/grpc.ts";
import { block, indexed, literal } from "./kit/hpack.ts";
import { useServer } from "./kit/node.ts";
import { open, type Peer, VERSION_REQUEST } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Code, Flag, frame, headers, INT31_MAX, Setting, Type } from "./kit/wire.ts";

const port = useServer();
const VERSION = block(VERSION_REQUEST);
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;
const PRIORITY = Buffer.from([0, 0, 0, 0, 15]);

/** One row: what is sent on a fresh connection, and how the connection must end. */
type Row = readonly [name: string, code: keyof typeof Code, ...bytes: Buffer[]];

const CONNECTION_ERRORS: readonly Row[] = [
  ["§6.1-3 DATA on stream 0", "PROTOCOL_ERROR", wire.data(0, "x")],
  [
    "§6.1-5 DATA padded over its length",
    "PROTOCOL_ERROR",
    headers(1, VERSION),
    wire.data(1, Buffer.from([5, 1, 2, 3, 4]), Flag.PADDED),
  ],
  [
    "§6.2-3 another frame amid a field block",
    "PROTOCOL_ERROR",
    headers(1, VERSION, Flag.END_STREAM),
    wire.ping("not  now"),
  ],
  [
    "§6.2-3 HEADERS of another stream amid a field block",
    "PROTOCOL_ERROR",
    headers(1, VERSION, Flag.END_STREAM),
    headers(3, VERSION, WHOLE),
  ],
  ["§6.2-5 HEADERS on stream 0", "PROTOCOL_ERROR", headers(0, VERSION, WHOLE)],
  [
    "§6.2-6 HEADERS padded over its length",
    "PROTOCOL_ERROR",
    headers(1, Buffer.from([10, ...VERSION.subarray(0, 9)]), WHOLE | Flag.PADDED),
  ],
  [
    "§6.2-6 HEADERS whose padding reaches into its priority",
    "PROTOCOL_ERROR",
    headers(1, Buffer.from([4, 0, 0, 0, 0, 15, 0x82]), WHOLE | Flag.PADDED | Flag.PRIORITY),
  ],
  ["§6.3-1 PRIORITY on stream 0", "PROTOCOL_ERROR", frame(Type.PRIORITY, 0, 0, PRIORITY)],
  ["§6.4-4 RST_STREAM on stream 0", "PROTOCOL_ERROR", wire.reset(0, 0)],
  ["§6.4-6 RST_STREAM on an idle stream", "PROTOCOL_ERROR", wire.reset(7, 0)],
  [
    "§6.4-7 RST_STREAM of three bytes",
    "FRAME_SIZE_ERROR",
    headers(1, VERSION),
    frame(Type.RST_STREAM, 0, 1, Buffer.alloc(3)),
  ],
  [
    "§6.4-7 RST_STREAM of five bytes",
    "FRAME_SIZE_ERROR",
    headers(1, VERSION),
    frame(Type.RST_STREAM, 0, 1, Buffer.alloc(5)),
  ],
  [
    "§6.5-4 an acknowledgment of SETTINGS that is not empty",
    "FRAME_SIZE_ERROR",
    frame(Type.SETTINGS, Flag.ACK, 0, Buffer.alloc(6)),
  ],
  ["§6.5-6 SETTINGS on a stream", "PROTOCOL_ERROR", frame(Type.SETTINGS, 0, 1)],
  ["§6.5-6 its acknowledgment on a stream", "PROTOCOL_ERROR", frame(Type.SETTINGS, Flag.ACK, 1)],
  ["§6.5-7 §6.5-8 SETTINGS of 5", "FRAME_SIZE_ERROR", frame(Type.SETTINGS, 0, 0, Buffer.alloc(5))],
  ["§6.5-8 SETTINGS of 13", "FRAME_SIZE_ERROR", frame(Type.SETTINGS, 0, 0, Buffer.alloc(13))],
  ["§6.5.2-3 ENABLE_PUSH 2", "PROTOCOL_ERROR", wire.settings([Setting.ENABLE_PUSH, 2])],
  [
    "§6.5.2-7 INITIAL_WINDOW_SIZE 2^31",
    "FLOW_CONTROL_ERROR",
    wire.settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31]),
  ],
  [
    "§6.5.2-7 INITIAL_WINDOW_SIZE 2^32-1",
    "FLOW_CONTROL_ERROR",
    wire.settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 32 - 1]),
  ],
  ["§6.5.2-9 MAX_FRAME_SIZE 0", "PROTOCOL_ERROR", wire.settings([Setting.MAX_FRAME_SIZE, 0])],
  [
    "§6.5.2-9 MAX_FRAME_SIZE 16383",
    "PROTOCOL_ERROR",
    wire.settings([Setting.MAX_FRAME_SIZE, 16_383]),
  ],
  [
    "§6.5.2-9 MAX_FRAME_SIZE 2^24",
    "PROTOCOL_ERROR",
    wire.settings([Setting.MAX_FRAME_SIZE, 2 ** 24]),
  ],
  [
    "§8.4-5 PUSH_PROMISE from a client",
    "PROTOCOL_ERROR",
    headers(1, VERSION),
    frame(Type.PUSH_PROMISE, Flag.END_HEADERS, 1, Buffer.concat([wire.uint32(2), VERSION])),
  ],
  ["§6.7-5 PING on a stream", "PROTOCOL_ERROR", frame(Type.PING, 0, 1, Buffer.alloc(8))],
  ["§6.7-6 PING of 7", "FRAME_SIZE_ERROR", frame(Type.PING, 0, 0, Buffer.alloc(7))],
  ["§6.7-6 PING of 9", "FRAME_SIZE_ERROR", frame(Type.PING, 0, 0, Buffer.alloc(9))],
  ["§6.7-6 PING of 0", "FRAME_SIZE_ERROR", frame(Type.PING, 0, 0)],
  ["§6.8-2 GOAWAY on a stream", "PROTOCOL_ERROR", frame(Type.GOAWAY, 0, 1, Buffer.alloc(8))],
  ["§6.9-3 WINDOW_UPDATE of 0", "PROTOCOL_ERROR", wire.windowUpdate(0, 0)],
  [
    "§6.9-6 WINDOW_UPDATE of 3 bytes",
    "FRAME_SIZE_ERROR",
    frame(Type.WINDOW_UPDATE, 0, 0, Buffer.alloc(3)),
  ],
  [
    "§6.9-6 WINDOW_UPDATE of 5 bytes",
    "FRAME_SIZE_ERROR",
    headers(1, VERSION),
    frame(Type.WINDOW_UPDATE, 0, 1, Buffer.alloc(5)),
  ],
  [
    "§6.9.1-2 §6.9.1-3 the connection's window over 2^31-1",
    "FLOW_CONTROL_ERROR",
    wire.windowUpdate(0, INT31_MAX),
    wire.windowUpdate(0, INT31_MAX),
  ],
  [
    "§6.9.2-4 a stream's window over 2^31-1 by INITIAL_WINDOW_SIZE",
    "FLOW_CONTROL_ERROR",
    headers(1, VERSION),
    wire.windowUpdate(1, INT31_MAX - wire.WINDOW_INITIAL),
    wire.settings([Setting.INITIAL_WINDOW_SIZE, wire.WINDOW_INITIAL + 1]),
  ],
  [
    "§6.10-2 CONTINUATION of another stream",
    "PROTOCOL_ERROR",
    headers(1, VERSION, Flag.END_STREAM),
    wire.continuation(3, VERSION),
  ],
  [
    "§6.10-2 DATA amid CONTINUATION",
    "PROTOCOL_ERROR",
    headers(1, VERSION, Flag.END_STREAM),
    wire.continuation(1, Buffer.alloc(0), 0),
    wire.data(1, "x"),
  ],
  [
    "§6.10-4 CONTINUATION on stream 0",
    "PROTOCOL_ERROR",
    headers(1, VERSION, Flag.END_STREAM),
    wire.continuation(0, VERSION),
  ],
  ["§6.10-6 CONTINUATION without HEADERS", "PROTOCOL_ERROR", wire.continuation(1, VERSION)],
  [
    "§6.10-6 CONTINUATION behind END_HEADERS",
    "PROTOCOL_ERROR",
    headers(1, VERSION),
    wire.continuation(1, VERSION),
  ],
  [
    "§6.10-6 CONTINUATION behind CONTINUATION with END_HEADERS",
    "PROTOCOL_ERROR",
    headers(1, VERSION, 0),
    wire.continuation(1, Buffer.alloc(0)),
    wire.continuation(1, Buffer.alloc(0)),
  ],
];

describe("RFC 9113 §6 connection errors", () => {
  test.each(CONNECTION_ERRORS)("%s is %s", async (_name, code, ...bytes) => {
    await using peer = await open(port());
    peer.send(...bytes);
    expect(await peer.goaway()).toBe(code);
  });
});

/** §5.4.1 lets an endpoint end the connection instead; the code is the same. */
const STREAM_ERRORS: readonly Row[] = [
  [
    "§6.3-2 PRIORITY of four bytes",
    "FRAME_SIZE_ERROR",
    frame(Type.PRIORITY, 0, 1, Buffer.alloc(4)),
  ],
  ["§6.3-2 PRIORITY of six bytes", "FRAME_SIZE_ERROR", frame(Type.PRIORITY, 0, 1, Buffer.alloc(6))],
  ["§6.9-2 WINDOW_UPDATE of 0 on a stream", "PROTOCOL_ERROR", wire.windowUpdate(1, 0)],
  [
    "§6.9.1-2 §6.9.1-3 a stream's window over 2^31-1",
    "FLOW_CONTROL_ERROR",
    wire.windowUpdate(1, INT31_MAX),
    wire.windowUpdate(1, INT31_MAX),
  ],
];

describe("RFC 9113 §6 stream errors", () => {
  test.each(STREAM_ERRORS)("%s is %s", async (_name, code, ...bytes) => {
    await using peer = await open(port());
    peer.send(headers(peer.newId(), VERSION), ...bytes);
    expect((await peer.failure(1)).code).toBe(code);
  });
});

describe("RFC 9113 §6.1 to §6.4 DATA, HEADERS, PRIORITY, RST_STREAM", () => {
  test("padding and priority are taken off", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const padded = Buffer.concat([Buffer.from([3]), PRIORITY, VERSION, Buffer.alloc(3)]);
    peer.send(headers(id, padded, WHOLE | Flag.PADDED | Flag.PRIORITY));
    expect((await peer.answer(id)).status).toBe("200");
  });

  test("§6.1 a frame of padding alone is no error", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    peer.send(headers(id, VERSION), wire.data(id, Buffer.alloc(8).fill(7, 0, 1), Flag.PADDED));
    peer.send(wire.data(id, Buffer.from([0]), Flag.PADDED | Flag.END_STREAM));
    expect((await peer.answer(id)).status).toBe("200");
  });

  test("§6.4-1 nothing is sent on a stream after the client's RST_STREAM", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const id = peer.request();
    await peer.next(Type.HEADERS, id);
    peer.send(wire.reset(id, Code.CANCEL), wire.windowUpdate(id, 100_000));
    await peer.settle();
    peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, 100_000]));
    const after = [...(await peer.settle()), ...(await peer.settle())];
    expect(after.filter((one) => one.id === id)).toEqual([]);
    await peer.serves();
  });
});

describe("RFC 9113 §6.5 SETTINGS", () => {
  test("§6.5-2 every defined setting is taken", async () => {
    await using peer = await open(
      port(),
      [Setting.HEADER_TABLE_SIZE, 100],
      [Setting.ENABLE_PUSH, 1],
      [Setting.MAX_CONCURRENT_STREAMS, 0],
      [Setting.INITIAL_WINDOW_SIZE, 3],
      [Setting.MAX_FRAME_SIZE, 2 ** 24 - 1],
      [Setting.MAX_HEADER_LIST_SIZE, 10_000],
    );
    const id = peer.request();
    await peer.next(Type.HEADERS, id);
    expect((await peer.next(Type.DATA, id)).payload).toHaveLength(3);
    peer.send(wire.windowUpdate(id, 100_000));
    await peer.answer(id);
  });

  test("§6.5.2-10 §6.5.3-3 unknown settings are ignored", async () => {
    await using peer = await open(port(), [0, 1], [7, 2 ** 32 - 1], [0xffff, 0]);
    await peer.serves();
  });

  test("§6.5.3-2 values apply in their order: the last one stands", async () => {
    await using peer = await open(
      port(),
      [Setting.INITIAL_WINDOW_SIZE, 100_000],
      [Setting.INITIAL_WINDOW_SIZE, 4],
      [Setting.INITIAL_WINDOW_SIZE, 5],
    );
    const id = peer.request();
    expect((await peer.next(Type.DATA, id)).payload).toHaveLength(5);
  });

  test("§6.5.3-1 §6.5.3-4 each SETTINGS is applied and acknowledged in order", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const id = peer.request();
    await peer.next(Type.HEADERS, id);
    for (const window of [1, 3, 6]) {
      peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, window]));
    }
    const seen: string[] = [];
    while (seen.length < 6) {
      const { type, payload } = await peer.frame("SETTINGS or DATA", () => true);
      seen.push(`${wire.typeName(type)} ${payload.length}`);
    }
    const step = (bytes: number): string[] => ["SETTINGS 0", `DATA ${bytes}`];
    expect(seen).toEqual([...step(1), ...step(2), ...step(3)]);
  });

  test("acknowledging what was not sent is no error", async () => {
    await using peer = await open(port());
    peer.send(wire.SETTINGS_ACK, wire.SETTINGS_ACK);
    await peer.serves();
  });
});

describe("RFC 9113 §6.7 PING, §6.8 GOAWAY", () => {
  test("§6.7-1 §6.7-2 §6.7-3 PING is answered with its own bytes and ACK", async () => {
    await using peer = await open(port());
    peer.send(frame(Type.PING, 0, 0, Buffer.from([0, 255, 1, 254, 2, 253, 3, 252])));
    const answer = await peer.next(Type.PING);
    expect(answer.flags).toBe(Flag.ACK);
    expect([...answer.payload]).toEqual([0, 255, 1, 254, 2, 253, 3, 252]);
  });

  test("§6.7-4 an answered PING is not answered again", async () => {
    await using peer = await open(port());
    peer.send(wire.ping("answered", Flag.ACK));
    expect((await peer.settle()).filter(({ type }) => type === Type.PING)).toEqual([]);
    await peer.serves();
  });

  test("§6.8 a client's GOAWAY does not end what it asked for", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const id = peer.request();
    await peer.next(Type.HEADERS, id);
    peer.send(wire.goaway(0, Code.NO_ERROR), wire.windowUpdate(id, 10_000));
    await peer.answer(id);
  });
});

const LARGE_KEY = message(protobuf("large"));

/** Begins reading a value of `bytes`; the client gives the windows. */
async function readLarge(peer: Peer, bytes: number): Promise<number> {
  await put(peer, "large", bytes);
  return call(peer, callFields(RANGE), LARGE_KEY);
}

/** Takes DATA of the stream until as many bytes have come. */
async function take(peer: Peer, id: number, bytes: number): Promise<void> {
  for (let taken = 0; taken < bytes; ) {
    taken += (await peer.next(Type.DATA, id)).payload.length;
    expect(taken).toBeLessThanOrEqual(bytes);
  }
}

describe("RFC 9113 §6.9 flow control", () => {
  const VALUE_BYTES = 60_000;

  test("§5.2.1-1 §6.9.1-1 the stream's window holds the server back", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 1000]);
    const id = await readLarge(peer, VALUE_BYTES);
    await take(peer, id, 1000);
    expect((await peer.settle()).filter(({ type }) => type === Type.DATA)).toEqual([]);
    peer.send(wire.windowUpdate(id, 1));
    await take(peer, id, 1);
    peer.send(wire.windowUpdate(id, 100_000));
    expect(statusOf(await peer.answer(id))).toBe("0");
  });

  test("§5.2.1-1 §6.9.1-1 so does the connection's, over all streams", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 1_000_000]);
    await readLarge(peer, VALUE_BYTES);
    const id = await readLarge(peer, VALUE_BYTES);
    await peer.settle(); // the audit counts what has come against 65,535 and put()'s updates
    peer.send(wire.windowUpdate(0, 1_000_000));
    expect(statusOf(await peer.answer(id))).toBe("0");
  });

  test("§6.9.2-1 §6.9.2-2 §6.9.2-3 a window below zero is paid back first", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 10_000]);
    const id = await readLarge(peer, VALUE_BYTES);
    await take(peer, id, 10_000);
    peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, 100]));
    await peer.settle();
    peer.send(wire.windowUpdate(id, 9900)); // to 0
    expect((await peer.settle()).filter(({ type }) => type === Type.DATA)).toEqual([]);
    peer.send(wire.windowUpdate(id, 7));
    await take(peer, id, 7);
    peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, 100 + VALUE_BYTES]));
    expect(statusOf(await peer.answer(id))).toBe("0");
  });

  test("§6.9.2 SETTINGS do not change the connection's window", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 1_000_000]);
    await readLarge(peer, VALUE_BYTES);
    for (let count = 0; count < 3; count++) call(peer, callFields(RANGE), LARGE_KEY);
    peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, 2_000_000]));
    await peer.settle(); // the audit finds what goes over the connection's window
    peer.send(wire.windowUpdate(0, 1_000_000));
    await peer.serves();
  });

  test("§6.9-1 frames other than DATA need no window", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const id = call(peer, callFields("/no.Such/Method"));
    expect(statusOf(await peer.answer(id))).toBe("12"); // Trailers-Only: HEADERS alone
  });

  test("§6.9-4 WINDOW_UPDATE on half-closed and closed streams is no error", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const id = peer.request();
    await peer.next(Type.HEADERS, id);
    peer.send(wire.windowUpdate(id, 100_000));
    await peer.answer(id);
    peer.send(wire.windowUpdate(id, 1), wire.windowUpdate(id, INT31_MAX));
    peer.send(wire.settings([Setting.INITIAL_WINDOW_SIZE, 100_000]));
    await peer.serves();
  });

  test("§6.9-5 DATA counts for the connection though its stream was reset", async () => {
    await using peer = await open(port());
    const malformed = block([...VERSION_REQUEST, ["connection", "close"]]);
    for (let round = 0; round < 2; round++) {
      const id = peer.newId(); // 12 MiB each, into streams that are dead from the start
      peer.send(headers(id, malformed));
      for (let count = 0; count < 768; count++) peer.send(wire.data(id, Buffer.alloc(16_384)));
      const update = await peer.next(Type.WINDOW_UPDATE, 0);
      expect(update.payload.readUInt32BE(0)).toBeGreaterThan(0);
    }
    await peer.serves();
  });

  test("§6.9.1 an empty DATA frame needs no window", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    peer.send(headers(id, VERSION), wire.data(id, "", Flag.END_STREAM));
    expect((await peer.answer(id)).status).toBe("200");
  });
});

describe("RFC 9113 §6.10 CONTINUATION", () => {
  test("a field block may be cut anywhere, also into empty pieces", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const whole = Buffer.concat([
      indexed(2),
      indexed(6),
      literal(4, "/version"),
      literal(1, "127.0.0.1"),
    ]);
    const pieces = [0, 1, 1, 5, 6].map((at, place, cuts) => whole.subarray(at, cuts[place + 1]));
    peer.send(
      headers(id, pieces[0] as Buffer, Flag.END_STREAM),
      ...pieces.slice(1, -1).map((piece) => wire.continuation(id, piece, 0)),
      wire.continuation(id, pieces.at(-1) as Buffer),
    );
    expect((await peer.answer(id)).status).toBe("200");
  });
});
