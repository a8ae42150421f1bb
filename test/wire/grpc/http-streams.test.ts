/** Bodies over HTTP/2 that are taken as they come, for answers that begin before they end. */
import { describe, expect, test } from "bun:test";
import type { HttpService } from "../../../src/wire/grpc/grpc-server.ts";
import type { HttpRequest, HttpResponse } from "../../../src/wire/http1/http.ts";
import { BODY_TIMEOUT_MS } from "../../../src/wire/http2/limits.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  fieldOf,
  frame,
  RawClient,
  RST_STREAM,
} from "../http2/kit.ts";

const fields = (path: string): string[] => [
  ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "host:1"],
];

class Stream {
  readonly log: string[] = [];
  held = 0;
  response: HttpResponse | undefined;
  request: HttpRequest | undefined;

  readonly service: HttpService = {
    bodyBytesMax: 1000,
    handler: (_, response) => response.end(200, [], "whole"),
    streams: (request, response) => {
      if (request.path !== "/stream") return undefined;
      this.request = request;
      this.response = response;
      response.onCancel = () => this.log.push("cancel");
      return this;
    },
  };

  onData(bytes: Uint8Array, start: number, end: number): void {
    const text = Buffer.from(bytes.subarray(start, end)).toString("latin1");
    if (text === "throw") throw new Error("broken");
    this.log.push(text);
  }

  onEnd(): void {
    this.log.push("end");
  }
}

function open(): { client: RawClient; stream: Stream } {
  const stream = new Stream();
  const client = RawClient.open({ http: stream.service });
  client.send(client.headers(1, fields("/stream?q"), END_HEADERS));
  return { client, stream };
}

test("a request knows how many its connection has under way", () => {
  const { client, stream } = open();
  expect(stream.request?.siblings).toBe(1);
  client.send(client.headers(3, fields("/stream"), END_HEADERS));
  expect(stream.request?.siblings).toBe(2);
});

describe("a streamed body", () => {
  test("goes to its reader piece by piece, and is answered meanwhile", () => {
    const { client, stream } = open();
    expect([stream.request?.query, stream.request?.body.length]).toEqual(["q", 0]);
    client.send(frame(DATA, 0, 1, Buffer.from("one")));
    stream.response?.addFields(["x-a", "b"]);
    stream.response?.start(200, []);
    stream.response?.write("answer");
    client.read();
    client.send(frame(DATA, END_STREAM, 1, Buffer.from("two")));
    expect(stream.log).toEqual(["one", "two", "end"]);
    expect(stream.response?.cancelled).toBe(false);
    stream.response?.finish();
    const { fields: heads, data, ended } = client.read().answer(1);
    expect(heads[0]).toEqual([":status", "200", "x-a", "b"]);
    expect([String(data), ended]).toEqual(["answer", true]);
  });

  test("has no end of bytes, as long as it is taken", () => {
    const { client, stream } = open();
    for (let count = 0; count < 200; count++) {
      client.send(frame(DATA, 0, 1, Buffer.alloc(1000, 65)));
    }
    expect([client.end, stream.log.length]).toEqual(["open", 200]);
  });

  test("may rest, but not in the middle of something", () => {
    const { client, stream } = open();
    client.tick(10 * BODY_TIMEOUT_MS);
    client.send(frame(DATA, 0, 1, Buffer.from("whole")));
    client.tick(client.nowMs + 10 * BODY_TIMEOUT_MS);
    expect(client.resets).toEqual([]);
    stream.held = 3;
    client.send(frame(DATA, 0, 1, Buffer.from("abc")));
    client.tick(client.nowMs + BODY_TIMEOUT_MS);
    expect(client.resets).toEqual(["1 NO_ERROR"]);
    expect(stream.log).toEqual(["whole", "abc", "cancel"]);
    expect(client.server.openCalls).toBe(0);
  });

  test("ends with its client, or with what its reader throws", () => {
    const gone = open();
    gone.client.send(frame(RST_STREAM, 0, 1, Buffer.from([0, 0, 0, 8])));
    expect(gone.stream.log).toEqual(["cancel"]);
    const broken = open();
    broken.client.send(frame(DATA, 0, 1, Buffer.from("throw")));
    expect(fieldOf(broken.client.answer(1).fields[0], ":status")).toBe("500");
    expect(broken.client.end).toBe("open");
  });

  test("is cut off with a reset", () => {
    const { client, stream } = open();
    stream.response?.start(200, []);
    stream.response?.abort();
    client.read();
    expect(client.resets).toEqual(["1 INTERNAL_ERROR"]);
    expect(client.answer(1).ended).toBe(false);
  });
});

test("other requests are collected as ever", () => {
  const { client } = open();
  client.send(client.headers(3, fields("/other"), END_HEADERS));
  client.send(frame(DATA, END_STREAM, 3, Buffer.from("x")));
  expect(String(client.answer(3).data)).toBe("whole");
});
