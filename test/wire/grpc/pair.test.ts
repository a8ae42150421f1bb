/** The client role against the server role: every kind of call, and every way in which one ends. */
import { describe, expect, test } from "bun:test";
import { MIB } from "../../../src/base/units.ts";
import type { CallMeter } from "../../../src/wire/grpc/call-meter.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { CLIENT_LIMITS, SERVER_LIMITS } from "../../../src/wire/http2/limits.ts";
import { PATH, STREAM_PATH } from "../http2/kit.ts";
import { Pair, Recorder, sendText } from "./pair.ts";

const LATE = "/test.Service/Late";

describe("unary calls", () => {
  test("answer with their message", () => {
    const got = Pair.open().unary(PATH, "hello");
    expect(got.end).toBe("OK");
    expect(got.messages.map(String)).toEqual(["hello"]);
    expect(got.headers?.get("content-type")).toBe("application/grpc");
  });

  test("may be made before anything has come from the server", () => {
    const pair = new Pair();
    const { call, recorder } = pair.call(PATH);
    sendText(call, "early");
    call.halfClose();
    expect(pair.settle().client.ready).toBe(true);
    expect(recorder.messages.map(String)).toEqual(["early"]);
  });

  for (const size of [0, 1, 16_379, 16_380, 65_535, 65_536, MIB, 2 * MIB]) {
    test(`of ${size} bytes both ways, however cut`, () => {
      const content = Buffer.alloc(size, "abcdefg");
      for (const seed of [undefined, 1, 2]) {
        const pair = Pair.open(seed === undefined ? {} : { seed });
        const got = pair.unary(PATH, content);
        expect(got.end).toBe("OK");
        expect(Buffer.concat(got.messages).equals(content)).toBe(true);
        expect(pair.server.openCalls + pair.client.openCalls).toBe(0);
      }
    });
  }

  test("over the receive limit fail with etcd's text", () => {
    const got = Pair.open().unary(PATH, Buffer.alloc(2 * MIB + 1));
    const text = "grpc: received message larger than max (2097153 vs. 2097152)";
    expect(got.end).toBe(`RESOURCE_EXHAUSTED: ${text}`);
  });

  test("answers over the client's limit fail", () => {
    const got = Pair.open({ client: { receiveBytesMax: 3 } }).unary(PATH, "1234");
    expect(got.end).toBe("RESOURCE_EXHAUSTED: grpc: received message larger than max (4 vs. 3)");
  });

  test("fail with message and trailers", () => {
    const pair = Pair.open();
    const got = pair.unary(LATE, "x");
    pair.seen.calls[0]?.fail(GrpcCode.NOT_FOUND, "100% näher\n", ["x-info-bin", "AAEC"]);
    pair.settle();
    expect(got.end).toBe("NOT_FOUND: 100% näher\n");
    expect(got.trailers?.get("x-info-bin")).toBe("AAEC");
    expect(got.trailers?.binary("x-info-bin")).toEqual(new Uint8Array([0, 1, 2]));
  });

  test("succeed between failures whose trailers fill the compression table", () => {
    const pair = Pair.open();
    for (let round = 0; round < 100; round++) {
      expect(pair.unary(PATH, "x").end).toBe("OK");
      const failed = pair.unary(LATE, "x");
      pair.seen.calls.pop()?.fail(GrpcCode.ABORTED, "", [`x-${round}`, "y".repeat(round)]);
      pair.settle();
      expect(failed.end).toBe("ABORTED");
      expect(failed.trailers?.get(`x-${round}`)).toBe("y".repeat(round));
    }
  });

  test("carry metadata", () => {
    const pair = Pair.open();
    pair.unary(LATE, "x", ["token", "secret", "k-bin", "_w"]);
    const call = pair.seen.calls[0];
    expect(call?.path).toBe(LATE);
    expect(call?.peer).toBe("pair");
    expect(call?.metadata.get("token")).toBe("secret");
    expect(call?.metadata.get("absent")).toBeUndefined();
    expect(call?.metadata.binary("k-bin")).toBeUndefined(); // no base64
  });

  test("a handler that throws fails its call alone", () => {
    const path = "/a.B/Throw";
    const unary = (): never => {
      throw new Error("broken");
    };
    const pair = Pair.open({ server: { methods: [{ path, unary }] } });
    expect(pair.unary(path, "x").end).toBe("INTERNAL: Error: broken");
    expect(pair.unary(path, "x").end).toBe("INTERNAL: Error: broken");
  });

  test("a meter sees each call and its messages, begun and ended once", () => {
    const log: string[] = [];
    const meter = (path: string): CallMeter => ({
      onStart: () => log.push(`start ${path}`),
      onReceived: () => log.push("received"),
      onSent: () => log.push("sent"),
      onEnd: (code) => log.push(`end ${path} ${code}`),
    });
    const pair = Pair.open({ server: { meter } });
    pair.unary(PATH, "x");
    pair.unary("/no.Such/Method", "x"); // unknown names would be labels without bound
    const late = pair.call(LATE);
    sendText(late.call, "x");
    pair.settle();
    late.call.cancel();
    pair.settle();
    pair.seen.calls[0]?.reply(new Uint8Array(0), 0, 0);
    expect(log).toEqual([
      `start ${PATH}`,
      "received",
      "sent",
      `end ${PATH} ${GrpcCode.OK}`,
      `start ${LATE}`,
      "received",
      `end ${LATE} ${GrpcCode.CANCELLED}`,
    ]);
  });
});

describe("gzip", () => {
  test("requests may be compressed", () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => `compressible line ${index}\n`);
    const content = Buffer.from(lines.join(""));
    const got = Pair.open({ client: { gzip: true }, seed: 3 }).unary(PATH, content);
    expect(got.end).toBe("OK");
    expect(Buffer.concat(got.messages).equals(content)).toBe(true);
  });
  test("a bomb is cut at the limit", () => {
    const got = Pair.open({ client: { gzip: true } }).unary(PATH, Buffer.alloc(50 * MIB));
    const text = "grpc: received message larger than max (2097153 vs. 2097152)";
    expect(got.end).toBe(`RESOURCE_EXHAUSTED: ${text}`);
  });
});

describe("streams", () => {
  test("echo both ways until the client has finished", () => {
    const pair = Pair.open({ seed: 9 });
    const { call, recorder } = pair.call(STREAM_PATH);
    for (const text of ["one", "two"]) {
      sendText(call, text);
      pair.settle();
    }
    expect(recorder.messages.map(String)).toEqual(["one", "two"]);
    expect(recorder.end).toBeUndefined();
    call.halfClose();
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(pair.seen.events).toEqual(["message 3", "message 3", "half close"]);
  });

  test("many messages through tiny windows arrive whole and in order", () => {
    const tiny = { streamWindowBytes: 65_535, connectionWindowBytes: 65_535 };
    const pair = Pair.open({
      server: { limits: { ...SERVER_LIMITS, ...tiny } },
      client: { limits: { ...CLIENT_LIMITS, ...tiny } },
      seed: 5,
    });
    const { call, recorder } = pair.call(STREAM_PATH);
    const contents = Array.from({ length: 60 }, (_, index) => Buffer.alloc(index * 500, index));
    for (const content of contents) sendText(call, content);
    call.halfClose();
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(recorder.messages).toEqual(contents);
  });

  test("a client stream over its bound is told when it is writable again", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    let sent = 0;
    while (call.writable && sent < 100) {
      sendText(call, Buffer.alloc(50_000));
      sent++;
    }
    expect(call.queuedBytes).toBeGreaterThan(256 * 1024);
    expect(recorder.events).toEqual([]);
    pair.settle();
    expect(recorder.events).toEqual(["drain"]);
    expect(call.writable).toBe(true);
  });

  test("the server may finish first; the client is told to stop", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    pair.settle();
    pair.seen.calls[0]?.finish();
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(pair.client.openCalls + pair.server.openCalls).toBe(0);
    sendText(call, "too late");
    call.halfClose();
    call.cancel();
    pair.settle();
    expect(pair.client.accepting).toBe(true);
    expect(pair.seen.events).toEqual([]);
  });

  test("a failure after messages comes in trailers", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    sendText(call, "x");
    pair.settle();
    pair.seen.calls[0]?.fail(GrpcCode.UNAVAILABLE, "no leader");
    pair.settle();
    expect(recorder.messages).toHaveLength(1);
    expect(recorder.end).toBe("UNAVAILABLE: no leader");
  });
});

describe("the end before its time", () => {
  test("cancel", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    pair.settle();
    call.cancel();
    expect(recorder.end).toBe("CANCELLED: context canceled");
    pair.settle();
    expect(pair.seen.events).toEqual(["cancel"]);
    expect(pair.seen.calls[0]?.cancelled).toBe(true);
    pair.seen.calls[0]?.send(new Uint8Array(3), 0, 3);
    pair.seen.calls[0]?.finish();
    expect(pair.settle().server.openCalls).toBe(0);
  });

  test("a unary call that is cancelled while the server thinks", () => {
    const pair = Pair.open();
    const { call } = pair.call(LATE);
    sendText(call, "x");
    call.halfClose();
    pair.settle();
    call.cancel();
    pair.settle();
    expect(pair.seen.calls[0]?.cancelled).toBe(true);
    expect(pair.server.openCalls).toBe(1); // its handler has not ended
    expect(pair.seen.calls[0]?.siblings).toBe(1);
    pair.seen.calls[0]?.reply(new Uint8Array(1), 0, 1);
    expect(pair.settle().server.openCalls).toBe(0);
  });

  test("the deadline, on the client", () => {
    const pair = Pair.open();
    const { recorder } = pair.call(STREAM_PATH, new Recorder(), 1000);
    pair.settle();
    pair.client.tick(999);
    expect(recorder.end).toBeUndefined();
    pair.client.tick(1000);
    expect(recorder.end).toBe("DEADLINE_EXCEEDED: context deadline exceeded");
    pair.settle();
    expect(pair.seen.events).toEqual(["cancel"]);
  });

  test("the deadline, on the server", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(LATE, new Recorder(), 1000);
    sendText(call, "x");
    call.halfClose();
    pair.settle();
    expect(pair.seen.calls[0]?.deadlineMs).toBe(1000);
    pair.server.tick(1000);
    pair.settle();
    expect(recorder.end).toBe("DEADLINE_EXCEEDED: context deadline exceeded");
    expect(pair.seen.calls[0]?.cancelled).toBe(true);
    expect(pair.server.openCalls).toBe(1);
    pair.seen.calls[0]?.fail(GrpcCode.INTERNAL, "late");
    expect(pair.server.openCalls).toBe(0);
  });

  test("no deadline: infinity", () => {
    const pair = Pair.open();
    pair.unary(LATE, "x");
    expect(pair.seen.calls[0]?.deadlineMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("the connection breaks", () => {
    const pair = Pair.open();
    const one = pair.call(STREAM_PATH);
    const two = pair.call(STREAM_PATH);
    pair.settle();
    pair.client.closed(5);
    pair.server.closed(5);
    expect(one.recorder.end).toBe("UNAVAILABLE: connection closed");
    expect(two.recorder.end).toBe("UNAVAILABLE: connection closed");
    expect(one.call.unprocessed).toBe(false);
    expect(pair.seen.events).toEqual(["cancel", "cancel"]);
    expect(pair.client.accepting).toBe(false);
    expect(pair.server.openCalls + pair.client.openCalls).toBe(0);
  });
});

describe("limits of streams", () => {
  test("calls over the server's limit wait for a free stream", () => {
    const limits = { ...SERVER_LIMITS, concurrentStreamsMax: 2 };
    const pair = Pair.open({ server: { limits } });
    const calls = Array.from({ length: 5 }, () => {
      const started = pair.call(LATE);
      sendText(started.call, "x");
      started.call.halfClose();
      return started;
    });
    pair.settle();
    expect(pair.seen.calls).toHaveLength(2);
    expect(pair.client.openCalls).toBe(5);
    for (let index = 0; index < 5; index++) {
      pair.seen.calls[index]?.reply(Buffer.from([index]), 0, 1);
      pair.settle();
    }
    expect(calls.map(({ recorder }) => recorder.end)).toEqual(["OK", "OK", "OK", "OK", "OK"]);
    expect(calls.map(({ recorder }) => recorder.messages[0]?.[0])).toEqual([0, 1, 2, 3, 4]);
  });

  test("a call that waits may be cancelled, and passes its deadline", () => {
    const limits = { ...SERVER_LIMITS, concurrentStreamsMax: 1 };
    const pair = Pair.open({ server: { limits } });
    pair.call(STREAM_PATH);
    const cancelled = pair.call(LATE);
    const late = pair.call(LATE, new Recorder(), 500);
    sendText(cancelled.call, "x");
    sendText(late.call, "x");
    cancelled.call.cancel();
    expect(cancelled.recorder.end).toBe("CANCELLED: context canceled");
    pair.tick(500);
    expect(late.recorder.end).toBe("DEADLINE_EXCEEDED: context deadline exceeded");
    expect(late.call.unprocessed).toBe(true);
    expect(pair.client.openCalls).toBe(1);
  });
});

describe("going away", () => {
  test("the server drains: open calls finish, then both ends close", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    pair.settle();
    let changes = 0;
    pair.client.onChange = () => changes++;
    pair.server.shutdown(0);
    pair.settle();
    expect(pair.client.accepting).toBe(false);
    expect(changes).toBe(1);
    expect(pair.server.closing || pair.client.closing).toBe(false);
    sendText(call, "still here");
    call.halfClose();
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(pair.server.closing && pair.client.closing).toBe(true);
  });

  test("§6.8 calls that crossed the first GOAWAY are served", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(PATH); // its bytes are on the way
    sendText(call, "crossing");
    call.halfClose();
    pair.server.shutdown(0);
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(pair.server.closing && pair.client.closing).toBe(true);
  });

  test("a peer that does not answer the ping is drained after a second", () => {
    const pair = Pair.open();
    pair.server.shutdown(0);
    pair.server.tick(999);
    expect(pair.server.closing).toBe(false);
    pair.server.tick(1000);
    expect(pair.server.closing).toBe(true);
  });

  test("calls on a connection that goes end unprocessed, and not within call()", () => {
    const pair = Pair.open();
    pair.server.shutdown(0);
    pair.settle();
    const { call, recorder } = pair.call(PATH);
    expect(recorder.end).toBeUndefined();
    pair.tick(100);
    expect(recorder.end).toStartWith("UNAVAILABLE");
    expect(call.unprocessed).toBe(true);
  });

  test("the client drains: what is open finishes", () => {
    const pair = Pair.open();
    const { call, recorder } = pair.call(STREAM_PATH);
    pair.settle();
    pair.client.shutdown(0);
    expect(pair.client.accepting).toBe(false);
    call.halfClose();
    pair.settle();
    expect(recorder.end).toBe("OK");
    expect(pair.client.closing).toBe(true);
  });
});

describe("keepalive", () => {
  test("the server pings after two hours and gives up 20 s later", () => {
    const pair = Pair.open();
    pair.server.tick(7_199_999);
    expect(pair.server.output.pending).toBe(0);
    pair.server.tick(7_200_000);
    expect(pair.server.output.pending).toBe(17);
    pair.settle();
    pair.server.tick(7_219_000); // the answer came when the pair settled, at time 0: idle again
    pair.server.tick(7_239_000);
    expect(pair.server.reason).toBe("keepalive ping not answered");
  });
  test("the client pings as asked, and a living server answers", () => {
    const pair = Pair.open({ client: { keepaliveMs: 10_000, keepaliveTimeoutMs: 1000 } });
    pair.call(STREAM_PATH);
    for (let nowMs = 0; nowMs < 100_000; nowMs += 500) pair.tick(nowMs);
    expect(pair.client.accepting).toBe(true);
    expect(pair.server.closing).toBe(false);
  });
  test("the client gives up on a dead server", () => {
    const pair = Pair.open({ client: { keepaliveMs: 10_000, keepaliveTimeoutMs: 1000 } });
    const { recorder } = pair.call(STREAM_PATH);
    for (let nowMs = 0; nowMs <= 11_000; nowMs += 500) pair.client.tick(nowMs);
    expect(recorder.end).toBe("UNAVAILABLE: keepalive ping not answered");
    expect(pair.client.closing).toBe(true);
  });
});
