/** Calls as JSON, against methods made for it, over a connection without a socket. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { AetherError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import { Turn } from "../../../src/base/turn.ts";
import { type GatewayOptions, JsonGateway } from "../../../src/gateway/json/gateway.ts";
import { STEP_BYTES } from "../../../src/gateway/json/paced-answer.ts";
import { httpStatusOf } from "../../../src/gateway/json/status.ts";
import {
  KV,
  Lease,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  Maintenance,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  SnapshotResponse,
  Watch,
} from "../../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import type { MessageType } from "../../../src/proto/message.ts";
import { failureOf } from "../../../src/rpc/errors.ts";
import type { Method, ServerCall, StreamHandler } from "../../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { OUTPUT_HIGH_BYTES } from "../../../src/wire/http1/limits.ts";
import { Driver } from "../../wire/http1/driver.ts";

function encoded<T>(type: MessageType<T>, message: T): Uint8Array {
  const writer = new ByteWriter();
  type.encode(message, writer);
  return writer.copy();
}

/** What methods saw, and what was counted. */
class Bench {
  readonly log: string[] = [];
  /** Ends of turns that are asked for. */
  readonly runs: (() => void)[] = [];
  readonly calls: ServerCall[] = [];
  nowMs = 0;
  readonly gateway: JsonGateway;
  readonly driver: Driver;

  constructor(methods: readonly Method[], options: Partial<GatewayOptions> = {}) {
    this.gateway = new JsonGateway({
      methods,
      mapError: (error) => {
        if (!(error instanceof AetherError)) throw error;
        return failureOf(error);
      },
      meter: (path) => ({
        onStart: () => this.log.push(`start ${path}`),
        onReceived: () => this.log.push("received"),
        onSent: () => this.log.push("sent"),
        onEnd: (code) => this.log.push(`end ${code}`),
      }),
      clock: { monotonicMs: () => this.nowMs },
      turn: new Turn((run) => this.runs.push(run)),
      receiveBytesMax: 1000,
      ...options,
    });
    this.driver = new Driver((request, response) => this.gateway.handle(request, response));
  }

  /** Sends a POST; what comes back, head and body apart. */
  post(path: string, body: string, ...fields: string[]): { head: string; body: string } {
    const bytes = Buffer.from(body);
    const head = ["Host: h", `Content-Length: ${bytes.length}`, ...fields].join("\r\n");
    this.driver.send(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n`).send(bytes);
    return this.answer();
  }

  answer(): { head: string; body: string } {
    const text = this.driver.take();
    const at = text.indexOf("\r\n\r\n");
    return { head: text.slice(0, at), body: text.slice(at + 4) };
  }
}

const range = (answer: (call: ServerCall, request: RangeRequest) => void): Method => ({
  path: KV.Range.path,
  unary: (call, bytes, start, end) => answer(call, RangeRequest.decode(bytes, start, end)),
});
const count = (value: number): Uint8Array =>
  encoded(RangeResponse, RangeResponse.create({ count: value }));
const okRange = range((call, { limit }) => {
  const bytes = count(limit);
  call.reply(bytes, 0, bytes.length);
});

describe("a unary call", () => {
  test("to the byte", () => {
    const bench = new Bench([okRange]);
    expect(bench.post("/v3/kv/range", '{"key":"YQ==","limit":"7"}')).toEqual({
      head:
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" +
        "grpc-metadata-content-type: application/grpc\r\ncontent-length: 13",
      body: '{"count":"7"}',
    });
    expect(bench.log).toEqual(["start /etcdserverpb.KV/Range", "received", "sent", "end 0"]);
  });

  test("takes the first object and drops the rest; nothing means an empty message", () => {
    const bench = new Bench([okRange]);
    expect(bench.post("/v3/kv/range", ' {"limit":1} {"limit":2} garbage').body).toBe(
      '{"count":"1"}',
    );
    for (const body of ["", " \n"]) expect(bench.post("/v3/kv/range", body).body).toBe("{}");
    expect(bench.driver.connection.closing).toBe(false);
  });

  test("is refused with a status when it is no call", () => {
    const bench = new Bench([okRange]);
    expect(bench.post("/v3/nothing", "{}")).toEqual({
      head: "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 32",
      body: '{"code":5,"message":"Not Found"}',
    });
    const unserved = bench.post("/v3/kv/put", "{}");
    expect(unserved.head).toStartWith("HTTP/1.1 501 Not Implemented");
    expect(unserved.body).toBe(
      '{"code":12,"message":"unknown method Put for service etcdserverpb.KV"}',
    );
    expect(bench.post("/v3/lock/lock", "{}").body).toContain("unknown service v3lockpb.Lock");
    expect(bench.post("/v3/constructor", "{}").body).toContain("Not Found");
    bench.driver.send("GET /v3/kv/range HTTP/1.1\r\nHost: h\r\n\r\n");
    const get = bench.answer();
    expect([get.head.slice(0, 12), get.body]).toEqual([
      ...["HTTP/1.1 501", '{"code":12,"message":"Method Not Allowed"}'],
    ]);
    expect(bench.log).toEqual([]);
  });

  test("with a body that is none of its messages: 400, and the method is not asked", () => {
    const bench = new Bench([range(() => expect.unreachable())]);
    for (const body of [
      "{bad}",
      "[]",
      '"x"',
      "null",
      "{",
      '{"limit":"x"}',
      '{"key":"?"}',
      '{"a":1,}',
    ]) {
      const { head, body: text } = bench.post("/v3/kv/range", body);
      expect(head).toStartWith("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json");
      expect(JSON.parse(text)).toEqual({ code: 3, message: expect.any(String) });
    }
    bench.driver.send("POST /v3/kv/range HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n");
    bench.driver.send(Buffer.from('{"a":"\xff"}', "latin1"));
    expect(bench.answer().body).toBe('{"code":3,"message":"invalid UTF-8"}');
  });

  test("larger than a message may be: 429 in gRPC's words", () => {
    const bench = new Bench([range(() => expect.unreachable())], { receiveBytesMax: 100 });
    const key = Buffer.alloc(150).toString("base64");
    expect(bench.post("/v3/kv/range", JSON.stringify({ key })).body).toBe(
      '{"code":8,"message":"grpc: received message larger than max (153 vs. 100)"}',
    );
    const value = "x".repeat(70_000);
    const { head, body } = bench.post("/v3/kv/range", JSON.stringify({ value }));
    expect(head).toStartWith("HTTP/1.1 429");
    expect(body).toContain("larger than max (70012 vs. ");
  });

  test("that fails has the status of its code", () => {
    for (const [name, code] of Object.entries(GrpcCode)) {
      if (code === GrpcCode.OK) continue;
      const bench = new Bench([range((call) => call.fail(code, `${name} <&>`))]);
      const { head, body } = bench.post("/v3/kv/range", "{}");
      expect(head).toStartWith(`HTTP/1.1 ${httpStatusOf(code)} `);
      expect(body).toBe(`{"code":${code},"message":"${name} <&>"}`);
      expect(head.includes(`www-authenticate: ${name}`)).toBe(code === GrpcCode.UNAUTHENTICATED);
      expect(bench.log.at(-1)).toBe(`end ${code}`);
    }
    const nameless = new Bench([range((call) => call.fail(GrpcCode.INTERNAL, ""))]);
    expect(nameless.post("/v3/kv/range", "{}").body).toBe('{"code":13}');
    const throwing = new Bench([
      range(() => {
        throw new AetherError("empty_key");
      }),
    ]);
    expect(throwing.post("/v3/kv/range", "{}").body).toBe(
      '{"code":3,"message":"etcdserver: key is not provided"}',
    );
  });

  test("brings who asks, from where and until when", () => {
    const bench = new Bench([
      range((call) => {
        bench.calls.push(call);
        call.reply(count(0), 0, 0);
      }),
    ]);
    bench.nowMs = 50;
    bench.post(
      "/v3/kv/range",
      "{}",
      "Authorization: tok",
      "Grpc-Timeout: 2S",
      "Grpc-Metadata-Hasleader: true",
    );
    const [call] = bench.calls;
    expect([call?.metadata.get("authorization"), call?.metadata.get("hasleader")]).toEqual([
      ...["tok", "true"],
    ]);
    expect([call?.deadlineMs, call?.peer, call?.peerName]).toEqual([2050, "tester", undefined]);
    expect(bench.post("/v3/kv/range", "{}", "Grpc-Timeout: abc").body).toBe(
      '{"code":3,"message":"invalid grpc-timeout: abc"}',
    );
    expect(bench.post("/v3/kv/range", "{}", "Grpc-Metadata-A-Bin: !").head).toContain(" 400 ");
  });

  test("ends at its deadline, and what comes later is not heard", () => {
    const bench = new Bench([range((call) => bench.calls.push(call))]);
    bench.post("/v3/kv/range", "{}", "Grpc-Timeout: 1S");
    bench.gateway.tick(999);
    expect(bench.answer().head).toBe("");
    bench.gateway.tick(1000);
    const { head, body } = bench.answer();
    expect(head).toStartWith("HTTP/1.1 504");
    expect(body).toBe('{"code":4,"message":"context deadline exceeded"}');
    expect(bench.calls[0]?.cancelled).toBe(true);
    bench.calls[0]?.reply(count(1), 0, 0);
    bench.gateway.tick(5000);
    expect(bench.answer().head).toBe("");
    expect(bench.log.filter((each) => each.startsWith("end"))).toEqual(["end 4"]);
    // An answer that comes too late, but before anybody looked at the time.
    bench.post("/v3/kv/range", "{}", "Grpc-Timeout: 1m");
    bench.nowMs = 2;
    bench.calls[1]?.reply(count(1), 0, 0);
    expect(bench.answer().head).toStartWith("HTTP/1.1 504");
    expect(bench.post("/v3/kv/range", "{}", "Grpc-Timeout: -1S").head).toStartWith("HTTP/1.1 504");
  });

  test("of a client that goes is cancelled", () => {
    const bench = new Bench([range((call) => bench.calls.push(call))]);
    bench.post("/v3/kv/range", "{}");
    bench.driver.connection.closed(1);
    expect([bench.calls[0]?.cancelled, bench.log.at(-1)]).toEqual([true, "end 1"]);
    bench.calls[0]?.fail(GrpcCode.INTERNAL, "late");
  });

  test("with a large answer comes in pieces, at the pace of its reader", () => {
    const message = RangeResponse.create({ count: 3, more: true });
    const bytes = encoded(RangeResponse, message);
    let drains = 0;
    const bench = new Bench([
      range((call) => {
        bench.calls.push(call);
        call.beginReply(bytes.length, () => drains++);
      }),
    ]);
    const first = bench.post("/v3/kv/range", "{}");
    expect(first.head).toContain("transfer-encoding: chunked");
    const call = bench.calls[0] as ServerCall;
    for (let at = 0; at < bytes.length; at++) call.continueReply(bytes, at, at + 1);
    expect(chunks(bench.driver.take())).toBe('{"more":true,"count":"3"}');
    expect(bench.log.slice(-2)).toEqual(["sent", "end 0"]);
    expect([drains, bench.driver.connection.closing]).toEqual([0, false]);
    // One that breaks off must not look whole.
    bench.post("/v3/kv/range", "{}");
    bench.calls[1]?.continueReply(bytes, 0, 2);
    bench.calls[1]?.fail(GrpcCode.UNAVAILABLE, "etcdserver: leader changed");
    expect(bench.driver.connection.closing).toBe(true);
    expect(bench.driver.take()).toBe("");
  });
});

/** The content of chunks that are whole. */
function chunks(text: string): string {
  let content = "";
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, end), 16);
    content += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
  }
  return content;
}

/** Renewals: answers each, and finishes when there are no more. */
function renewals(bench: () => Bench, on: Partial<StreamHandler> = {}): Method {
  return {
    path: Lease.LeaseKeepAlive.path,
    stream: (call) => {
      bench().calls.push(call);
      return {
        onMessage: (bytes, start, end) => {
          const { ID } = LeaseKeepAliveRequest.decode(bytes, start, end);
          const answer = LeaseKeepAliveResponse.create({ ID, TTL: 10 });
          const out = encoded(LeaseKeepAliveResponse, answer);
          call.send(out, 0, out.length);
        },
        onHalfClose: () => call.finish(),
        onCancel: () => bench().log.push("cancelled"),
        onDrain: () => bench().log.push("drain"),
        ...on,
      };
    },
  };
}

describe("a stream", () => {
  test("of several objects in one body", () => {
    const bench: Bench = new Bench([renewals(() => bench)]);
    const { head, body } = bench.post("/v3/lease/keepalive", '{"ID":1}\n{"ID":"2"}{"ID":3}');
    expect(head).toContain("grpc-metadata-content-type: application/grpc\r\n");
    expect(chunks(body)).toBe(
      ["1", "2", "3"].map((id) => `{"result":{"ID":"${id}","TTL":"10"}}\n`).join(""),
    );
    expect(bench.log.at(-1)).toBe("end 0");
  });

  test("without an answer is an empty 200", () => {
    const bench: Bench = new Bench([renewals(() => bench)]);
    expect(bench.post("/v3/lease/keepalive", "")).toEqual({
      head: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked",
      body: "0\r\n\r\n",
    });
  });

  test("goes on when the body has ended, until its client goes", () => {
    const onHalfClose = (): void => {};
    const bench: Bench = new Bench([renewals(() => bench, { onHalfClose })]);
    bench.post("/v3/lease/keepalive", '{"ID":1}');
    const out = encoded(LeaseKeepAliveResponse, LeaseKeepAliveResponse.create({ ID: 9n }));
    bench.calls[0]?.send(out, 0, out.length);
    expect(chunks(bench.driver.take())).toBe('{"result":{"ID":"9"}}\n');
    bench.driver.connection.closed(1);
    expect(bench.log.slice(-2)).toEqual(["end 1", "cancelled"]);
    expect(bench.calls[0]?.cancelled).toBe(true);
  });

  test("is not ended by garbage behind a request, but garbage alone is refused", () => {
    const bench: Bench = new Bench([renewals(() => bench)]);
    const { body } = bench.post("/v3/lease/keepalive", '{"ID":1}{bad}{"ID":2}');
    expect(chunks(body)).toBe('{"result":{"ID":"1","TTL":"10"}}\n');
    const refused = bench.post("/v3/lease/keepalive", "{bad}");
    expect(refused.head).toStartWith("HTTP/1.1 400");
    expect(JSON.parse(refused.body)).toMatchObject({ code: 3 });
    expect(bench.log.slice(-2)).toEqual(["cancelled", "end 3"]);
  });

  test("that fails says so in its last line, which has a status if it is the first", () => {
    const onHalfClose = (): void => {};
    const bench: Bench = new Bench([renewals(() => bench, { onHalfClose })]);
    bench.post("/v3/lease/keepalive", '{"ID":1}');
    bench.calls[0]?.fail(GrpcCode.UNAVAILABLE, "etcdserver: <no> leader");
    expect(chunks(bench.driver.take())).toBe(
      '{"error":{"code":14,"message":"etcdserver: \\u003cno\\u003e leader"}}\n',
    );
    bench.post("/v3/lease/keepalive", "");
    bench.calls[1]?.fail(GrpcCode.UNAVAILABLE, "x");
    const { head, body } = bench.answer();
    expect(head).toBe(
      "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n" +
        "transfer-encoding: chunked",
    );
    expect(chunks(body)).toBe('{"error":{"code":14,"message":"x"}}\n');
  });

  test("whose handler throws is ended for both", () => {
    const onMessage = (): never => {
      throw new AetherError("no_leader");
    };
    const bench: Bench = new Bench([renewals(() => bench, { onMessage })]);
    const { body } = bench.post("/v3/lease/keepalive", '{"ID":1}');
    expect(chunks(body)).toBe('{"error":{"code":14,"message":"etcdserver: no leader"}}\n');
    expect(bench.log.slice(-2)).toEqual(["cancelled", "end 14"]);
    const refusing: Method = {
      path: Watch.Watch.path,
      stream: () => {
        throw new AetherError("corrupt");
      },
    };
    expect(new Bench([refusing]).post("/v3/watch", "{}").body).toBe(
      '{"code":15,"message":"etcdserver: corrupt cluster"}',
    );
  });

  test("ends at its deadline", () => {
    const onHalfClose = (): void => {};
    const bench: Bench = new Bench([renewals(() => bench, { onHalfClose })]);
    bench.post("/v3/lease/keepalive", '{"ID":1}', "Grpc-Timeout: 1S");
    bench.gateway.tick(1000);
    expect(chunks(bench.driver.take())).toBe(
      '{"error":{"code":4,"message":"context deadline exceeded"}}\n',
    );
    expect(bench.log.slice(-2)).toEqual(["end 4", "cancelled"]);
  });

  test("is told when its reader is slow, and when there is room again", () => {
    const onHalfClose = (): void => {};
    const bench: Bench = new Bench([renewals(() => bench, { onHalfClose })]);
    bench.driver.send(
      'POST /v3/lease/keepalive HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\n{"ID":1}',
    );
    const call = bench.calls[0] as ServerCall;
    const out = encoded(LeaseKeepAliveResponse, LeaseKeepAliveResponse.create({ ID: 9n }));
    let sent = 0;
    while (call.writable) {
      call.send(out, 0, out.length);
      sent++;
    }
    expect(call.queuedBytes).toBeGreaterThan(OUTPUT_HIGH_BYTES);
    expect(sent).toBeGreaterThan(1000);
    expect(bench.log).not.toContain("drain");
    bench.driver.take();
    expect([call.writable, bench.log.includes("drain")]).toEqual([true, true]);
  });

  test("of answers to one request", () => {
    const seen: string[] = [];
    const snapshot: Method = {
      path: Maintenance.Snapshot.path,
      stream: (call) => ({
        onMessage: () => seen.push("message"),
        onHalfClose: () => {
          const chunk = SnapshotResponse.create({ blob: new Uint8Array([1]) });
          const out = encoded(SnapshotResponse, chunk);
          call.send(out, 0, out.length);
          call.finish();
        },
        onCancel: () => seen.push("cancel"),
        onDrain: () => {},
      }),
    };
    const bench = new Bench([snapshot]);
    for (const body of ["", "{}", "{} garbage"]) {
      expect(chunks(bench.post("/v3/maintenance/snapshot", body).body)).toBe(
        '{"result":{"blob":"AQ=="}}\n',
      );
    }
    expect(seen).toEqual(["message", "message", "message"]);
    expect(bench.post("/v3/maintenance/snapshot", "{bad}").head).toStartWith("HTTP/1.1 400");
    expect(seen.at(-1)).toBe("cancel");
  });
});

test("no body makes the gateway throw", () => {
  const bench: Bench = new Bench([
    renewals(() => bench),
    okRange,
    {
      path: KV.Put.path,
      unary: (call, bytes, start, end) => {
        PutRequest.decode(bytes, start, end);
        const out = encoded(PutResponse, PutResponse.create());
        call.reply(out, 0, out.length);
      },
    },
  ]);
  const prng = new Prng(5);
  const words = [
    '{"key":"YQ=="}',
    '"ID"',
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "null",
    "1e9",
    '"\\ud800"',
  ];
  const more = ["\\", '"', "\0", "é", '{"ID":7}', "-", "\n", '{"limit":1e400}', '"'];
  const all = [...words, ...more];
  for (let round = 0; round < 3000; round++) {
    const body = Array.from({ length: prng.below(12) }, () => all[prng.below(all.length)]).join("");
    const path = ["/v3/kv/range", "/v3/kv/put", "/v3/lease/keepalive"][prng.below(3)] as string;
    const { head } = bench.post(path, body);
    expect(head).toMatch(/^HTTP\/1\.1 (200|400) /);
  }
  const deep = `{"a":${"[".repeat(400)}${"]".repeat(400)}}`;
  expect(bench.post("/v3/kv/range", deep).head).toStartWith("HTTP/1.1 200");
});

describe("a large answer in one go", () => {
  const large = (values: readonly string[]): Uint8Array =>
    encoded(
      RangeResponse,
      RangeResponse.create({
        kvs: values.map((value) => KeyValue.create({ value: Buffer.from(value) })),
      }),
    );
  const answering = (bytes: Uint8Array): Method =>
    range((call) => call.reply(bytes, 0, bytes.length));

  test("becomes JSON in slices, and is the same", () => {
    const values = Array.from({ length: 400 }, (_, place) => `${place}`.padEnd(900, "x"));
    const bytes = large(values);
    const bench = new Bench([answering(bytes)]);
    const first = bench.post("/v3/kv/range", "{}");
    expect(first.head).toContain("transfer-encoding: chunked");
    let text = first.body;
    for (; bench.runs.length > 0; text += bench.driver.take()) bench.runs.shift()?.();
    const body = text.replaceAll(/(?:^|\r\n)[0-9a-f]+\r\n/g, "");
    const { kvs } = JSON.parse(body) as { kvs: { value: string }[] };
    expect(kvs.map(({ value }) => Buffer.from(value, "base64").toString())).toEqual(values);
    expect(bench.log.slice(-2)).toEqual(["sent", "end 0"]);
  });

  test("with one part that is too long is refused before a byte is said", () => {
    const bench = new Bench([answering(large(["x".repeat(STEP_BYTES + 1)]))]);
    expect(bench.post("/v3/kv/range", "{}").head).toStartWith("HTTP/1.1 429 ");
  });
});
