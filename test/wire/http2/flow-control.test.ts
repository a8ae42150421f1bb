/** Flow control both ways (RFC 9113 §5.2, §6.9): no window, no bytes; and nothing is lost. */
import { describe, expect, test } from "bun:test";
import { MIB } from "../../../src/base/units.ts";
import type { ServerCall, StreamHandler } from "../../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { SERVER_LIMITS } from "../../../src/wire/http2/limits.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  GOAWAY,
  message,
  NONE,
  PADDED,
  RawClient,
  RST_STREAM,
  requestFields,
  STREAM_PATH,
  settings,
  u32,
  WINDOW_UPDATE,
} from "./kit.ts";

const stream = requestFields(STREAM_PATH);

/** Lengths of the DATA frames read so far, by stream. */
function sizes(client: RawClient, id: number): number[] {
  return client.frames
    .filter((f) => f.type === DATA && f.id === id && f.payload.length > 0)
    .map((f) => f.payload.length);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

describe("what we send", () => {
  test("§6.9.2 nothing under a window of 0, all of it as the window opens, byte by byte", () => {
    const client = RawClient.open({}, [4, 0]);
    client.send(client.request(1, "hello"));
    expect(sizes(client, 1)).toEqual([]);
    for (let byte = 0; byte < 10; byte++) client.send(frame(WINDOW_UPDATE, 0, 1, u32(1)));
    expect(sizes(client, 1)).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    const { data, ended } = client.answer(1);
    expect(data).toEqual(message("hello"));
    expect(ended).toBe(true);
    expect(client.server.openCalls).toBe(0);
  });

  test("§6.9.2 a changed initial window moves open streams, below 0 too", () => {
    const client = RawClient.open({}, [4, 100]);
    client.send(client.headers(1, stream), frame(DATA, 0, 1, message(Buffer.alloc(195))));
    expect(sizes(client, 1)).toEqual([100]);
    client.send(settings([4, 20])); // the window is now -80
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(80)));
    expect(sizes(client, 1)).toEqual([100]); // exactly 0
    client.send(settings([4, 50]));
    expect(sizes(client, 1)).toEqual([100, 30]);
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(1000)));
    expect(sum(sizes(client, 1))).toBe(200);
  });

  test("§6.9 the connection's window stops all streams; its update serves them in turn", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    const content = Buffer.alloc(60_000 - 5);
    for (const id of [1, 3, 5]) {
      client.send(client.headers(id));
      const bytes = message(content);
      for (let at = 0; at < bytes.length; at += 15_000) {
        const ends = at + 15_000 === bytes.length;
        client.send(frame(DATA, ends ? END_STREAM : 0, id, bytes.subarray(at, at + 15_000)));
      }
    }
    const all = (): number => sum([1, 3, 5].flatMap((id) => sizes(client, id)));
    expect(all()).toBe(65_535);
    client.frames = [];
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(4 * 16_384)));
    expect(client.frames.filter((f) => f.type === DATA).map((f) => f.id)).toEqual([3, 5, 3, 5]);
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(MIB)));
    expect(client.server.openCalls).toBe(0);
  });

  test("§4.2 no frame is larger than 16,384 bytes", () => {
    const client = RawClient.open({}, [4, 0x7fffffff], [5, 1 << 20]);
    client.send(client.headers(1), frame(DATA, 0, 1, message(Buffer.alloc(16_384 - 5))));
    client.send(client.headers(3, stream), frame(DATA, 0, 3, message(Buffer.alloc(16_000))));
    expect(Math.max(...sizes(client, 1), ...sizes(client, 3))).toBe(16_384);
  });

  test("a stream over its bound is not writable, and hears of it when it is again", () => {
    const client = RawClient.open({}, [4, 1000]);
    client.send(client.headers(1, stream));
    const call = client.seen.calls[0];
    if (call === undefined) throw new Error("no call");
    const chunk = Buffer.alloc(10_000);
    let sent = 0;
    while (call.writable && sent < 1000) {
      call.send(chunk, 0, chunk.length);
      sent++;
    }
    expect(sent).toBe(27); // 256 KiB and one over
    expect(call.queuedBytes).toBe(27 * 10_005 - 1000);
    client.read().send(frame(WINDOW_UPDATE, 0, 0, u32(MIB)), frame(WINDOW_UPDATE, 0, 1, u32(100)));
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(50_000))); // under the bound, not under half
    expect(client.seen.events).toEqual([]);
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(100_000)));
    expect(client.seen.events).toEqual(["drain"]);
    expect(call.writable).toBe(true);
    client.send(frame(WINDOW_UPDATE, 0, 1, u32(MIB)));
    call.finish();
    expect(client.read().answer(1).data.length).toBe(27 * 10_005);
    expect(client.seen.events).toEqual(["drain"]);
  });

  test("a stream hears nothing while another sends, but once the output was written", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535)));
    client.send(client.headers(1, stream), client.headers(3, stream));
    const [first, second] = client.seen.calls as [ServerCall, ServerCall];
    first.send(Buffer.alloc(2 * MIB), 0, 2 * MIB);
    expect(first.writable).toBe(false);
    for (let written = 0; !first.writable && written < 10; written++) {
      client.read();
      second.send(Buffer.alloc(100_000), 0, 100_000); // moves what the first has queued, too
    }
    expect(first.writable).toBe(true);
    expect(client.seen.events).toEqual([]);
    client.read().server.onWritable(0);
    expect(client.seen.events).toContain("drain");
  });

  test("a large answer goes to the output in portions, and onWritable fetches the next", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535)), client.headers(1, stream));
    const large = Buffer.alloc(3 * MIB, 5);
    client.seen.calls[0]?.send(large, 0, large.length);
    expect(client.server.output.pending).toBeLessThan(MIB + 20_000);
    client.server.receive(client.request(3, "small"), 0); // does not wait behind it
    client.read();
    expect(client.answer(3).ended).toBe(true);
    while (client.seen.calls[0]?.queuedBytes !== 0) {
      client.server.onWritable(0);
      client.read();
    }
    expect(sum(sizes(client, 1))).toBe(large.length + 5);
  });
});

test("a small message does not overtake a large one of its stream", () => {
  const client = RawClient.open({}, [4, 0x7fffffff]);
  client.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535)), client.headers(1, stream));
  const call = client.seen.calls[0];
  call?.send(Buffer.alloc(2 * MIB, 1), 0, 2 * MIB);
  call?.send(Buffer.alloc(3, 2), 0, 3);
  call?.finish();
  while (client.server.openCalls > 0 && client.server.output.pending > 0) {
    client.read().server.onWritable(0);
  }
  const { data } = client.read().answer(1);
  expect(data.subarray(2 * MIB + 5)).toEqual(message(Buffer.alloc(3, 2)));
});

describe("what we receive", () => {
  test("§6.9 the connection's window is returned in few frames", () => {
    const client = RawClient.open();
    client.send(client.headers(1, stream));
    const bytes = message(Buffer.alloc(16_000));
    let sent = 0;
    for (let round = 0; round < 2000; round++) {
      sent += bytes.length;
      client.send(frame(DATA, 0, 1, bytes), frame(WINDOW_UPDATE, 0, 0, u32(bytes.length)));
      client.send(frame(WINDOW_UPDATE, 0, 1, u32(bytes.length)));
    }
    expect(client.end).toBe("open");
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE && f.id === 0);
    expect(updates).toHaveLength(3); // 32 MB through a window of 16 MiB, at each half
    const returned = sum(updates.map((f) => f.payload.readUInt32BE(0)));
    expect(sent - returned).toBeLessThan(8 * MIB);
    const own = client.frames.filter((f) => f.type === WINDOW_UPDATE && f.id === 1);
    expect(own.length).toBeLessThan(700); // at each half of 64 KiB, not at each of 2000 frames
  });

  test("§6.9.1 padding and data for closed streams use the connection's window too", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields("/no.Such/Method")));
    const padded = Buffer.concat([Buffer.from([255]), Buffer.alloc(16_383)]);
    for (let round = 0; round < 512; round++) client.send(frame(DATA, PADDED, 1, padded));
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE && f.id === 0);
    expect(updates.map((f) => f.payload.readUInt32BE(0))).toEqual([8 * MIB]);
  });

  test("a message larger than the window is granted all it lacks at once", () => {
    const client = RawClient.open();
    const bytes = message(Buffer.alloc(MIB, 7));
    client.send(client.headers(1));
    client.send(frame(DATA, 0, 1, bytes.subarray(0, 1000)));
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE);
    expect(updates.map((f) => [f.id, f.payload.readUInt32BE(0)])).toEqual([
      [1, bytes.length - 65_535],
    ]);
    for (let at = 1000; at < bytes.length; at += 16_000) {
      const part = bytes.subarray(at, at + 16_000);
      client.send(frame(DATA, at + 16_000 >= bytes.length ? END_STREAM : 0, 1, part));
    }
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(2 * MIB)), frame(WINDOW_UPDATE, 0, 1, u32(2 * MIB)));
    expect(client.answer(1).data).toEqual(bytes);
  });

  test("one message may be larger than all grants together", () => {
    const client = RawClient.open({ limits: { ...SERVER_LIMITS, grantBytesMax: 1000 } });
    const announce = Buffer.concat([Buffer.from([0]), u32(MIB)]);
    client.send(client.headers(1, stream), frame(DATA, 0, 1, announce));
    client.send(client.headers(3, stream), frame(DATA, 0, 3, announce));
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE);
    expect(updates.map((f) => [f.id, f.payload.readUInt32BE(0)])).toEqual([[1, MIB + 5 - 65_535]]);
  });

  test("many streams with large messages at once all finish, with bounded grants", () => {
    const client = RawClient.open({ receiveBytesMax: 6 * MIB });
    const ids = [1, 3, 5, 7, 9, 11];
    const bytes = message(Buffer.alloc(6 * MIB - 5, 7));
    const sent = new Map<number, number>();
    const window = new Map<number, number>();
    for (const id of ids) {
      client.send(client.headers(id, stream));
      sent.set(id, 0);
      window.set(id, 65_535);
    }
    let open = ids.length;
    while (open > 0) {
      open = 0;
      let moved = 0;
      for (const id of ids) {
        const at = sent.get(id) as number;
        const size = Math.min(16_384, bytes.length - at, window.get(id) as number);
        if (at < bytes.length) open++;
        if (size === 0) continue;
        client.send(frame(DATA, 0, id, bytes.subarray(at, at + size)));
        sent.set(id, at + size);
        window.set(id, (window.get(id) as number) - size);
        moved += size;
      }
      for (const f of client.frames) {
        if (f.type !== WINDOW_UPDATE || f.id === 0) continue;
        window.set(f.id, (window.get(f.id) as number) + f.payload.readUInt32BE(0));
      }
      client.frames = client.frames.filter((f) => f.type === GOAWAY || f.type === RST_STREAM);
      if (open > 0 && moved === 0) throw new Error("nobody can send: deadlock");
    }
    expect(client.frames).toEqual([]);
    expect(client.seen.events).toEqual(ids.map(() => `message ${bytes.length - 5}`));
  });

  describe("a caller that the handler knows", () => {
    const ROOM = { receiveBytesMax: 6 * MIB, windowBytes: MIB };
    /** Streams of /known have room, other streams and unary calls have the server's. */
    const open = (sizes: number[]): RawClient => {
      const handler = (): StreamHandler => ({
        onMessage: (_, start, end) => sizes.push(end - start),
        onHalfClose: () => undefined,
        onCancel: () => undefined,
        onDrain: () => undefined,
      });
      return RawClient.open({
        receiveBytesMax: 1000,
        methods: [
          { path: "/test.Service/known", stream: () => ({ ...handler(), room: ROOM }) },
          { path: STREAM_PATH, stream: handler },
          { path: "/test.Service/refused", stream: (call) => refused(call, handler()) },
        ],
      });
    };
    const refused = (call: ServerCall, handler: StreamHandler): StreamHandler => {
      call.fail(GrpcCode.PERMISSION_DENIED, "who are you?");
      return handler;
    };
    const known = requestFields("/test.Service/known");
    const grants = (client: RawClient): number[][] =>
      client.frames
        .filter((f) => f.type === WINDOW_UPDATE)
        .map((f) => [f.id, f.payload.readUInt32BE(0)]);

    test("has the larger window from the start, and it is kept full", () => {
      const client = open([]);
      client.send(client.headers(1, known));
      expect(grants(client)).toEqual([[1, MIB - 65_535]]);
      client.frames = [];
      const half = message(Buffer.alloc(16_379));
      for (let i = 0; i < 32; i++) client.send(frame(DATA, 0, 1, half));
      expect(grants(client)).toEqual([[1, MIB / 2]]);
      expect(client.end).toBe("open");
    });

    test("may send larger messages than others, and is granted what they lack", () => {
      const sizes: number[] = [];
      const client = open(sizes);
      const bytes = message(Buffer.alloc(3 * MIB));
      client.send(client.headers(1, known), frame(DATA, 0, 1, bytes.subarray(0, 16_000)));
      expect(grants(client)).toEqual([
        [1, MIB - 65_535],
        [1, bytes.length - MIB],
      ]);
      for (let at = 16_000; at < bytes.length; at += 16_000) {
        client.send(frame(DATA, 0, 1, bytes.subarray(at, at + 16_000)));
      }
      expect(sizes).toEqual([3 * MIB]);
    });

    test("is alone with it: others are refused at the server's bound", () => {
      const sizes: number[] = [];
      const client = open(sizes);
      const announce = Buffer.concat([Buffer.from([0]), u32(1001)]);
      for (const [id, path] of [
        [1, STREAM_PATH],
        [3, "/test.Service/refused"],
      ] as const) {
        client.send(client.headers(id, requestFields(path)));
        expect(grants(client)).toEqual([]);
        if (id === 1) client.send(frame(DATA, 0, 1, announce));
        const { fields, ended } = client.answer(id);
        expect(ended).toBe(true);
        expect(fieldOf(fields[0], "grpc-status")).toBe(id === 1 ? "8" : "7");
        client.frames = [];
      }
      expect(sizes).toEqual([]);
    });

    test("is given nothing when the request has ended already", () => {
      const client = open([]);
      client.send(client.headers(1, known, END_HEADERS | END_STREAM));
      expect(grants(client)).toEqual([]);
    });
  });

  test("a stream that has ended is given no window", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields("/test.Service/Late")));
    client.send(frame(DATA, END_STREAM, 1, message(Buffer.alloc(16_000))));
    expect(client.frames).toEqual([]);
    client.seen.calls[0]?.reply(NONE, 0, 0);
    expect(client.server.openCalls).toBe(0);
  });
});
