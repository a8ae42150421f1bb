/** RFC 9113 §3 to §5: starting, frames, streams and errors. Requirements: requirements.ts. */
import { describe, expect, test } from "bun:test";
import { block, sizeUpdate } from "./kit/hpack.ts";
import { useServer } from "./kit/node.ts";
import { dial, greet, lastIdOf, open, VERSION_REQUEST } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Flag, frame, headers, Setting, Type } from "./kit/wire.ts";

const port = useServer();
const VERSION = block(VERSION_REQUEST);
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;

describe("RFC 9113 §3 starting", () => {
  test("§3.3-2 §3.4-2 §6.5-1 the server's first frame is SETTINGS", async () => {
    await using peer = await dial(port());
    peer.send(wire.PREFACE, wire.settings());
    const first = await peer.frame("any frame", () => true);
    expect(first).toMatchObject({ type: Type.SETTINGS, flags: 0, id: 0 });
  });

  test("§3.4-1 what follows the client's preface must be SETTINGS", async () => {
    for (const other of [wire.ping("12345678"), headers(1, VERSION, WHOLE), wire.SETTINGS_ACK]) {
      await using peer = await dial(port());
      peer.send(wire.PREFACE, other);
      expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
    }
  });

  test("§3.4-3 the SETTINGS of the preface are acknowledged", async () => {
    await using peer = await dial(port());
    peer.send(wire.PREFACE, wire.settings([Setting.ENABLE_PUSH, 0]));
    const ack = await peer.frame("an acknowledgment", ({ type, flags }) => {
      return type === Type.SETTINGS && flags === Flag.ACK;
    });
    expect(ack.payload).toHaveLength(0);
  });

  test("§3.4-4 an invalid preface ends the connection", async () => {
    const wrong = [
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", "latin1"),
      Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "latin1"),
      Buffer.from("PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n", "latin1"),
      Buffer.from("\x16\x03\x01 the greeting of TLS", "latin1"),
    ];
    for (const bytes of wrong) {
      await using peer = await dial(port());
      peer.send(bytes, wire.settings());
      await peer.end();
    }
  });

  test("§3.4 frames may follow the preface without waiting for the server's", async () => {
    await using peer = await dial(port());
    peer.send(wire.PREFACE, wire.settings(), headers(peer.newId(), VERSION, WHOLE));
    expect((await peer.answer(1)).status).toBe("200");
  });
});

describe("RFC 9113 §4 frames", () => {
  test("§4.1-2 §5.5-2 frames of unknown types are discarded, whatever their stream", async () => {
    await using peer = await open(port());
    peer.send(frame(0x16, 0xff, 0, Buffer.alloc(100)), frame(0xff, 0, 77), frame(0x0a, 0, 2));
    await peer.serves();
  });

  test("§4.1-3 unused flags are ignored", async () => {
    await using peer = await open(port());
    peer.send(frame(Type.PING, 0xfe, 0, Buffer.from("unused f")));
    expect((await peer.next(Type.PING)).payload.toString()).toBe("unused f");
    const id = peer.newId();
    peer.send(
      headers(id, VERSION, WHOLE | 0xd2),
      frame(Type.WINDOW_UPDATE, 0xff, 0, wire.uint32(9)),
    );
    expect((await peer.answer(id)).status).toBe("200");
    await peer.serves();
  });

  test("§4.1-6 the reserved bit is ignored", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const bytes = headers(id, VERSION, WHOLE);
    bytes.writeUInt32BE(id + 2 ** 31, 5);
    peer.send(bytes);
    expect((await peer.answer(id)).status).toBe("200");
    const update = wire.windowUpdate(0, 1);
    update.writeUInt32BE(1 + 2 ** 31, wire.FRAME_HEADER_BYTES);
    peer.send(update);
    await peer.serves();
  });

  test("§4.2-1 frames of 2^14 bytes are taken, and larger ones are not", async () => {
    await using peer = await open(port());
    peer.send(frame(0x77, 0, 0, Buffer.alloc(16_384)));
    await peer.serves();
    await using other = await open(port());
    other.send(frame(0x77, 0, 0, Buffer.alloc(16_385)));
    expect(await other.goaway()).toBe("FRAME_SIZE_ERROR");
  });

  const tooLarge: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["HEADERS", headers(1, Buffer.alloc(16_385), WHOLE)],
    ["SETTINGS", frame(Type.SETTINGS, 0, 0, Buffer.alloc(16_386))],
    [
      "CONTINUATION",
      Buffer.concat([headers(1, VERSION, 0), wire.continuation(1, Buffer.alloc(16_385))]),
    ],
    ["PING", frame(Type.PING, 0, 0, Buffer.alloc(16_385))],
    ["HEADERS without room for its priority", headers(1, Buffer.alloc(4), WHOLE | Flag.PRIORITY)],
    ["HEADERS without room for a pad length", headers(1, Buffer.alloc(0), WHOLE | Flag.PADDED)],
    ["GOAWAY without a code", frame(Type.GOAWAY, 0, 0, Buffer.alloc(7))],
    [
      "only the head of a frame that is too large",
      frame(Type.HEADERS, 0, 1, Buffer.alloc(0), 16_385),
    ],
  ];
  test.each(tooLarge)("§4.2-2 §4.2-3 of a wrong size: %s", async (_name, bytes) => {
    await using peer = await open(port());
    peer.send(bytes);
    expect(await peer.goaway()).toBe("FRAME_SIZE_ERROR");
  });

  test("§4.2-2 DATA over the size is FRAME_SIZE_ERROR", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    peer.send(headers(id, block([...VERSION_REQUEST])), wire.data(id, Buffer.alloc(16_385)));
    expect((await peer.failure(id)).code).toBe("FRAME_SIZE_ERROR");
  });

  test("§4.3-3 a field block that cannot be decoded is COMPRESSION_ERROR", async () => {
    await using peer = await open(port());
    peer.send(headers(peer.newId(), Buffer.from([0x80]), WHOLE));
    expect(await peer.goaway()).toBe("COMPRESSION_ERROR");
  });

  test("§4.3-2 field blocks of refused and unread sections are still decoded", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    peer.send(headers(id, Buffer.concat([VERSION, Buffer.from([0x40]), block([])]), WHOLE));
    expect(await peer.goaway()).toBe("COMPRESSION_ERROR");
  });

  test("§4.3.1 the decoder's table begins with 4096 bytes", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    peer.send(headers(id, Buffer.concat([sizeUpdate(4096), VERSION]), WHOLE));
    expect((await peer.answer(id)).status).toBe("200");
    peer.send(headers(peer.newId(), Buffer.concat([sizeUpdate(4097), VERSION]), WHOLE));
    expect(await peer.goaway()).toBe("COMPRESSION_ERROR");
  });

  test("§4.3.1-1 a lowered table size is taken up by the server's encoder", async () => {
    await using peer = await open(port());
    await peer.serves();
    await peer.serves();
    peer.send(wire.settings([Setting.HEADER_TABLE_SIZE, 0]));
    await peer.settle();
    await peer.serves(); // the audit decodes with a table of 0 and minds the update
    expect(peer.audit.decoder.size).toBe(0);
    expect(peer.audit.decoder.entries).toHaveLength(0);
  });
});

describe("RFC 9113 §5.1 stream states", () => {
  const onIdle: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["DATA", wire.data(1, "x")],
    ["RST_STREAM", wire.reset(1, 0)],
    ["WINDOW_UPDATE", wire.windowUpdate(1, 1)],
    ["DATA on a stream of the server's", wire.data(2, "x")],
    ["RST_STREAM on a stream of the server's", wire.reset(2, 0)],
  ];
  test.each(onIdle)("§5.1-1 on an idle stream: %s", async (_name, bytes) => {
    await using peer = await open(port());
    peer.send(bytes);
    expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
  });

  const onServers: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["DATA", wire.data(2, "x")],
    ["RST_STREAM", wire.reset(2, 0)],
    ["WINDOW_UPDATE", wire.windowUpdate(2, 1)],
    ["HEADERS", headers(2, VERSION, WHOLE)],
  ];
  test.each(onServers)(
    "§5.1-1 §5.1-2 stream 2 is idle though 3 was used: %s",
    async (_name, bytes) => {
      await using peer = await open(port());
      peer.send(headers(3, VERSION, WHOLE));
      await peer.answer(3);
      peer.send(bytes);
      expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
    },
  );

  test("§5.1-1 PRIORITY is allowed on an idle stream", async () => {
    await using peer = await open(port());
    peer.send(frame(Type.PRIORITY, 0, 9, Buffer.from([0, 0, 0, 0, 15])));
    await peer.serves();
  });

  test("§5.1-2 §5.1.1-1 HEADERS on a stream of the server's", async () => {
    await using peer = await open(port());
    peer.send(headers(2, VERSION, WHOLE));
    expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
  });

  const ended: readonly (readonly [name: string, bytes: Buffer])[] = [
    ["DATA", wire.data(1, "x")],
    ["HEADERS", headers(1, VERSION, WHOLE)],
  ];
  /** A watch without content stays half-closed: its answer does not end. */
  const WATCH = block([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/etcdserverpb.Watch/Watch"],
    ["content-type", "application/grpc"],
  ]);
  test.each(ended)("§5.1-5 after END_STREAM: %s", async (_name, bytes) => {
    await using peer = await open(port());
    peer.send(headers(peer.newId(), WATCH, WHOLE), bytes);
    expect((await peer.failure(1)).code).toBe("STREAM_CLOSED");
  });

  test.each(ended)("§5.1 §6.1-4 on a closed stream: %s", async (_name, bytes) => {
    await using peer = await open(port());
    const id = peer.request();
    await peer.answer(id);
    peer.send(bytes);
    expect((await peer.failure(id)).code).toBe("STREAM_CLOSED");
  });

  test("§5.1-7 §5.4.2-1 §6.4-2 frames behind the server's RST_STREAM are taken", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const malformed = block([...VERSION_REQUEST, ["connection", "close"]]);
    const trailers = Buffer.concat([Buffer.from([0x40]), Buffer.from("\x01a\x01b")]);
    peer.send(
      headers(id, malformed),
      wire.data(id, "late"),
      wire.windowUpdate(id, 1),
      headers(id, trailers, WHOLE),
    );
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
    const next = peer.newId();
    const uses = Buffer.concat([VERSION, Buffer.from([0x80 | 62])]); // the entry of the trailers
    peer.send(headers(next, uses, WHOLE));
    expect((await peer.answer(next)).status).toBe("200");
  });

  test("§5.1.1-3 §5.1.1-4 a stream identifier below an earlier one", async () => {
    await using peer = await open(port());
    peer.send(headers(5, VERSION, WHOLE), headers(3, VERSION, WHOLE));
    const ending = await peer.goaway(); // §5.4: skipped streams are closed, so both errors apply
    expect(["PROTOCOL_ERROR", "STREAM_CLOSED"]).toContain(ending);
  });

  test("§5.1.1 a client may skip identifiers", async () => {
    await using peer = await open(port());
    peer.send(headers(101, VERSION, WHOLE), headers(2 ** 31 - 1, VERSION, WHOLE));
    expect((await peer.answer(101)).status).toBe("200");
    expect((await peer.answer(2 ** 31 - 1)).status).toBe("200");
  });

  test("§5.1.2-2 a stream over MAX_CONCURRENT_STREAMS is a stream error", async () => {
    await using peer = await dial(port());
    peer.send(wire.PREFACE, wire.settings());
    const first = await peer.next(Type.SETTINGS);
    peer.send(wire.SETTINGS_ACK);
    const limit = limitOf(first.payload);
    if (limit === undefined) return; // no limit, nothing to exceed
    const opened: Buffer[] = [];
    for (let count = 0; count <= limit; count++) opened.push(headers(peer.newId(), WATCH));
    peer.send(...opened);
    const id = 2 * limit + 1;
    const ending = await peer.failure(id);
    expect(ending.of).toBe("stream");
    expect(["REFUSED_STREAM", "PROTOCOL_ERROR"]).toContain(ending.code);
    peer.send(wire.reset(1, wire.Code.CANCEL));
    await peer.serves();
  });

  test("§5.2.2-1 frames are read while an answer is blocked", async () => {
    await using peer = await open(port(), [Setting.INITIAL_WINDOW_SIZE, 0]);
    const blocked = peer.request();
    await peer.next(Type.HEADERS, blocked);
    peer.send(wire.ping("blocked?"));
    await peer.next(Type.PING);
    peer.send(wire.windowUpdate(blocked, 10_000));
    await peer.answer(blocked);
  });
});

describe("RFC 9113 §5.4, §5.5 errors and extensions", () => {
  test("§5.4-1 §5.4.1-1 a connection error: GOAWAY, then the TCP connection ends", async () => {
    await using peer = await open(port());
    await peer.serves();
    peer.send(wire.data(0, "x"));
    const goaway = await peer.next(Type.GOAWAY);
    expect(lastIdOf(goaway)).toBe(1);
    expect(goaway.payload.readUInt32BE(4)).toBe(wire.Code.PROTOCOL_ERROR);
    await peer.end();
  });

  test("§5.4.2-2 RST_STREAM is not answered with RST_STREAM", async () => {
    await using peer = await open(port());
    const id = peer.request();
    await peer.answer(id);
    peer.send(wire.reset(id, wire.Code.CANCEL), wire.reset(id, wire.Code.CANCEL));
    expect((await peer.settle()).filter(({ type }) => type === Type.RST_STREAM)).toEqual([]);
    await peer.serves();
  });

  test("§5.5-1 §7-1 unknown settings and error codes change nothing", async () => {
    await using peer = await open(port(), [0xfff0, 12345], [0x00, 7]);
    const id = peer.newId();
    peer.send(headers(id, VERSION), wire.reset(id, 0xdead_beef));
    peer.send(wire.goaway(0, 0xdead_beef));
    await peer.serves();
  });

  test("§5.5-3 an extension frame amid a field block", async () => {
    await using peer = await open(port());
    peer.send(
      headers(1, VERSION, Flag.END_STREAM),
      frame(0x99, 0, 1),
      wire.continuation(1, VERSION),
    );
    expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
  });

  test("a connection in order stays in order", async () => {
    await using peer = await dial(port());
    await greet(peer);
    for (let count = 0; count < 5; count++) await peer.serves();
  });
});

function limitOf(payload: Buffer): number | undefined {
  for (let at = 0; at < payload.length; at += 6) {
    if (payload.readUInt16BE(at) === Setting.MAX_CONCURRENT_STREAMS) {
      return payload.readUInt32BE(at + 2);
    }
  }
  return undefined;
}
