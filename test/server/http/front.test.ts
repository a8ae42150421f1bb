/** What every request passes: hosts, origins, roundabout paths; and who answers behind it. */
import { describe, expect, test } from "bun:test";
import { Turn } from "../../../src/base/turn.ts";
import { JsonGateway } from "../../../src/gateway/json/gateway.ts";
import { membersOnly } from "../../../src/net/peers/admission.ts";
import { Member } from "../../../src/proto/gen/etcdserverpb.ts";
import { Endpoints } from "../../../src/server/endpoints.ts";
import { cleanTarget } from "../../../src/server/http/clean-path.ts";
import { DebugPages } from "../../../src/server/http/debug.ts";
import { type FrontParts, HttpFront } from "../../../src/server/http/front.ts";
import { ownHosts } from "../../../src/server/http/own-hosts.ts";
import { PeerPages } from "../../../src/server/http/peer-pages.ts";
import { Profiles } from "../../../src/server/http/profiles.ts";
import { NO_METER } from "../../../src/wire/grpc/call-meter.ts";
import { DrivenGroup, MEMBER } from "../../node/driven-group.ts";
import { Driver } from "../../wire/http1/driver.ts";

const DATE_MS = Date.UTC(2026, 10, 21, 15, 36, 1);
const DATE = "Sat, 21 Nov 2026 15:36:01 GMT";

const MEMBERS = [
  Member.create({
    ID: 2n ** 64n - 1n,
    name: "a",
    peerURLs: ["http://p"],
    clientURLs: ["http://c"],
  }),
  Member.create({ ID: 7n, peerURLs: ["http://q"], isLearner: true }),
];

function frontWith(parts: Partial<FrontParts> = {}): HttpFront {
  const { group } = DrivenGroup.leading();
  const endpoints = new Endpoints({
    ...{ group, memberId: MEMBER, metrics: (respond) => respond("m 1\n"), cluster: () => ({}) },
    clusterVersion: () => "3.7.0",
  });
  const gateway = new JsonGateway({
    methods: [],
    mapError: (error) => {
      throw error;
    },
    meter: () => NO_METER,
    clock: { monotonicMs: () => 0 },
    turn: new Turn(setImmediate),
    receiveBytesMax: 100,
  });
  return new HttpFront({
    ...{ endpoints, gateway, cors: ["*"], hostWhitelist: ["*"], isShared: false },
    debug: new DebugPages({ variables: () => ({ a: "1", b: '{"c":2}' }), profiles: undefined }),
    peerPages: new PeerPages({
      ...{ endpoints, clusterId: 0xabcn, members: () => MEMBERS, authorize: membersOnly() },
    }),
    namesCount: () => false,
    usersCount: () => false,
    clock: { wallMs: () => DATE_MS },
    bodyBytesMax: 100,
    ...parts,
  });
}

interface Asked {
  readonly kind?: "clients" | "observers" | "peers";
  readonly fields?: readonly string[];
  readonly body?: string;
  readonly secure?: boolean;
  readonly peerName?: string;
  readonly peer?: string;
}

/** Status, fields and body. */
function ask(front: HttpFront, line: string, asked: Asked = {}) {
  const { kind = "clients", fields = ["Host: h"], body = "", ...more } = asked;
  const who = { peer: "127.0.0.1:1", ...more };
  const driver = new Driver(front[kind].handler, who);
  const length = body === "" ? [] : [`Content-Length: ${body.length}`];
  driver.send(`${line} HTTP/1.1\r\n${[...fields, ...length].join("\r\n")}\r\n\r\n${body}`);
  const [head = "", ...rest] = driver.take().split("\r\n\r\n");
  const [first = "", ...found] = head.split("\r\n");
  return { status: Number(first.split(" ")[1]), fields: found, body: rest.join("\r\n\r\n") };
}

describe("origins", () => {
  const any = "access-control-allow-origin: *";
  test("all may ask where none are named", () => {
    for (const cors of [["*"], ["http://a", "*"]]) {
      const { fields } = ask(frontWith({ cors }), "GET /version");
      expect(fields).toContain(any);
      expect(fields).toContain("access-control-allow-headers: accept, content-type, authorization");
      expect(fields).toContain("access-control-allow-methods: POST, GET, OPTIONS, PUT, DELETE");
      expect(fields).toContain(`date: ${DATE}`);
    }
  });

  test("only those named may, and a preflight is answered on every path", () => {
    const front = frontWith({ cors: ["http://a", "http://b"] });
    const from = (origin: string, line = "GET /version") =>
      ask(front, line, { fields: ["Host: h", `Origin: ${origin}`] });
    expect(from("http://b").fields).toContain("access-control-allow-origin: http://b");
    expect(from("http://c").fields.join()).not.toContain("access-control");
    expect(ask(front, "GET /version").fields.join()).not.toContain("access-control");
    const preflight = from("http://a", "OPTIONS /v3/kv/put");
    expect([preflight.status, preflight.body]).toEqual([200, ""]);
    expect(preflight.fields).toContain("access-control-allow-origin: http://a");
    expect(from("http://c", "OPTIONS /nothing").status).toBe(200);
  });
});

describe("hosts", () => {
  const front = frontWith({ hostWhitelist: ["good", "::1"] });
  const status = (host: string, secure = false): number =>
    ask(front, "GET /version", { fields: [`Host: ${host}`], secure }).status;

  test("only those named are answered in plaintext, whatever the port", () => {
    expect(["good", "good:99", "[::1]:2379", "::1"].map((host) => status(host))).toEqual([
      ...[200, 200, 200, 200],
    ]);
    expect(["evil", "evil:1", "good.evil", "", "a:b:c"].map((host) => status(host))).toEqual([
      ...[421, 421, 421, 421, 421],
    ]);
    const { body, fields } = ask(front, "GET /v3/kv/range", { fields: ["Host: evil:1"] });
    expect(body).toContain('--host-whitelist "evil"');
    expect(fields.join()).not.toContain("access-control");
  });

  test("do not count inside of TLS, nor where observers ask", () => {
    expect(status("evil", true)).toBe(200);
    const fields = ["Host: evil"];
    expect(ask(front, "GET /metrics", { kind: "observers", fields }).status).toBe(200);
  });
});

describe("in Aether's own words", () => {
  const front = frontWith({
    ...{ cors: [], hostWhitelist: ["also.example"] },
    ownHosts: new Set(["localhost", "node1"]),
  });
  const asked = (fields: string[], more: Asked = {}, line = "GET /version"): number =>
    ask(front, line, { fields, ...more }).status;

  test("our own names, addresses and those allowed may stand in Host", () => {
    const good = ["localhost:2379", "node1", "NODE1:1", "10.1.2.3:2379", "[::1]:2379", "[fe80::1]"];
    for (const host of [...good, "also.example:1"]) expect(asked([`Host: ${host}`])).toBe(200);
    const evil = ["evil.example", "evil.example:2379", "node1.evil", "10.1.2.3.evil", "localhost."];
    for (const host of evil) {
      expect(asked([`Host: ${host}`])).toBe(421);
      for (const kind of ["observers", "peers"] as const) {
        expect(asked([`Host: ${host}`], { kind })).toBe(421);
      }
    }
    expect(asked(["Host: evil.example"], { secure: true })).toBe(200);
    expect(ask(front, "GET /version", { fields: ["Host: e"] }).body).toContain(
      'allowed_hosts = ["e"]',
    );
    expect(front.refusedCount).toBeGreaterThan(10);
  });

  test("pages of other sites may ask for nothing, also where they cannot read the answer", () => {
    const host = "Host: localhost:2379";
    const put = "POST /v3/kv/put";
    for (const origin of [
      "http://evil.example",
      "null",
      "https://localhost:1",
      "http://localhost",
    ]) {
      expect(asked([host, `Origin: ${origin}`], {}, put)).toBe(403);
      expect(asked([host, `Origin: ${origin}`], { secure: true }, put)).toBe(403);
      expect(asked([host, `Origin: ${origin}`], {}, "OPTIONS /v3/kv/put")).toBe(403);
    }
    expect(asked([host, "Origin: http://localhost:2379"])).toBe(200); // our own page
    const fields = ask(front, "GET /version", { fields: [host] }).fields;
    expect(fields.join()).not.toContain("access-control");
  });

  test("an origin that was named is let in", () => {
    const open = frontWith({ cors: ["http://a"], ownHosts: new Set(["h"]) });
    const { status, fields } = ask(open, "GET /version", {
      fields: ["Host: h", "Origin: http://a"],
    });
    expect(status).toBe(200);
    expect(fields).toContain("access-control-allow-origin: http://a");
  });

  test("own are this machine's name and those of its addresses", () => {
    const names = ownHosts(
      {
        listenClient: ["http://Node1.example:2379", "unix:/run/a"],
        ...{ listenClientHttp: [], listenPeer: ["10.0.0.1:2380"], listenMetrics: [] },
        clientUrls: ["https://told.example:2379", "nonsense"],
      },
      "Machine",
    );
    for (const name of ["node1.example", "told.example", "machine", "localhost"]) {
      expect(names.has(name)).toBe(true);
    }
    expect(names.has("nonsense")).toBe(false);
  });
});

test("a named certificate is not passed over where users count", () => {
  const front = frontWith({ namesCount: () => true });
  const as = (peerName: string | undefined, line: string): number =>
    ask(front, line, { secure: true, ...(peerName === undefined ? {} : { peerName }) }).status;
  expect(as("alice", "GET /v3/kv/range")).toBe(400);
  expect(as("alice", "GET /version")).toBe(200);
  expect(as(undefined, "GET /v3/kv/range")).toBe(501);
  expect(as("", "GET /v3/kv/range")).toBe(501);
});

describe("who answers", () => {
  test("the gateway under /v3/, and under its oldest name", () => {
    const front = frontWith();
    for (const path of ["/v3/kv/put", "/v3beta/kv/put"]) {
      expect(ask(front, `POST ${path}`, { body: "{}" }).body).toContain("unknown service");
    }
    expect(ask(front, "POST /v3/nothing").body).toBe('{"code":5,"message":"Not Found"}');
    const without = frontWith({ gateway: undefined });
    for (const path of ["/v3/kv/put", "/v3beta/kv/put", "/v3"]) {
      expect(ask(without, `POST ${path}`).body).toBe("404 page not found\n");
    }
  });

  test("pages of members at their addresses, or at those of clients", () => {
    const front = frontWith();
    const peers = (line: string) => ask(front, line, { kind: "peers" });
    expect(peers("GET /members")).toMatchObject({
      status: 200,
      body:
        '[{"id":18446744073709551615,"peerURLs":["http://p"],"name":"a",' +
        '"clientURLs":["http://c"]},{"id":7,"peerURLs":["http://q"],"isLearner":true}]\n',
    });
    expect(peers("GET /members").fields).toContain("x-etcd-cluster-id: abc");
    expect(JSON.parse(peers("GET /version").body).etcdserver).toBe("3.7.1");
    expect([peers("POST /members").status, peers("OPTIONS /version").status]).toEqual([405, 405]);
    expect(["/health", "/metrics", "/v3/kv/put", "/"].map((p) => peers(`GET ${p}`).status)).toEqual(
      [404, 404, 404, 404],
    );
    expect(ask(front, "GET /members").status).toBe(404);
    expect(ask(frontWith({ isShared: true }), "GET /members").status).toBe(200);
  });

  test("who the members are is told to who could be one", () => {
    const front = frontWith();
    const status = (peer: string, peerName?: string): number =>
      ask(front, "GET /members", { kind: "peers", peer, ...(peerName && { peerName }) }).status;
    expect([status("10.0.0.1:1"), status("10.0.0.1:1", "member"), status("unix")]).toEqual([
      ...[403, 200, 200],
    ]);
    const stranger = { kind: "peers", peer: "10.0.0.1:1" } as const;
    const { body, fields } = ask(front, "GET /members", stranger);
    expect(body).toContain("AETHER_CLUSTER_SECRET");
    expect(fields.join()).not.toContain("cluster-id");
    expect(ask(front, "GET /version", stranger).status).toBe(200);
  });

  test("and, where users are on, to nobody who has not said which he is", () => {
    const front = frontWith({ isShared: true, usersCount: () => true });
    const paths = ["/members", "/cluster", "/debug/vars", "/health", "/version", "/metrics"];
    const statuses = (kind: "clients" | "observers"): number[] =>
      paths.map((path) => ask(front, `GET ${path}`, { kind }).status);
    expect(statuses("clients")).toEqual([403, 403, 403, 200, 200, 200]);
    expect(ask(front, "GET /cluster").body).toContain("MemberList with a token");
    expect(statuses("observers")).toEqual([404, 200, 404, 200, 404, 200]);
  });

  test("variables, and profiles only where they are wanted", () => {
    const front = frontWith();
    const { body, fields } = ask(front, "GET /debug/vars");
    expect(body).toBe('{\n"a": 1,\n"b": {"c":2}\n}\n');
    expect(fields).toContain("content-type: application/json; charset=utf-8");
    expect(ask(front, "POST /debug/vars").status).toBe(405);
    for (const path of ["/debug/pprof/", "/debug/pprof/heap", "/debug"]) {
      expect(ask(front, `GET ${path}`).status).toBe(404);
    }
    const profiles = new Profiles(() => DATE_MS, ["a", "b"]);
    const debug = new DebugPages({ variables: () => ({}), profiles });
    const wanted = frontWith({ debug });
    const status = (path: string): number => ask(wanted, `GET ${path}`).status;
    expect(["", "/", "/cmdline", "/heap"].map((p) => status(`/debug/pprof${p}`))).toEqual([
      ...[307, 200, 200, 200],
    ]);
    expect(["/goroutine", "/nothing", "x"].map((p) => status(`/debug/pprof${p}`))).toEqual([
      ...[501, 404, 404],
    ]);
    expect(ask(wanted, "GET /debug/pprof/cmdline").body).toBe("a\0b");
    for (const seconds of ["0", "-1", "x", "301", "1e9"]) {
      expect(status(`/debug/pprof/profile?seconds=${seconds}`)).toBe(400);
    }
  });
});

test("roundabout paths are sent on", () => {
  const cases: [string, string | undefined][] = [
    ["/health", undefined],
    ["/", undefined],
    ["/a/", undefined],
    ["/.well-known", undefined],
    ["//v3/kv/put", "/v3/kv/put"],
    ["/v3//kv/put", "/v3/kv/put"],
    ["/a/./b/", "/a/b/"],
    ["/a/../health", "/health"],
    ["/../../health", "/health"],
    ["/..", "/"],
    ["//", "/"],
    ["/v3", "/v3/"],
    ["*", undefined],
  ];
  for (const [path, target] of cases)
    expect([path, cleanTarget(path, "", true)]).toEqual([path, target]);
  expect(cleanTarget("//a", "b=c", true)).toBe("/a?b=c");
  expect(cleanTarget("/v3", "", false)).toBeUndefined();
  const front = frontWith();
  const sent = ask(front, "GET //version?a=<b>");
  expect([sent.status, sent.fields.includes("location: /version?a=<b>")]).toEqual([307, true]);
  expect(sent.body).toContain("&lt;b&gt;");
  expect(ask(front, "POST //v3/kv/put", { body: "{}" })).toMatchObject({ status: 307, body: "" });
});
