/** Hostile primitives: each ends in the right error, costs little, and leaves nothing behind. */
import { describe, expect, test } from "bun:test";
import { KIB, MIB } from "../../../src/base/units.ts";
import { CONTROL_BURST, SERVER_LIMITS } from "../../../src/wire/http2/limits.ts";
import { PREFACE } from "../../../src/wire/http2/protocol.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  HEADERS,
  message,
  NONE,
  PATH,
  PING,
  PRIORITY,
  RawClient,
  RST_STREAM,
  requestFields,
  SETTINGS,
  STREAM_PATH,
  settings,
  takeOutput,
  u32,
  WINDOW_UPDATE,
} from "./kit.ts";

const CALM = "GOAWAY ENHANCE_YOUR_CALM";
const late = requestFields("/test.Service/Late");

/** Sends what `make` gives until the connection ends; the number of rounds it lived. */
function roundsUntilEnd(client: RawClient, roundsMax: number, make: (n: number) => Uint8Array[]) {
  for (let round = 0; round < roundsMax; round++) {
    client.send(...make(round));
    client.frames = client.frames.filter((f) => f.type === 7 || f.type === RST_STREAM);
    if (client.server.closing) return round;
  }
  return roundsMax;
}

/** 1,900 bytes, others for each number. */
const filler = (n: number): string => `${n}`.padStart(1900, "y");

describe("resets", () => {
  test("rapid reset: requests that are taken back (CVE-2023-44487)", () => {
    const client = RawClient.open();
    const rounds = roundsUntilEnd(client, 2000, (n) => [
      client.request(n * 2 + 1, "x", late),
      frame(RST_STREAM, 0, n * 2 + 1, u32(8)),
    ]);
    expect(rounds).toBe(1000);
    expect(client.end).toBe(CALM);
  });

  test("five thousand watches that go at once are borne, and so is what begins then", () => {
    const client = RawClient.open();
    const ids = Array.from({ length: 5000 }, (_, n) => n * 2 + 1);
    const watch = requestFields(STREAM_PATH);
    for (const id of ids) client.send(client.headers(id, watch));
    client.nowMs = 1000;
    for (const id of ids) client.send(frame(RST_STREAM, 0, id, u32(8)));
    expect(client.end).toBe("open");
    expect(client.seen.events).toHaveLength(5000);
    client.send(client.request(10_001));
    expect(client.answer(10_001).ended).toBe(true);
  });

  test("a hundred resets a second are borne", () => {
    const client = RawClient.open();
    const rounds = roundsUntilEnd(client, 1000, (n) => {
      client.nowMs = n * 10;
      client.seen.calls.pop()?.reply(NONE, 0, 0);
      return [client.request(n * 2 + 1, "x", late), frame(RST_STREAM, 0, n * 2 + 1, u32(8))];
    });
    expect(rounds).toBe(1000);
    expect(client.end).toBe("open");
  });

  test("cancelled calls count as streams until their handlers have ended", () => {
    const limits = { ...SERVER_LIMITS, concurrentStreamsMax: 10 };
    const client = RawClient.open({ limits });
    for (let id = 1; id < 20; id += 2) {
      client.send(client.request(id, "x", late), frame(RST_STREAM, 0, id, u32(8)));
    }
    expect(client.server.openCalls).toBe(10);
    client.send(client.request(21, "x", late));
    expect(client.resets).toEqual(["21 REFUSED_STREAM"]);
    for (const call of client.seen.calls) {
      expect(call.cancelled).toBe(true);
      call.reply(NONE, 0, 0);
      call.fail(13, "twice"); // ends once
    }
    expect(client.server.openCalls).toBe(0);
    client.send(client.request(23, "x", late));
    expect(client.resets).toEqual(["21 REFUSED_STREAM"]);
  });

  test("made you reset: malformed requests (CVE-2025-8671)", () => {
    const client = RawClient.open();
    const bad = [...requestFields(), "connection", "x"];
    const rounds = roundsUntilEnd(client, 2000, (n) => [client.headers(n * 2 + 1, bad)]);
    expect(rounds).toBe(1000);
    expect(client.end).toBe(CALM);
  });

  test("made you reset: streams over the limit", () => {
    const client = RawClient.open({ limits: { ...SERVER_LIMITS, concurrentStreamsMax: 1 } });
    client.send(frame(SETTINGS, ACK, 0, NONE));
    const rounds = roundsUntilEnd(client, 2000, (n) => [client.request(n * 2 + 1, "x", late)]);
    expect(rounds).toBe(1001);
    expect(client.end).toBe(CALM);
  });

  test("streams over a limit that the client has not heard of are forgiven, up to a point", () => {
    const client = RawClient.open({ limits: { ...SERVER_LIMITS, concurrentStreamsMax: 1 } });
    const rounds = roundsUntilEnd(client, 20_000, (n) => [client.request(n * 2 + 1, "x", late)]);
    expect(rounds).toBeGreaterThan(5000);
    expect(rounds).toBeLessThanOrEqual(CONTROL_BURST + 1);
    expect(client.end).toBe(CALM);
  });

  test("changes of the window under many streams", () => {
    const client = RawClient.open();
    const requests: Buffer[] = [];
    for (let id = 1; id < 4000; id += 2) requests.push(client.request(id, "x", late));
    client.send(...requests, frame(SETTINGS, ACK, 0, NONE));
    const rounds = roundsUntilEnd(client, 1000, (n) => [settings([4, 1000 + (n % 2)])]);
    expect(rounds).toBeLessThanOrEqual(CONTROL_BURST / 100);
    expect(client.end).toBe(CALM);
  });

  test("made you reset: wrong content-length", () => {
    const client = RawClient.open();
    const bad = requestFields(PATH, ["content-length", "1"]);
    const rounds = roundsUntilEnd(client, 2000, (n) => [client.request(n * 2 + 1, "xx", bad)]);
    expect(rounds).toBe(1000);
    expect(client.end).toBe(CALM);
  });
});

describe("header blocks", () => {
  test("endless CONTINUATION (CVE-2024-27316)", () => {
    const client = RawClient.open();
    const rounds = roundsUntilEnd(client, 100, (n) => [
      n === 0 ? frame(HEADERS, 0, 1, NONE) : frame(CONTINUATION, 0, 1, Buffer.from([0x82])),
    ]);
    expect(rounds).toBe(9);
    expect(client.end).toBe(CALM);
  });

  test("a block over 16 KiB is refused before it is decoded", () => {
    const client = RawClient.open();
    const part = Buffer.alloc(16_000, 0xff); // not decodable at all
    client.send(frame(HEADERS, 0, 1, part), frame(CONTINUATION, END_HEADERS, 1, part));
    expect(client.end).toBe(CALM);
  });

  test("nor in one frame, where larger frames are allowed", () => {
    const client = RawClient.open({ limits: { ...SERVER_LIMITS, frameBytesMax: 100_000 } });
    client.send(frame(HEADERS, END_HEADERS, 1, Buffer.alloc(16_385, 0xff)));
    expect(client.end).toBe(CALM);
  });

  test("a bomb of indexed fields stays within the list's bound", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(PATH, ["x-large", "a".repeat(1900)])));
    const bomb = Buffer.alloc(16_000, 0xbe); // the last entry of the table, again and again
    client.frames = [];
    client.send(frame(HEADERS, END_HEADERS, 3, bomb));
    expect(client.resets).toEqual(["3 ENHANCE_YOUR_CALM"]);
  });

  test("requests that replace the whole table, each of them", () => {
    const client = RawClient.open();
    const rounds = roundsUntilEnd(client, 5000, (n) => [
      client.request(n * 2 + 1, "x", requestFields(PATH, ["x-a", filler(n), "x-b", filler(n + 1)])),
    ]);
    expect(rounds).toBeGreaterThan(1000);
    expect(rounds).toBeLessThan(4000);
    expect(client.end).toBe(CALM);
  });

  test("blocks that replace the whole table, on a stream that is gone", () => {
    const client = RawClient.open();
    client.send(client.headers(1, [...requestFields(), "connection", "x"])); // we reset it
    const rounds = roundsUntilEnd(client, 5000, (n) => [
      client.headers(1, requestFields(PATH, ["x-a", filler(n), "x-b", filler(n + 1)])),
    ]);
    expect(rounds).toBeGreaterThan(100);
    expect(rounds).toBeLessThan(2000);
    expect(client.end).toBe(CALM);
  });

  test("requests that each bring some hundred new bytes are borne", () => {
    const client = RawClient.open();
    const rounds = roundsUntilEnd(client, 6000, (n) => [
      client.request(n * 2 + 1, "x", requestFields(PATH, ["x-span", filler(n).slice(-900)])),
    ]);
    expect(rounds).toBe(6000);
    expect(client.end).toBe("open");
  });

  test("a block that stops half way", () => {
    const client = RawClient.open();
    client.send(frame(HEADERS, 0, 1, NONE)).tick(4999);
    expect(client.server.closing).toBe(false);
    client.tick(5000);
    expect(client.server.reason).toBe("header block not complete in time");
  });
});

describe("control frames", () => {
  const floods: readonly (readonly [string, Uint8Array, (c: RawClient) => void])[] = [
    ["SETTINGS", settings(), () => {}],
    ["SETTINGS acks", frame(4, 1, 0, NONE), () => {}],
    ["PING acks", frame(PING, 1, 0, Buffer.alloc(8)), () => {}],
    ["PRIORITY", frame(PRIORITY, 0, 3, Buffer.alloc(5)), () => {}],
    ["WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, u32(1)), () => {}],
    ["unknown types", frame(77, 0, 0, NONE), () => {}],
    [
      "empty DATA",
      frame(DATA, 0, 1, NONE),
      (c) => c.send(c.headers(1, requestFields(STREAM_PATH))),
    ],
    ["RST_STREAM of closed streams", frame(RST_STREAM, 0, 1, u32(8)), (c) => c.send(c.request(1))],
    [
      "DATA for a stream that we reset",
      frame(DATA, 0, 1, Buffer.alloc(3)),
      (c) => c.send(c.headers(1, requestFields("/no.Such/Method"))),
    ],
  ];
  for (const [name, flood, prepare] of floods) {
    test(`${name}: ten thousand at once, then one a millisecond`, () => {
      const client = RawClient.open();
      prepare(client);
      const hundred = Array.from({ length: 100 }, () => flood);
      const takesAcks = name !== "SETTINGS";
      for (let round = 0; round < 99; round++) {
        if (takesAcks) client.server.receive(Buffer.concat(hundred), 0);
        else for (const one of hundred) client.send(one);
      }
      expect(client.server.closing).toBe(false);
      for (let round = 0; round < 2; round++) {
        for (const one of hundred) client.send(one);
      }
      expect(client.end).toBe(CALM);
    });
  }

  test("honest WINDOW_UPDATEs come with the DATA they answer, without end", () => {
    const client = RawClient.open();
    for (let id = 1; id < 40_000; id += 2) {
      client.server.receive(client.request(id), 0);
      const size = message("hello").length;
      client.server.receive(frame(WINDOW_UPDATE, 0, 0, u32(size)), 0);
      takeOutput(client.server);
    }
    expect(client.end).toBe("open");
  });

  test("so do RST_STREAMs for requests that failed at once", () => {
    const client = RawClient.open();
    const fields = requestFields("/no.Such/Method");
    for (let id = 1; id < 40_000; id += 2) {
      client.server.receive(client.headers(id, fields), 0);
      client.server.receive(frame(RST_STREAM, 0, id, u32(8)), 0);
      takeOutput(client.server);
    }
    expect(client.end).toBe("open");
  });

  test("acks that are not read: at most 64", () => {
    const client = RawClient.open();
    for (let round = 0; round < 64; round++) client.server.receive(settings(), 0);
    expect(client.server.closing).toBe(false);
    client.server.receive(settings(), 0);
    expect(client.read().end).toBe(CALM);
  });

  test("acks that are read do not add up", () => {
    const client = RawClient.open();
    for (let round = 0; round < 500; round++) client.send(settings());
    expect(client.end).toBe("open");
  });
});

describe("pings (grpc-go's enforcement)", () => {
  const ping = frame(PING, 0, 0, Buffer.alloc(8));
  test("three pings too many without streams", () => {
    const client = RawClient.open();
    for (let round = 0; round < 3; round++) client.send(ping).tick(client.nowMs + 60_000);
    expect(client.end).toBe("open"); // the first is free, two are strikes
    client.send(ping);
    expect(client.end).toBe(CALM);
    expect(client.server.reason).toBe("too_many_pings");
  });
  test("with a stream, every 5 s is fine and faster is not", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(STREAM_PATH)));
    for (let round = 0; round < 100; round++) client.send(ping).tick(client.nowMs + 5000);
    expect(client.end).toBe("open");
    for (let round = 0; round < 4; round++) client.send(ping).tick(client.nowMs + 4000);
    expect(client.end).toBe(CALM);
  });
  test("what we send makes up for pings", () => {
    const client = RawClient.open();
    for (let id = 1; id < 200; id += 2) client.send(client.request(id), ping);
    expect(client.end).toBe("open");
  });
});

describe("slow peers", () => {
  test("no preface", () => {
    const client = new RawClient().tick(4999);
    expect(client.server.closing).toBe(false);
    expect(client.tick(5000).end).toBe("closed");
  });
  test("a preface without SETTINGS", () => {
    const client = new RawClient().send(PREFACE.subarray(0, 20)).tick(5000);
    expect(client.end).toBe("GOAWAY NO_ERROR");
  });
  test("a HEADERS frame that stops half way", () => {
    const client = RawClient.open();
    client.send(client.headers(1).subarray(0, 12)).tick(5000);
    expect(client.server.reason).toBe("frame not complete in time");
  });
  test("time counts from the frame's first byte", () => {
    const client = RawClient.open().tick(100_000);
    client.send(client.headers(1).subarray(0, 12)).tick(104_999);
    expect(client.server.closing).toBe(false);
    expect(client.tick(105_000).server.closing).toBe(true);
  });
  test("a DATA frame that dribbles", () => {
    const client = RawClient.open();
    client.send(client.headers(1, requestFields(STREAM_PATH)));
    const bytes = frame(DATA, 0, 1, Buffer.alloc(100));
    for (let at = 0; at < 29; at++) {
      client.send(bytes.subarray(at, at + 1)).tick((at + 1) * 1000);
    }
    expect(client.server.closing).toBe(false);
    client.tick(30_000);
    expect(client.server.reason).toBe("frame not complete in time");
  });
  test("a request whose message does not come", () => {
    const client = RawClient.open();
    client.send(client.headers(1)).tick(29_999);
    expect(client.frames).toEqual([]);
    client.tick(30_000);
    expect(client.resets).toEqual(["1 NO_ERROR"]);
    expect(fieldOf(client.answer(1).fields[0], "grpc-status")).toBe("1");
    expect(client.end).toBe("open");
  });
  test("a peer that does not read is paused, then dropped", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535)));
    const content = Buffer.alloc(10_000);
    for (let id = 1; id < 1700; id += 2) client.server.receive(client.request(id, content), 0);
    expect(client.server.paused).toBe(true);
    expect(client.server.output.pending).toBeLessThan(9 * MIB);
    client.server.tick(100);
    client.server.tick(60_100);
    expect(client.server.reason).toBe("peer does not read");
  });
  test("window 0: streams that are reset leave nothing behind", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    client.send(client.request(1, Buffer.alloc(16_000)), client.request(3, Buffer.alloc(16_000)));
    for (const id of [5, 7, 9]) client.send(client.request(id, Buffer.alloc(16_000)));
    for (let id = 11; id < 20_000; id += 2) {
      client.nowMs += 10;
      client.send(client.request(id), frame(RST_STREAM, 0, id, u32(8)));
    }
    expect(client.end).toBe("open");
    expect(client.server.openCalls).toBe(1); // verify() has looked at the sender's list
  });
  test("a stream to a peer that does not read stops at the output's bound", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    const update = frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535));
    client.send(update, client.headers(1, requestFields(STREAM_PATH)));
    const call = client.seen.calls[0];
    const chunk = Buffer.alloc(10_000);
    for (let count = 0; count < 1200; count++) call?.send(chunk, 0, chunk.length);
    expect(client.server.output.pending).toBeLessThan(8 * MIB + 20_000);
    expect(call?.queuedBytes).toBeGreaterThan(3 * MIB);
    expect(call?.writable).toBe(false);
  });
  test("window 0: answers wait within bounds, then new calls are refused", () => {
    const client = RawClient.open({ receiveBytesMax: 4 * MIB }, [4, 0]);
    const content = Buffer.alloc(MIB);
    let id = 1;
    for (; id < 140; id += 2) {
      const { fields } = sendLarge(client, id, content);
      if (fields !== undefined) break;
    }
    expect(id).toBe(2 * 65 + 1 - 2);
    expect(client.server.output.pending).toBe(0);
    client.tick(60_000).tick(120_001); // nothing moved for a minute: the answers are dropped
    expect(client.server.openCalls).toBe(0);
    expect(client.end).toBe("open");
  });
});

/** A request of 1 MiB in frames; the trailers-only answer if there is one. */
function sendLarge(client: RawClient, id: number, content: Buffer): { fields?: string[] } {
  client.frames = [];
  const bytes = message(content);
  client.send(client.headers(id));
  for (let at = 0; at < bytes.length && !client.server.closing; at += 16_384) {
    if (client.frames.some((f) => f.type === RST_STREAM)) break;
    const to = Math.min(bytes.length, at + 16_384);
    client.send(frame(DATA, to === bytes.length ? END_STREAM : 0, id, bytes.subarray(at, to)));
  }
  const fields = client.answer(id).fields.find((list) => list.includes("grpc-status"));
  return fields === undefined ? {} : { fields };
}

describe("memory", () => {
  test("announced messages cost nothing until they come", () => {
    const client = RawClient.open();
    const announce = Buffer.concat([Buffer.from([0]), u32(2 * MIB)]);
    const before = process.memoryUsage.rss();
    for (let id = 1; id < 2000; id += 2) {
      client.send(client.headers(id, requestFields(STREAM_PATH)), frame(DATA, 0, id, announce));
    }
    expect(client.end).toBe("open");
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * MIB);
    // 16 MiB of grants: eight messages of 2 MiB may come at a time.
    expect(client.frames.filter((f) => f.type === WINDOW_UPDATE && f.id !== 0)).toHaveLength(8);
  });
  test("a grant goes on when its stream is reset", () => {
    const client = RawClient.open();
    const announce = Buffer.concat([Buffer.from([0]), u32(2 * MIB)]);
    for (let id = 1; id < 40; id += 2) {
      client.send(client.headers(id, requestFields(STREAM_PATH)), frame(DATA, 0, id, announce));
    }
    client.frames = [];
    client.send(frame(RST_STREAM, 0, 1, u32(8)));
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE);
    expect(updates.map((f) => f.id)).toEqual([17]);
    expect(updates[0]?.payload.readUInt32BE(0)).toBe(2 * MIB - 65_535 + 5);
  });
  test("a stream that waits for a grant and is reset is passed over", () => {
    const client = RawClient.open();
    const announce = Buffer.concat([Buffer.from([0]), u32(2 * MIB)]);
    for (let id = 1; id < 40; id += 2) {
      client.send(client.headers(id, requestFields(STREAM_PATH)), frame(DATA, 0, id, announce));
    }
    client.frames = [];
    client.send(frame(RST_STREAM, 0, 17, u32(8)), frame(RST_STREAM, 0, 1, u32(8)));
    const updates = client.frames.filter((f) => f.type === WINDOW_UPDATE);
    expect(updates.map((f) => f.id)).toEqual([19]);
  });
  test("the output gives memory back", () => {
    const client = RawClient.open({}, [4, 0x7fffffff]);
    client.send(frame(WINDOW_UPDATE, 0, 0, u32(0x7fff0000 - 65_535)));
    for (let id = 1; id < 400; id += 2) {
      client.server.receive(client.request(id, Buffer.alloc(10_000)), 0);
    }
    expect(client.server.output.bytes.length).toBeGreaterThan(MIB);
    client.read().tick(100).tick(200);
    expect(client.server.output.bytes.length).toBe(64 * KIB);
  });
});
