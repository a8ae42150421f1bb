/** The gate around the methods: what each RPC needs, and who shows what. */
import { describe, expect, test } from "bun:test";
import type { AetherError } from "../../src/base/errors.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  Auth,
  AuthenticateRequest,
  AuthUserAddRequest,
  Cluster,
  Compare,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseKeepAliveRequest,
  LeaseLeasesRequest,
  LeaseTimeToLiveRequest,
  Maintenance,
  MemberAddRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
  Watch,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { SERVICES } from "../../src/proto/gen/registry.ts";
import { Lock } from "../../src/proto/gen/v3lockpb.ts";
import { Authorizer, type AuthorizerParts } from "../../src/rpc/authorize.ts";
import { rowOf } from "../../src/rpc/authorize-table.ts";
import { callerKeys } from "../../src/rpc/caller-keys.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { ServerCall, StreamHandler } from "../../src/wire/grpc/server-call.ts";
import { codeOf } from "../state/driver.ts";
import { type AuthHarness, enabled } from "./auth-harness.ts";
import { bytesOfMessage, FakeCall, type Harness } from "./harness.ts";

const EMPTY = "3 etcdserver: user name is empty";
const DENIED = "7 etcdserver: permission denied";
const BAD_TOKEN = "16 etcdserver: invalid auth token";

/** A request that an RPC can read, about one key. */
function requestOf(path: string, key: string): Uint8Array {
  const compare = Compare.create({ key });
  if (path.endsWith("/Txn")) return bytesOfMessage(TxnRequest, { compare: [compare] });
  const createRequest = WatchCreateRequest.create({ key });
  if (path.endsWith("/Watch")) return bytesOfMessage(WatchRequest, { createRequest });
  if (path.endsWith("/MemberAdd")) {
    return bytesOfMessage(MemberAddRequest, { peerURLs: ["http://127.0.0.1:1"] });
  }
  return bytesOfMessage(RangeRequest, { key }); // as good a message as any
}

describe("the table", () => {
  const paths = SERVICES.flatMap(({ methods }) => Object.values(methods).map(({ path }) => path));

  test("has a row for every RPC of every service, and none by default", () => {
    for (const path of paths) expect(rowOf(path)).toBeDefined();
    expect(() => rowOf("/etcdserverpb.KV/New")).toThrow("has no row");
  });

  test("lets anybody in where nothing is at stake, and only there", () => {
    const open = paths.filter((path) => {
      const { needs } = rowOf(path);
      return needs === "nothing" || needs === "valid token";
    });
    expect(open.map((path) => path.replace(/\.v1(alpha)?\./, ".")).sort()).toEqual([
      "/aether.AetherAuth/AuthStatus",
      "/aether.AetherAuth/Authenticate",
      "/etcdserverpb.Auth/AuthStatus",
      "/etcdserverpb.Auth/Authenticate",
      "/grpc.health.Health/Check",
      "/grpc.health.Health/Watch",
      "/grpc.reflection.ServerReflection/ServerReflectionInfo",
      "/grpc.reflection.ServerReflection/ServerReflectionInfo",
    ]);
  });

  test("refuses every served call of nobody and of a strange token, and takes it when off", () => {
    const harness = enabled();
    const spared: string[] = [];
    for (const [path, method] of harness.methods) {
      const isStream = "stream" in method;
      const request = requestOf(path, "k");
      if (rowOf(path).needs === "nothing") continue;
      for (const shown of [[], ["token", "strange"], ["authorization", "Bearer strange"]]) {
        const call = harness.start(path, request, shown);
        if (isStream) harness.say(call, request);
        harness.driven.settle();
        const isRefused = call.text === EMPTY || call.text === BAD_TOKEN;
        if (!isRefused) spared.push(`${path} ${shown.join(" ")}: ${call.text}`);
      }
    }
    expect(spared.sort()).toEqual([
      "/aether.v1.AetherAuth/AuthStatus : 0",
      // A watcher is refused in its own words, and the stream stays.
      ...["", "authorization Bearer strange", "token strange"].map(
        (shown) => `/aether.v1.AetherWatch/Watch ${shown}: open`,
      ),
      "/etcdserverpb.Auth/AuthStatus : 0",
      ...["", "authorization Bearer strange", "token strange"].map(
        (shown) => `/etcdserverpb.Watch/Watch ${shown}: open`,
      ),
    ]);
  });

  test("keeps a user without rights from everything but asking who is there", () => {
    const harness = enabled();
    const allowed: string[] = [];
    for (const [path, method] of harness.methods) {
      if (rowOf(path).needs === "nothing" || /Watch$/.test(path)) continue;
      const request = requestOf(path, "z");
      const call = harness.start(path, request, harness.token("n"));
      if ("stream" in method) harness.say(call, request);
      harness.driven.settle();
      if (call.text !== DENIED) allowed.push(path.replace(/^.*\./, ""));
    }
    // Leases without keys are everybody's, as in etcd.
    expect([...new Set(allowed)].sort()).toEqual([
      "AetherAuth/AuthStatus",
      "AetherCluster/MemberList",
      "AetherLease/LeaseGrant",
      "AetherLease/LeaseKeepAlive",
      "AetherLease/LeaseRevoke",
      "AetherLease/LeaseTimeToLive",
      "AetherMaintenance/AlarmList",
      "AetherMaintenance/Status",
      "Auth/AuthStatus",
      "Cluster/MemberList",
      "Lease/LeaseGrant",
      "Lease/LeaseKeepAlive",
      "Lease/LeaseRevoke",
      "Lease/LeaseTimeToLive",
      "Maintenance/Alarm",
      "Maintenance/Status",
    ]);
  });
});

describe("who asks", () => {
  const range = (harness: Harness, metadata: readonly string[], key = "k"): string =>
    harness.call(KV.Range.path, RangeRequest, { key }, metadata).text;

  test("shows a token, as `token` or as `authorization`, with Bearer or without", () => {
    const harness = enabled();
    const [, token = ""] = harness.token("u");
    expect(range(harness, ["token", token])).toBe("0");
    expect(range(harness, ["token", `Bearer ${token}`])).toBe("0");
    expect(range(harness, ["authorization", token])).toBe("0");
    expect(range(harness, ["authorization", `Bearer ${token}`])).toBe("0");
    expect(range(harness, ["authorization", `bearer ${token}`])).toBe(BAD_TOKEN);
    expect(range(harness, ["token", "x", "authorization", token])).toBe(BAD_TOKEN);
    expect(range(harness, ["token", ""])).toBe(BAD_TOKEN);
    expect(range(harness, [])).toBe(EMPTY);
    expect(range(harness, ["token", token], "z")).toBe(DENIED);
  });

  test("is told first what is wrong with the request, whoever it is", () => {
    const harness = enabled();
    expect(range(harness, [], "")).toBe("3 etcdserver: key is not provided");
    expect(range(harness, ["token", "x"], "")).toBe("3 etcdserver: key is not provided");
    const badUrl = bytesOfMessage(MemberAddRequest, { peerURLs: ["http://127.0.0.1"] });
    for (const shown of [[], ["token", "x"]]) {
      const { text } = harness.start(Cluster.MemberAdd.path, badUrl, shown);
      expect(text).toBe("3 etcdserver: given member URLs are invalid");
    }
  });

  test("is told of no room before that he is nobody, but after that his token is bad", () => {
    const harness = enabled();
    const put = (shown: string[]): string =>
      harness.start(KV.Put.path, bytesOfMessage(PutRequest, { key: "k" }), shown).text;
    expect(put([])).toBe(EMPTY);
    const [action, alarm] = [AlarmAction.ACTIVATE, AlarmType.NOSPACE];
    harness.log(CommandKind.alarm, AlarmRequest, { action, alarm, memberID: 1n });
    expect(put([])).toBe("8 etcdserver: mvcc: database space exceeded");
    expect(put(["token", "x"])).toBe(BAD_TOKEN);
    const read = bytesOfMessage(TxnRequest, { compare: [Compare.create({ key: "k" })] });
    expect(harness.start(KV.Txn.path, read, []).text).toBe(EMPTY);
  });

  test("needs no name to ask for nothing, but a good token if he shows one", () => {
    const harness = enabled();
    const nothing = (shown: string[]): string =>
      harness.start(KV.Txn.path, new Uint8Array(0), shown).text;
    expect([nothing([]), nothing(["token", "x"])]).toEqual(["0", BAD_TOKEN]);
  });

  test("has a token as long as it is used, and until his password or he is gone", () => {
    const harness = enabled();
    const metadata = harness.token("u");
    for (let i = 0; i < 3; i++) {
      harness.driven.clock.nowMs += 299_000;
      expect(range(harness, metadata)).toBe("0");
    }
    harness.driven.clock.nowMs += 300_000;
    expect(range(harness, metadata)).toBe(BAD_TOKEN);
    const again = harness.token("u");
    harness.auth.onAuth({ of: "user", user: "n" });
    expect(range(harness, again)).toBe("0");
    harness.auth.onAuth({ of: "user", user: "u" });
    expect(range(harness, again)).toBe(BAD_TOKEN);
    const last = harness.token("u");
    harness.auth.onAuth({ of: "everybody" });
    expect(range(harness, last)).toBe(BAD_TOKEN);
  });

  test("may be named by a certificate, if that is wanted and no gateway stands between", () => {
    const { driven } = enabled();
    const { group, clock, turn } = driven;
    const authorizer = (clientCertAuth: boolean): Authorizer => {
      const tokens = new SimpleTokens(clock, 300);
      return new Authorizer({ group, tokens, clientCertAuth, clock, turn });
    };
    const call = (fields: string[], peerName: string | undefined): ServerCall =>
      Object.assign(new FakeCall(KV.Range.path, fields), { peerName }) as ServerCall;
    const { revision: authRevision } = group.machine.auth;
    const named = authorizer(true);
    expect(named.callerOf(call([], "u"))).toEqual({ user: "u", authRevision });
    expect(named.callerOf(call([], undefined))).toBeUndefined();
    expect(named.callerOf(call(["grpcgateway-accept", "*/*"], "u"))).toBeUndefined();
    expect(() => named.callerOf(call(["token", "x"], "u"))).toThrow("invalid_auth_token");
    expect(authorizer(false).callerOf(call([], "u"))).toBeUndefined();
  });
});

describe("the gate", () => {
  const { driven } = enabled();
  const { clock, turn } = driven;

  function gate(group: AuthorizerParts["group"]): {
    readonly tokens: SimpleTokens;
    auth: Authorizer;
  } {
    const tokens = new SimpleTokens(clock, 300);
    return { tokens, auth: new Authorizer({ group, tokens, clientCertAuth: false, clock, turn }) };
  }

  test("forgets tokens with the state that they belong to", () => {
    const replaced = enabled().driven.group.machine;
    const group = { machine: driven.group.machine, appliedIndex: 9 };
    const { auth, tokens } = gate(group);
    auth.onAuth({ of: "token", user: "root", token: "t.1", index: 1 });
    const call = new FakeCall(KV.Range.path, ["token", "t.1"]);
    expect(auth.callerOf(call)?.user).toBe("root");
    group.machine = replaced;
    expect(() => auth.callerOf(call)).toThrow("invalid_auth_token");
    expect(tokens.size).toBe(0);
  });

  test("takes no certificate's name that a gateway passes on (CVE-2018-16886)", () => {
    const [tokens, { clock, turn }] = [new SimpleTokens(driven.clock, 300), driven];
    const parts = { group: driven.group, tokens, clock, turn };
    const name = (clientCertAuth: boolean, metadata: string[], peerName?: string) => {
      const auth = new Authorizer({ ...parts, clientCertAuth });
      const call = Object.assign(new FakeCall(KV.Range.path, metadata), { peerName });
      return auth.callerOf(call as ServerCall)?.user;
    };
    expect(name(true, [], "root")).toBe("root");
    expect(name(true, ["grpcgateway-accept", "*/*"], "root")).toBeUndefined();
    expect(name(false, [], "root")).toBeUndefined();
    expect(name(true, [])).toBeUndefined();
    expect(() => name(true, ["token", "x"], "root")).toThrow("invalid_auth_token"); // no way back
  });

  test("lets nobody in whose certificate names no user", () => {
    const harness = enabled();
    const [tokens, { group, clock, turn }] = [new SimpleTokens(driven.clock, 300), harness.driven];
    const auth = new Authorizer({ group, tokens, clientCertAuth: true, clock, turn });
    const served: string[] = [];
    const unary = (call: ServerCall): void => void served.push(call.path);
    const paths = [Cluster.MemberList, Lease.LeaseGrant, Maintenance.Status, KV.Range];
    const methods = auth.guard(paths.map(({ path }) => ({ path, unary })));
    const ask = (peerName: string): string[] =>
      methods.map((method) => {
        if (!("unary" in method)) throw new Error("a unary method stays one");
        const call = Object.assign(new FakeCall(method.path), { peerName });
        const request = requestOf(method.path, "k");
        return codeOf(() => method.unary(call as ServerCall, request, 0, request.length));
      });
    for (const stranger of ["who", ""]) {
      expect(new Set(ask(stranger))).toEqual(new Set(["permission_denied"]));
    }
    expect(served).toEqual([]);
    expect(new Set(ask("n"))).toEqual(new Set(["none"]));
    expect(served.length).toBe(paths.length); // the keys are judged behind the gate
  });

  test("opens no stream that needs root to anybody else", () => {
    const { auth } = gate(driven.group);
    const opened: string[] = [];
    const stream = (call: ServerCall): StreamHandler => {
      opened.push(call.path);
      return { onMessage() {}, onHalfClose() {}, onCancel() {}, onDrain() {} };
    };
    const [method] = auth.guard([{ path: Maintenance.Snapshot.path, stream }]);
    if (method === undefined || !("stream" in method)) throw new Error("a stream stays one");
    for (const user of ["u", "root"])
      auth.onAuth({ of: "token", user, token: `${user}.1`, index: 1 });
    const open = (shown: string[]): string =>
      codeOf(() => method.stream(new FakeCall(Maintenance.Snapshot.path, shown)));
    const codes = [[], ["token", "u.1"], ["token", "x"], ["token", "root.1"]].map(open);
    expect(codes).toEqual(["user_empty", "permission_denied", "invalid_auth_token", "none"]);
    expect(opened.length).toBe(1);
  });

  test("lets operations of coordination do what their caller may, and no more", async () => {
    const harness = enabled();
    const { group, random } = harness.driven;
    const keysOf = (shown: string[]) => {
      const call = new FakeCall(Lock.Lock.path, shown);
      return callerKeys({ group, random, ttlSecondsMin: 2 }, harness.auth, call);
    };
    const ended = async (work: Promise<unknown>): Promise<string> => {
      const code = work.then(
        () => "none",
        (error: AetherError) => error.code,
      );
      harness.driven.settle();
      return await code;
    };
    const range = (key: string) => RangeRequest.create({ key });
    const user = keysOf(harness.token("u"));
    expect(await ended(user.range(range("k")))).toBe("none");
    expect(await ended(user.range(range("z")))).toBe("permission_denied");
    expect(await ended(user.delete("z"))).toBe("permission_denied");
    expect(await ended(user.delete("k"))).toBe("none");
    expect(await ended(keysOf([]).range(range("k")))).toBe("user_empty");
    expect(await ended(keysOf([]).delete("k"))).toBe("user_empty");
  });
});

describe("a token of an entry that is not applied here", () => {
  /** A token whose entry is `ahead` entries away. */
  const early = (harness: Harness, ahead: number): string =>
    `abcdefghijklmnop.${harness.driven.group.appliedIndex + ahead}`;

  test("lets the call wait for it", () => {
    const harness = enabled();
    const token = early(harness, 1);
    const call = harness.start(KV.Range.path, bytesOfMessage(RangeRequest, { key: "k" }), [
      ...["token", token],
    ]);
    harness.driven.settle();
    expect(call.text).toBe("open");
    expect(harness.token("u")).toEqual(["token", token]);
    harness.driven.settle();
    expect(call.text).toBe("0");
  });

  test("is nobody's if the entry is another one, or does not come in five seconds", () => {
    const harness = enabled();
    const request = bytesOfMessage(RangeRequest, { key: "k" });
    const passed = harness.start(KV.Range.path, request, ["token", early(harness, 1)]);
    const never = harness.start(KV.Range.path, request, ["token", early(harness, 1000)]);
    harness.log(CommandKind.leaseGrant, LeaseGrantRequest, { ID: 9n, TTL: 9 });
    harness.auth.tick();
    harness.driven.settle();
    expect([passed.text, never.text]).toEqual([BAD_TOKEN, "open"]);
    harness.driven.clock.nowMs += 5000;
    harness.auth.tick();
    expect(never.text).toBe(BAD_TOKEN);
  });

  test("lets a stream wait, and what is said on it", () => {
    const harness = enabled();
    const token = early(harness, 1);
    const call = harness.start(Watch.Watch.path, undefined, ["token", token]);
    harness.say(call, requestOf(Watch.Watch.path, "k"));
    harness.driven.settle();
    expect(call.messages).toEqual([]);
    harness.token("u");
    harness.driven.settle();
    expect(call.decode(WatchResponse)).toMatchObject({ created: true, canceled: false });
  });
});

describe("a watcher", () => {
  const created = (
    harness: AuthHarness,
    metadata: readonly string[],
    more: Partial<WatchCreateRequest>,
  ): string => {
    const call = harness.start(Watch.Watch.path, undefined, metadata);
    const createRequest = WatchCreateRequest.create({ key: "k", ...more });
    harness.tell(call, WatchRequest, { createRequest });
    const { watchId, canceled, cancelReason } = call.decode(WatchResponse);
    call.cancel();
    return `${watchId} ${canceled} ${cancelReason}`;
  };

  test("is refused with the text of an error of gRPC, and its stream stays", () => {
    const harness = enabled();
    const user = harness.token("u");
    const refused = (code: string, text: string): string =>
      `-1 true rpc error: code = ${code} desc = etcdserver: ${text}`;
    const denied = refused("PermissionDenied", "permission denied");
    expect(created(harness, user, {})).toBe("0 false ");
    expect(created(harness, user, { key: "z" })).toBe(denied);
    expect(created(harness, user, { rangeEnd: "\0" })).toBe(denied);
    expect(created(harness, user, { key: "" })).toBe(denied);
    expect(created(harness, [], {})).toBe(refused("InvalidArgument", "user name is empty"));
    const strange = ["token", "strange"];
    expect(created(harness, strange, {})).toBe(refused("Unauthenticated", "invalid auth token"));
    expect(created(harness, user, { key: "z", startRevision: -1 })).toContain("compacted");
  });
});

describe("a lease", () => {
  test("is renewed, looked into and listed by who may touch its keys", () => {
    const harness = enabled();
    const look = (ID: bigint, user: string, keys = true): string =>
      harness.call(
        Lease.LeaseTimeToLive.path,
        LeaseTimeToLiveRequest,
        { ID, keys },
        harness.token(user),
      ).text;
    expect([look(1n, "u"), look(2n, "u"), look(2n, "u", false)]).toEqual(["0", DENIED, "0"]);
    expect([look(1n, "n"), look(2n, "root"), look(3n, "u")]).toEqual([DENIED, "0", "0"]);
    const renew = (ID: bigint, user: string): string =>
      harness.call(Lease.LeaseKeepAlive.path, LeaseKeepAliveRequest, { ID }, harness.token(user))
        .text;
    expect([renew(1n, "u"), renew(2n, "u"), renew(2n, "root")]).toEqual(["0", DENIED, "0"]);
    const list = (user: string): string =>
      harness.call(Lease.LeaseLeases.path, LeaseLeasesRequest, {}, harness.token(user)).text;
    expect([list("u"), list("root")]).toEqual([DENIED, "0"]);
  });
});

test("who fails to authenticate is in the log, with where from, and not with what", async () => {
  const harness = enabled();
  const hashedPassword = Bun.password.hashSync("right", { algorithm: "bcrypt", cost: 4 });
  const locked = { name: "p", hashedPassword };
  harness.log(CommandKind.userAdd, AuthUserAddRequest, locked);
  const attempt = (name: string): FakeCall =>
    harness.call(Auth.Authenticate.path, AuthenticateRequest, { name, password: "wrong" });
  const failed = "3 etcdserver: authentication failed, invalid user ID or password";
  const nameless = { name: "c", options: { noPassword: true } };
  harness.log(CommandKind.userAdd, AuthUserAddRequest, nameless);
  for (const name of ["x".repeat(100), "p", "c"]) {
    const call = attempt(name);
    while (call.ending === undefined) await Bun.sleep(1);
    expect(call.text).toBe(failed); // whether there is such a user is nobody's business
  }
  expect(harness.logged).toEqual([
    `authentication failed user=${"x".repeat(64)} remote=127.0.0.1:1`,
    "authentication failed user=p remote=127.0.0.1:1",
    "authentication failed user=c remote=127.0.0.1:1",
  ]);
  expect(attempt("x".repeat(17_000)).text).toBe("3 etcdserver: request is too large");
});

test("tokens drawn are letters, and no two alike", () => {
  const tokens = new SimpleTokens({ monotonicMs: () => 0, wallMs: () => 0 }, 0);
  const drawn = Array.from({ length: 200 }, () => tokens.draw());
  expect(new Set(drawn).size).toBe(200);
  expect(drawn.every((each) => /^[A-Za-z]{16}$/.test(each))).toBe(true);
  expect(new Set(drawn.join("")).size).toBe(52);
});
