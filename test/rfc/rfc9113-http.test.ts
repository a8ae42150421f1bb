/** RFC 9113 §8 and §10: HTTP over streams. Requirements: requirements.ts. */
import { describe, expect, test } from "bun:test";
import { begin, callFields, message, protobuf, RANGE, statusOf } from "./kit/grpc.ts";
import { block, type Field, literal } from "./kit/hpack.ts";
import { useServer } from "./kit/node.ts";
import { fieldOf, open, VERSION_REQUEST } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Flag, frame, headers, Type } from "./kit/wire.ts";

const port = useServer();
const VERSION = block(VERSION_REQUEST);
const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;

/** The version's request with a pseudo field left out, or another value for it. */
function versionWith(name: string, ...values: readonly string[]): Field[] {
  return VERSION_REQUEST.flatMap(([each, value]): Field[] => {
    return each === name ? values.map((other): Field => [name, other]) : [[each, value]];
  });
}

function versionAnd(...more: readonly Field[]): Field[] {
  return [...VERSION_REQUEST, ...more];
}

const MALFORMED: readonly (readonly [name: string, fields: readonly Field[]])[] = [
  ["§8.2.1-1 §8.2.1-5 a name in upper case", versionAnd(["Accept", "a"])],
  ["§8.2.1-1 a name in upper case at its end", versionAnd(["x-abC", "a"])],
  ["§8.2.1-1 a name with a space", versionAnd(["a b", "a"])],
  ["§8.2.1-1 a name with NUL", versionAnd(["a\0b", "a"])],
  ["§8.2.1-1 a name with DEL", versionAnd(["a\x7f", "a"])],
  ["§8.2.1-1 a name with a byte above ASCII", versionAnd(["na\xefve", "a"])],
  ["§8.2.1-1 a name with LF", versionAnd(["a\nb", "a"])],
  ["§8.2.1-1 an empty name", versionAnd(["", "a"])],
  ["§8.2.1-2 a name with a colon", versionAnd(["a:b", "a"])],
  ["§8.2.1-3 a value with NUL", versionAnd(["a", "b\0c"])],
  ["§8.2.1-3 a value with LF", versionAnd(["a", "b\nc"])],
  ["§8.2.1-3 a value with CR", versionAnd(["a", "b\rc"])],
  ["§8.2.1-3 a value of CR LF and a field", versionAnd(["a", "b\r\nhost: c"])],
  ["§8.2.1-4 a value that begins with SP", versionAnd(["a", " b"])],
  ["§8.2.1-4 a value that ends with SP", versionAnd(["a", "b "])],
  ["§8.2.1-4 a value that begins with HTAB", versionAnd(["a", "\tb"])],
  ["§8.2.1-4 a value that ends with HTAB", versionAnd(["a", "b\t"])],
  ["§8.2.1-3 a path with LF", versionWith(":path", "/version\nx")],
  ["§8.2.2-2 connection", versionAnd(["connection", "close"])],
  ["§8.2.2-2 proxy-connection", versionAnd(["proxy-connection", "close"])],
  ["§8.2.2-2 keep-alive", versionAnd(["keep-alive", "timeout=5"])],
  ["§8.2.2-2 transfer-encoding", versionAnd(["transfer-encoding", "chunked"])],
  ["§8.2.2-2 upgrade", versionAnd(["upgrade", "websocket"])],
  ["§8.2.2-3 te other than trailers", versionAnd(["te", "gzip"])],
  ["§8.2.2-3 te with more than trailers", versionAnd(["te", "trailers, gzip"])],
  ["§8.3-3 :status in a request", [...VERSION_REQUEST, [":status", "200"]]],
  ["§8.3-5 an unknown pseudo field", [...VERSION_REQUEST, [":version", "2"]]],
  ["§8.3-5 :protocol, which nobody negotiated", [...VERSION_REQUEST, [":protocol", "websocket"]]],
  ["§8.3-7 a pseudo field behind a regular one", [["a", "b"], ...VERSION_REQUEST]],
  ["§8.3-9 :method twice", versionWith(":method", "GET", "GET")],
  ["§8.3-9 :scheme twice", versionWith(":scheme", "http", "http")],
  ["§8.3-9 :path twice", versionWith(":path", "/version", "/version")],
  ["§8.3-9 :authority twice", versionWith(":authority", "a", "a")],
  ["§8.3.1-4 a host that is not the authority", versionAnd(["host", "elsewhere"])],
  ["§8.3.1-6 user information in :authority", versionWith(":authority", "me@127.0.0.1")],
  ["§8.3-5 an :authority with a space", versionWith(":authority", "a b")],
  ["§8.3-5 a :path with a space", versionWith(":path", "/version HTTP/1.1")],
  ["§8.3-5 a :path with a fragment", versionWith(":path", "/version#x")],
  ["§8.3-5 a :path with bytes above ASCII", versionWith(":path", "/v\xe9rsion")],
  ["§8.3-5 a :scheme with a slash", versionWith(":scheme", "http://")],
  ["§8.3.1-7 an empty :path", versionWith(":path", "")],
  ["§8.3.1-8 a :path without its slash", versionWith(":path", "version")],
  ["§8.3.1-8 a whole URI as :path", versionWith(":path", "http://127.0.0.1/version")],
  ["§8.3.1-9 the path * of another method than OPTIONS", versionWith(":path", "*")],
  ["§8.3.1-10 no :method", versionWith(":method")],
  ["§8.3.1-10 an empty :method", versionWith(":method", "")],
  ["§8.3.1-10 a :method that is no token", versionWith(":method", "GET /")],
  ["§8.3.1-10 no :scheme", versionWith(":scheme")],
  ["§8.3.1-10 an empty :scheme", versionWith(":scheme", "")],
  ["§8.3.1-10 no :path", versionWith(":path")],
  ["§8.3.1-10 nothing at all", []],
  ["§8.5-1 CONNECT with :scheme and :path", versionWith(":method", "CONNECT")],
  [
    "§8.1.1 two content-lengths that differ",
    versionAnd(["content-length", "0"], ["content-length", "1"]),
  ],
  ["§8.1.1 a content-length that is no number", versionAnd(["content-length", "+0"])],
  ["§8.1.1 a content-length without content", versionAnd(["content-length", "3"])],
];

describe("RFC 9113 §8 malformed requests", () => {
  test.each(MALFORMED)("§8.1.1-2 %s", async (_name, fields) => {
    await using peer = await open(port());
    const id = peer.request(fields);
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
    await peer.serves();
  });

  const bodies: readonly (readonly [name: string, length: string, ...pieces: string[]])[] = [
    ["less than the content-length", "5", "1234"],
    ["more than the content-length", "3", "12", "34"],
    ["content though the length is 0", "0", "1"],
  ];
  test.each(bodies)("§8.1.1-2 %s", async (_name, length, ...pieces) => {
    await using peer = await open(port());
    const id = peer.newId();
    const fields = [...versionWith(":method", "POST"), ["content-length", length] as const];
    const last = pieces.length - 1;
    const frames = pieces.map((piece, at) => wire.data(id, piece, at === last ? 1 : 0));
    peer.send(headers(id, block(fields)), ...frames);
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
    await peer.serves();
  });

  test("§8.1.1 padding does not count for the content-length", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const fields = versionAnd(["content-length", "2"]);
    const padded = Buffer.concat([Buffer.from([4]), Buffer.from("ab"), Buffer.alloc(4)]);
    peer.send(headers(id, block(fields)), wire.data(id, padded, Flag.PADDED | Flag.END_STREAM));
    expect((await peer.answer(id)).status).toBe("200");
  });
});

const TRAILERS: readonly (readonly [name: string, fields: Field[], flags: number])[] = [
  ["§8.1-3 §8.3-4 pseudo fields", [[":path", "/version"]], WHOLE],
  ["§8.1-3 §8.3-4 :status", [[":status", "200"]], WHOLE],
  ["§8.2.2-2 a field of the connection", [["connection", "close"]], WHOLE],
  ["§8.2.1-1 a name in upper case", [["Grpc-Status", "0"]], WHOLE],
  ["§8.1-4 no END_STREAM", [["a", "b"]], Flag.END_HEADERS],
];

describe("RFC 9113 §8.1 trailers", () => {
  test.each(TRAILERS)("§8.1.1-2 malformed: %s", async (_name, fields, flags) => {
    await using peer = await open(port());
    const id = begin(peer, callFields("/etcdserverpb.Watch/Watch"));
    peer.send(wire.data(id, message(Buffer.alloc(0)).subarray(0, 3)));
    peer.send(headers(id, block(fields), flags));
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "PROTOCOL_ERROR" });
    await peer.serves();
  });

  test("good ones end the request", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields(RANGE));
    peer.send(wire.data(id, message(protobuf("key"))));
    peer.send(headers(id, block([["x-checksum", "1"]]), WHOLE));
    expect(statusOf(await peer.answer(id))).toBe("0");
  });
});

describe("RFC 9113 §8.2, §8.3 requests that are good", () => {
  test("te: trailers, field values of any other bytes, names of any token", async () => {
    await using peer = await open(port());
    const odd: Field[] = [
      ["te", "trailers"],
      ["x-odd", "a\tb \x80\xff ~!"],
      ["x-empty", ""],
      ["!#$%&'*+-.^_`|~09", "x"],
    ];
    expect((await peer.answer(peer.request(versionAnd(...odd)))).status).toBe("200");
  });

  test("§8.2.3 a cookie may come in pieces", async () => {
    await using peer = await open(port());
    const crumbs: Field[] = [
      ["cookie", "a=b"],
      ["cookie", "c=d"],
    ];
    expect((await peer.answer(peer.request(versionAnd(...crumbs)))).status).toBe("200");
  });

  test("§8.3.1-1 host is not looked at where :authority is", async () => {
    await using peer = await open(port());
    const same = await peer.answer(peer.request(versionAnd(["host", "127.0.0.1"])));
    expect(same.status).toBe("200");
  });

  test("an :authority of etcd's Go client 3.5.0 is taken, and is no name of ours", async () => {
    await using peer = await open(port());
    const odd = versionWith(":authority", "#initially=[unix:@/run/etcd.sock]");
    expect((await peer.answer(peer.request(odd))).status).toBe("421");
  });

  test("host alone is good too", async () => {
    await using peer = await open(port());
    const fields = [...versionWith(":authority"), ["host", "127.0.0.1"] as const];
    expect((await peer.answer(peer.request(fields))).status).toBe("200");
  });

  test("§8.3.1-9 OPTIONS * is well formed", async () => {
    await using peer = await open(port());
    const fields = versionWith(":method", "OPTIONS").map(([name, value]): Field => {
      return [name, name === ":path" ? "*" : value];
    });
    expect((await peer.answer(peer.request(fields))).status).toMatch(/^[245]\d\d$/);
  });

  test("an unknown :method is answered, not reset", async () => {
    await using peer = await open(port());
    const answer = await peer.answer(peer.request(versionWith(":method", "BREW")));
    expect(answer.status).toMatch(/^(405|501)$/);
  });
});

describe("RFC 9113 §8.3.2, §8.4 to §8.7 answers", () => {
  test("§8.3.2-1 §8.2-1 §8.2.2-1 §8.3-1 :status first in every answer", async () => {
    await using peer = await open(port());
    for (const path of ["/version", "/health", "/no/such/path", "/v3/kv/range"]) {
      const { head, status } = await peer.answer(peer.request(versionWith(":path", path)));
      expect(head[0]?.[0]).toBe(":status");
      expect(status).toMatch(/^[245]\d\d$/);
    }
  });

  test("the content-length of an answer is that of its content", async () => {
    await using peer = await open(port());
    const { head, body } = await peer.answer(peer.request());
    expect(fieldOf(head, "content-length")).toBe(String(body.length));
  });

  test("HEAD has no content", async () => {
    await using peer = await open(port());
    const { status, body } = await peer.answer(peer.request(versionWith(":method", "HEAD")));
    expect(status).toMatch(/^(200|405)$/);
    expect(body).toHaveLength(0);
  });

  test("§8.4-5 a promise from the client, on no stream of its own", async () => {
    await using peer = await open(port());
    const promise = Buffer.concat([wire.uint32(3), VERSION]);
    peer.send(frame(Type.PUSH_PROMISE, Flag.END_HEADERS, 1, promise));
    expect(await peer.goaway()).toBe("PROTOCOL_ERROR");
  });

  test("§8.5 CONNECT is not served", async () => {
    await using peer = await open(port());
    const id = peer.request([
      [":method", "CONNECT"],
      [":authority", "127.0.0.1:22"],
    ]);
    const { of } = await peer.failure(id);
    expect(of).toBe("stream");
    await peer.serves();
  });

  test("an answer before the end of the request asks for no more of it", async () => {
    await using peer = await open(port());
    const id = begin(peer, callFields("/no.Such/Method"));
    expect(statusOf(await peer.answer(id))).toBe("12");
    expect(await peer.failure(id)).toEqual({ of: "stream", code: "NO_ERROR" });
    peer.send(wire.data(id, "late", Flag.END_STREAM));
    await peer.serves();
  });
});

describe("RFC 9113 §10.5.1 field sections that are too large", () => {
  test("§10.5.1-1 §4.3-2 an oversize section is refused, and the table stays in step", async () => {
    await using peer = await open(port());
    const id = peer.newId();
    const entry = literal("x-large", "v".repeat(3000), "indexing"); // one entry, named again
    const again = Buffer.concat(Array.from({ length: 20 }, () => Buffer.from([0x80 | 62])));
    const late = literal("x-late", "in step", "indexing");
    peer.send(headers(id, Buffer.concat([VERSION, entry, again, late]), WHOLE));
    const refused = await peer.failure(id);
    expect(refused.of).toBe("stream");
    const next = peer.newId();
    peer.send(headers(next, Buffer.concat([VERSION, Buffer.from([0x80 | 62])]), WHOLE));
    expect((await peer.answer(next)).status).toBe("200");
  });
});
