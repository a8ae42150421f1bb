/**
 * gRPC over HTTP/2, as its "PROTOCOL-HTTP2" document has it, over the wire: Requests, Responses,
 * Errors. The quoted words are the document's names for the parts.
 */
import { describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import {
  begin,
  call,
  callFields,
  message,
  messageOf,
  PUT,
  protobuf,
  RANGE,
  statusOf,
} from "./kit/grpc.ts";
import { block, type Field } from "./kit/hpack.ts";
import { useServer } from "./kit/node.ts";
import type { Answer } from "./kit/peer.ts";
import { fieldOf, open } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Flag, headers, Type } from "./kit/wire.ts";

const port = useServer();
const WATCH = "/etcdserverpb.Watch/Watch";
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;
const KEY = message(protobuf("key"));

const OK = "0";
const INVALID_ARGUMENT = "3";
const DEADLINE_EXCEEDED = "4";
const RESOURCE_EXHAUSTED = "8";
const UNIMPLEMENTED = "12";
const INTERNAL = "13";

/** Asks once on a connection of its own. */
async function ask(fields: readonly Field[], payload?: Uint8Array): Promise<Answer> {
  await using peer = await open(port());
  return await peer.answer(call(peer, fields, payload));
}

/** The HTTP status, which is 200 for whatever gRPC itself has to say. */
async function statusFor(fields: readonly Field[], payload?: Uint8Array): Promise<string> {
  const answer = await ask(fields, payload);
  expect(answer.status).toBe("200");
  return statusOf(answer) ?? "none";
}

describe("gRPC Responses", () => {
  test("Response-Headers, Length-Prefixed-Message, Trailers with END_STREAM", async () => {
    await using peer = await open(port());
    const id = call(peer, callFields(RANGE));
    const head = await peer.next(Type.HEADERS, id);
    expect(head.flags & Flag.END_STREAM).toBe(0);
    expect(fieldOf(head.fields ?? [], ":status")).toBe("200");
    expect(fieldOf(head.fields ?? [], "content-type")).toMatch(/^application\/grpc(\+proto)?$/);
    const { payload, flags } = await peer.next(Type.DATA, id);
    expect(flags & Flag.END_STREAM).toBe(0);
    expect(payload.readUInt8(0)).toBe(0);
    expect(payload.readUInt32BE(1)).toBe(payload.length - 5);
    const tail = await peer.next(Type.HEADERS, id);
    expect(tail.flags & Flag.END_STREAM).toBe(Flag.END_STREAM);
    expect(fieldOf(tail.fields ?? [], "grpc-status")).toBe(OK);
  });

  test("Trailers-Only: one HEADERS frame with HTTP-Status, Content-Type and Status", async () => {
    await using peer = await open(port());
    const { flags, fields = [] } = await peer.next(
      Type.HEADERS,
      call(peer, callFields("/no.Such/Method")),
    );
    expect(flags & WHOLE).toBe(WHOLE);
    expect(fieldOf(fields, ":status")).toBe("200");
    expect(fieldOf(fields, "content-type")).toMatch(/^application\/grpc/);
    expect(fieldOf(fields, "grpc-status")).toBe(UNIMPLEMENTED);
  });

  test("Status-Message is percent-encoded, Status a number without leading zeros", async () => {
    const odd = '%"\xe9~%41';
    const answer = await ask(callFields(RANGE, ["grpc-encoding", odd]));
    const text = messageOf(answer) ?? "";
    expect(text).toMatch(/^([\x20-\x24\x26-\x7e]|%[0-9A-F]{2})+$/);
    expect(decodeURIComponent(text)).toContain(odd);
    expect(statusOf(answer)).toMatch(/^(0|[1-9]\d*)$/);
  });

  test("an error of the application is a Status in Trailers", async () => {
    const answer = await ask(callFields(PUT), message(protobuf("")));
    expect(statusOf(answer)).toBe(INVALID_ARGUMENT);
    expect(messageOf(answer)).toBe("etcdserver: key is not provided");
  });
});

describe("gRPC Requests: Content-Type and Method", () => {
  const served = [
    "application/grpc",
    "application/grpc+proto",
    "application/grpc;charset=utf-8",
    "application/grpc+proto; charset=utf-8",
  ];
  test.each(served)("content-type %s is served", async (type) => {
    expect(await statusFor(callFields(RANGE, ["content-type", type]))).toBe(OK);
  });

  const refused = [
    "application/json",
    "application/grpc-web",
    "application/grpcweb",
    "application/grp",
    "text/plain",
    "",
  ];
  test.each(refused)('content-type "%s" is 415', async (type) => {
    const answer = await ask(callFields(RANGE, ["content-type", type]));
    expect(answer.status).toBe("415");
    expect(statusOf(answer)).toBeUndefined();
  });

  test("no content-type is 415", async () => {
    const fields = callFields(RANGE).filter(([name]) => name !== "content-type");
    expect((await ask(fields)).status).toBe("415");
  });

  test("a method other than POST is 405", async () => {
    for (const method of ["GET", "PUT", "HEAD"]) {
      const [, ...rest] = callFields(RANGE);
      expect((await ask([[":method", method], ...rest])).status).toBe("405");
    }
  });

  test("te, user-agent and :authority may be missing, :scheme may be https", async () => {
    const few: Field[] = [
      [":method", "POST"],
      [":scheme", "https"],
      [":path", RANGE],
      ["content-type", "application/grpc"],
    ];
    expect(await statusFor(few)).toBe(OK);
  });
});

describe("gRPC Requests: Path", () => {
  const unknown = [
    "/etcdserverpb.kv/Range",
    "/etcdserverpb.KV/range",
    "//etcdserverpb.KV/Range",
    "/etcdserverpb.KV//Range",
    "/etcdserverpb.KV/Range/",
    "/etcdserverpb.KV/Range?x=1",
    "/etcdserverpb.KV/%52ange",
    "/x/../etcdserverpb.KV/Range",
    "/etcdserverpb.KV",
    "/",
  ];
  test.each(unknown)("%s is no method", async (path) => {
    expect(await statusFor(callFields(path))).toBe(UNIMPLEMENTED);
  });

  test("a path without its slash is malformed (CVE-2026-33186)", async () => {
    await using peer = await open(port());
    const id = call(peer, callFields(RANGE.slice(1)));
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
  });
});

describe("gRPC Requests: Timeout", () => {
  test.each(["1H", "1M", "10S", "10000m", "10000000u", "99999999n", "00000010S"])(
    "%s is a timeout",
    async (timeout) => {
      expect(await statusFor(callFields(RANGE, ["grpc-timeout", timeout]))).toBe(OK);
    },
  );

  test.each(["", "1", "S", "123456789S", "-1S", "+1S", "1s", "1.5S", "1 S", "0x1S", "1SS"])(
    '"%s" is none',
    async (timeout) => {
      const answer = await ask(callFields(RANGE, ["grpc-timeout", timeout]));
      if (answer.status === "400") return;
      expect(statusOf(answer)).toBe(INTERNAL);
    },
  );

  test("a call that outlives it ends in DEADLINE_EXCEEDED", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields(WATCH, ["grpc-timeout", "30m"]));
    expect(statusOf(await peer.answer(id))).toBe(DEADLINE_EXCEEDED);
    await peer.serves();
  });
});

describe("gRPC Requests: Custom-Metadata", () => {
  const metadata: readonly (readonly [what: string, ...fields: Field[]])[] = [
    ["binary, padded", ["x-bin", "AAE="]],
    ["binary, not padded", ["x-bin", "AAE"]],
    ["binary, several in one", ["x-bin", "AAE=,AAE,/+8"]],
    ["binary and empty", ["x-bin", ""]],
    ["of a name that is there twice", ["x-a", "1"], ["x-a", "2"]],
    ["of a name that gRPC reserves", ["grpc-future", "1"]],
    ["of bytes beyond ASCII", ["x-a", "\xc3\xa9\xff"]],
    ["of all characters of a name", ["0-9.a_z", "~"]],
  ];
  test.each(metadata)("%s", async (_what, ...fields) => {
    expect(await statusFor(callFields(RANGE, ...fields))).toBe(OK);
  });
});

describe("gRPC Length-Prefixed-Message", () => {
  test("DATA frames may cut it anywhere", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields(RANGE));
    for (const byte of KEY) peer.send(wire.data(id, Buffer.from([byte])), wire.data(id, ""));
    peer.send(wire.data(id, "", Flag.END_STREAM)); // EOS in a frame of its own
    expect(statusOf(await peer.answer(id))).toBe(OK);
  });

  test("one DATA frame may hold several", async () => {
    await using peer = await open(port());
    const create = message(Buffer.from([0x0a, 3, 0x0a, 1, 0x61])); // WatchCreateRequest of "a"
    const id = begin(peer, callFields(WATCH));
    peer.send(wire.data(id, Buffer.concat([create, create, create])));
    let bytes = 0;
    let count = 0;
    for (let held = Buffer.alloc(0); count < 3; bytes = held.length) {
      held = Buffer.concat([held, (await peer.next(Type.DATA, id)).payload]);
      for (; held.length >= 5 && held.length >= 5 + held.readUInt32BE(1); count++) {
        held = held.subarray(5 + held.readUInt32BE(1));
      }
    }
    expect(bytes).toBe(0);
    peer.send(wire.reset(id, wire.Code.CANCEL));
    await peer.serves();
  });

  const broken: readonly (readonly [what: string, status: string, payload: Buffer])[] = [
    ["cut off in its prefix", INTERNAL, KEY.subarray(0, 3)],
    ["cut off in its bytes", INTERNAL, KEY.subarray(0, 7)],
    ["missing", INTERNAL, Buffer.alloc(0)],
    ["of an unknown Compressed-Flag", INTERNAL, message(protobuf("key"), 2)],
    ["compressed without Message-Encoding", INTERNAL, message(gzipSync(protobuf("key")), 1)],
    ["of a length of 4 GiB", RESOURCE_EXHAUSTED, Buffer.from("00ffffffff00", "hex")],
    ["larger than the limit", RESOURCE_EXHAUSTED, Buffer.from("0000300000", "hex")],
    ["that is no protobuf", INTERNAL, message(Buffer.from([0x0a, 0xff, 0xff]))],
  ];
  test.each(broken)("%s is status %s", async (_what, status, payload) => {
    await using peer = await open(port());
    expect(statusOf(await peer.answer(call(peer, callFields(RANGE), payload)))).toBe(status);
    await peer.serves();
  });
});

describe("gRPC Message-Encoding", () => {
  const GZIP: Field = ["grpc-encoding", "gzip"];

  test("gzip is taken, flag by flag; identity too", async () => {
    const zipped = message(gzipSync(protobuf("key")), 1);
    expect(await statusFor(callFields(RANGE, GZIP), zipped)).toBe(OK);
    expect(await statusFor(callFields(RANGE, GZIP), KEY)).toBe(OK);
    expect(await statusFor(callFields(RANGE, ["grpc-encoding", "identity"]), KEY)).toBe(OK);
  });

  test("an encoding that is not there: UNIMPLEMENTED, and which are", async () => {
    const answer = await ask(callFields(RANGE, ["grpc-encoding", "snappy"]));
    expect(statusOf(answer)).toBe(UNIMPLEMENTED);
    expect(fieldOf(answer.head, "grpc-accept-encoding")).toContain("gzip");
  });

  test("bytes that are no gzip, and those of a bomb", async () => {
    const garbage = message(Buffer.from("not gzip at all"), 1);
    expect(await statusFor(callFields(RANGE, GZIP), garbage)).toBe(INTERNAL);
    const bomb = message(gzipSync(Buffer.alloc(8 * 2 ** 20)), 1);
    expect(await statusFor(callFields(RANGE, GZIP), bomb)).toBe(RESOURCE_EXHAUSTED);
  });

  test("an answer is not compressed in a way that the client did not name", async () => {
    const answer = await ask(callFields(RANGE, ["grpc-accept-encoding", "identity"]));
    expect(fieldOf(answer.head, "grpc-encoding") ?? "identity").toBe("identity");
    expect(answer.body.readUInt8(0)).toBe(0);
  });
});

describe("gRPC Errors and Early Server Closure", () => {
  test("Trailers before the client's END_STREAM are followed by RST_STREAM NO_ERROR", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields("/no.Such/Method"));
    expect(statusOf(await peer.answer(id))).toBe(UNIMPLEMENTED);
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "NO_ERROR" });
  });

  test("the client's RST_STREAM CANCEL ends the call and nothing else", async () => {
    await using peer = await open(port());
    const [first, second] = [begin(peer, callFields(WATCH)), begin(peer, callFields(WATCH))];
    peer.send(wire.reset(first, wire.Code.CANCEL));
    const create = message(Buffer.from([0x0a, 3, 0x0a, 1, 0x61]));
    peer.send(wire.data(second, create));
    await peer.next(Type.DATA, second);
    await peer.serves();
  });

  test("a call of Trailers alone, without a message", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields(RANGE));
    peer.send(headers(id, block([["x-end", "1"]]), WHOLE));
    expect(statusOf(await peer.answer(id))).toBe(INTERNAL);
  });
});
