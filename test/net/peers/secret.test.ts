/**
 * Members that share a secret: what a stranger hears of them, says to them, and changes on the way
 * is worth nothing; the secret itself is never said.
 */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { AetherError } from "../../../src/base/errors.ts";
import { Secret } from "../../../src/base/secret.ts";
import { IGNORING } from "../../../src/net/peers/calls.ts";
import { encodeMessages, type FrameIds } from "../../../src/net/peers/frame.ts";
import { helloFields } from "../../../src/net/peers/hello.ts";
import type { PeersOptions } from "../../../src/net/peers/peers.ts";
import type { CallerSession } from "../../../src/net/peers/proofs.ts";
import {
  BROKEN,
  type CallSeals,
  ConnectionKey,
  NONCE_BYTES,
  PROOF_BYTES,
  SEAL_BYTES,
} from "../../../src/net/peers/seal.ts";
import { peerServer } from "../../../src/net/peers/server.ts";
import { openSession } from "../../../src/net/peers/session.ts";
import {
  AetherPeer,
  ChallengePeerRequest,
  ChallengePeerResponse,
  HashKVPeerRequest,
  MemberInfoRequest,
  MemberInfoResponse,
} from "../../../src/proto/gen/aether.v1.ts";
import type { ClientCall } from "../../../src/wire/grpc/client-call.ts";
import { GrpcClientConnection } from "../../../src/wire/grpc/client-connection.ts";
import type {
  Failure,
  Method,
  ServerCall,
  StreamHandler,
} from "../../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { CLUSTER, heartbeat, ID, introduce, pipedMember } from "./members.ts";
import { type Pipe, PipeNet, ToyTimers, turn } from "./pipes.ts";

const SECRET = "grün & geheim, und lang genug";
const IDS: FrameIds = { clusterId: CLUSTER, from: ID(2), to: ID(1) };
const RAFT = AetherPeer.Raft.path;

describe("seals", () => {
  const nonces = [1, 2].map((byte) => new Uint8Array(NONCE_BYTES).fill(byte)) as [
    Uint8Array,
    Uint8Array,
  ];
  const keyOf = (secret: string, [a, b] = nonces): ConnectionKey =>
    new ConnectionKey(new Secret(secret), a, b);
  const sealed = (seals: CallSeals, text: string): Buffer => {
    const out = new ByteWriter(64);
    out.append(Buffer.from(text));
    seals.seal(out);
    return Buffer.from(out.view());
  };
  const open = (seals: CallSeals, bytes: Uint8Array): number => seals.open(bytes, 0, bytes.length);

  test("fit what was said, in its order and of any length", () => {
    const [caller, receiver] = [keyOf("a").seals(1, "caller"), keyOf("a").seals(1, "receiver")];
    for (const text of ["", "one", "two", "two", "x".repeat(100_000)]) {
      expect(open(receiver, sealed(caller, text))).toBe(text.length);
    }
    expect(open(caller, sealed(receiver, "answer"))).toBe(6);
  });

  test("do not fit on another connection, call, side or place, nor other bytes", () => {
    const said = (): Buffer => sealed(keyOf("a").seals(1, "caller"), "text");
    const fresh = (): CallSeals => keyOf("a").seals(1, "receiver");
    expect(open(fresh(), said())).toBe(4);
    const others: [string, CallSeals][] = [
      ["another secret", keyOf("b").seals(1, "receiver")],
      ["another connection", keyOf("a", [nonces[0], nonces[0]]).seals(1, "receiver")],
      ["another call", keyOf("a").seals(2, "receiver")],
      ["back to who said it", keyOf("a").seals(1, "caller")],
    ];
    for (const [what, seals] of others) expect([what, open(seals, said())]).toEqual([what, BROKEN]);
    const twice = fresh();
    expect([open(twice, said()), open(twice, said())]).toEqual([4, BROKEN]);
    for (let bit = 0; bit < 8 * (4 + SEAL_BYTES); bit++) {
      const bytes = said();
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(open(fresh(), bytes)).toBe(BROKEN);
    }
    for (let length = 0; length < 4 + SEAL_BYTES; length++) {
      expect(open(fresh(), said().subarray(0, length))).toBe(BROKEN);
    }
  });

  test("are HMAC-SHA-256 as it is written down, worked out here by node:crypto", async () => {
    const { createHmac } = await import("node:crypto");
    const hmac = (key: Uint8Array | string, ...parts: (Uint8Array | string)[]): Buffer => {
      const hash = createHmac("sha256", key);
      for (const part of parts) hash.update(part);
      return hash.digest();
    };
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(7n);
    const key = hmac("a", "aether peer key 1", ...nonces);
    const proof = hmac(key, "call", number, "/path\0hello").subarray(0, 16);
    expect(keyOf("a").proof(7, "/path", "hello")).toEqual(Buffer.concat([number, proof]));
    const seal = hmac(key, Buffer.from([1]), number, Buffer.alloc(8), "text").subarray(0, 16);
    const said = sealed(keyOf("a").seals(7, "caller"), "text");
    expect(said).toEqual(Buffer.concat([Buffer.from("text"), seal]));
  });

  test("of a failure fit it alone, behind what was said before", () => {
    const receiver = keyOf("a").seals(1, "receiver");
    const caller = keyOf("a").seals(1, "caller");
    const seal = receiver.sealFailure("compacted");
    expect(caller.fitsFailure(seal, "compacted")).toBe(true);
    expect(caller.fitsFailure(seal, "compactee")).toBe(false);
    expect(caller.fitsFailure(seal.subarray(0, 15), "compacted")).toBe(false);
    expect(keyOf("a").seals(2, "caller").fitsFailure(seal, "compacted")).toBe(false);
    expect(keyOf("b").seals(1, "caller").fitsFailure(seal, "compacted")).toBe(false);
    const said = sealed(receiver, "compacted");
    expect(caller.fitsFailure(said.subarray(-SEAL_BYTES), "compacted")).toBe(false);
    expect(open(caller, Buffer.concat([Buffer.from("compacted"), seal]))).toBe(BROKEN);
    expect(keyOf("a").seals(1, "caller").fitsFailure(receiver.sealFailure("x"), "x")).toBe(false);
  });

  test("of calls: a proof is good for its number, path and hello", () => {
    const key = keyOf("a");
    const proof = key.proof(7, "/path", "hello");
    expect(key.checkedNumber(proof, "/path", "hello")).toBe(7);
    expect(key.checkedNumber(proof, "/other", "hello")).toBeUndefined();
    expect(key.checkedNumber(proof, "/pat", "hhello")).toBeUndefined();
    expect(key.checkedNumber(proof, "/path", "hallo")).toBeUndefined();
    expect(keyOf("b").checkedNumber(proof, "/path", "hello")).toBeUndefined();
    expect(key.checkedNumber(key.proof(2 ** 53, "/p", "h"), "/p", "h")).toBeUndefined();
    for (let length = 0; length < PROOF_BYTES; length++) {
      expect(key.checkedNumber(proof.subarray(0, length), "/path", "hello")).toBeUndefined();
    }
    proof[7] = 8;
    expect(key.checkedNumber(proof, "/path", "hello")).toBeUndefined();
  });
});

/** How a call of a stranger went. */
interface Went {
  call: ClientCall;
  answers: Buffer[];
  code: GrpcCode | undefined;
  message: string;
}

/** Member 1 with a secret, which knows 2, and connections to it. */
async function target(extra: Partial<PeersOptions> = {}) {
  const timers = new ToyTimers();
  const net = new PipeNet(timers, 1);
  const member = pipedMember(1, net, timers, { secret: new Secret(SECRET), ...extra });
  member.peers.setPeers([{ id: ID(2), urls: ["http://member-2:1"] }]);
  const connect = async (): Promise<GrpcClientConnection> => {
    const grpc = new GrpcClientConnection({ scheme: "http", authority: "x", nowMs: 0 });
    await net.dial(
      member.url,
      0,
      () => grpc,
      () => undefined,
    );
    return grpc;
  };
  const session = async (grpc: GrpcClientConnection, secret = SECRET): Promise<CallerSession> => {
    const opening = openSession(grpc, new Secret(secret), 10_000);
    await turn();
    return await opening;
  };
  return { member, connect, session };
}

async function call(
  grpc: GrpcClientConnection,
  fields: readonly string[],
  path = RAFT,
  message?: Uint8Array,
): Promise<Went> {
  const went: Partial<Went> = { answers: [], code: undefined, message: "" };
  went.call = grpc.call(path, fields, undefined, {
    onHeaders: () => undefined,
    onDrain: () => undefined,
    onMessage: (bytes, start, end) => went.answers?.push(Buffer.from(bytes.subarray(start, end))),
    onEnd: (code, text) => Object.assign(went, { code, message: text }),
  });
  if (message !== undefined) {
    went.call.send(message, 0, message.length);
    went.call.halfClose();
  }
  await turn();
  return went as Went;
}

const HELLO = helloFields(IDS, 0, new ByteWriter(64));

describe("a caller", () => {
  test("comes in with the secret", async () => {
    const { member, connect, session } = await target();
    const grpc = await connect();
    const { fields, seals } = (await session(grpc)).begin(RAFT, HELLO);
    const went = await call(grpc, fields);
    expect(went.code).toBeUndefined();
    const welcome = went.answers[0] as Buffer;
    expect(seals.open(welcome, 0, welcome.length)).toBe(welcome.length - SEAL_BYTES);
    const out = new ByteWriter(256);
    encodeMessages(out, IDS, 1, [heartbeat(2, 1, 7)], 0, 1);
    seals.seal(out);
    went.call.send(out.bytes, 0, out.length);
    await turn();
    expect(member.seen.messages).toHaveLength(1);
  });

  test("without it learns nothing of the members, not even that it was one", async () => {
    const { member, connect, session } = await target();
    member.peers.setPeers([], [ID(2)]);
    for (const [secret, code] of [
      ["geraten", GrpcCode.UNAUTHENTICATED],
      [SECRET, GrpcCode.PERMISSION_DENIED],
    ] as const) {
      for (const from of [ID(2), ID(9)]) {
        const grpc = await connect();
        const hello = helloFields({ ...IDS, from }, 0, new ByteWriter(64));
        const went = await call(grpc, (await session(grpc, secret)).begin(RAFT, hello).fields);
        expect(went.code).toBe(code);
        expect(went.answers).toEqual([]);
      }
    }
    expect(member.peers.received.refused).toMatchObject({ unauthorized: 2, removed: 1 });
  });

  test("is refused without a challenge, without a proof, or with another call's", async () => {
    const { member, connect, session } = await target();
    const first = await connect();
    const proven = (await session(first)).begin(RAFT, HELLO).fields;
    const unchallenged = await connect();
    const challenged = await connect();
    await session(challenged);
    const elsewhere = await connect();
    const other = (await session(elsewhere)).begin(AetherPeer.MemberInfo.path, HELLO).fields;
    const lane1 = helloFields(IDS, 1, new ByteWriter(64));
    const attempts: [GrpcClientConnection, readonly string[]][] = [
      [unchallenged, HELLO],
      [unchallenged, proven], // heard on another connection
      [challenged, HELLO],
      [challenged, proven],
      [elsewhere, other], // of another method
      [first, [...lane1, ...proven.slice(2)]], // of another hello
      [first, [...HELLO, "x-aether-peer-proof-bin", "%%"]],
      [first, [...HELLO, "x-aether-peer-proof-bin", ""]],
    ];
    for (const [grpc, fields] of attempts) {
      const went = await call(grpc, fields);
      expect(went.code).toBe(GrpcCode.UNAUTHENTICATED);
      expect(went.message).toContain("set the same one on every member (AETHER_CLUSTER_SECRET");
    }
    expect(member.peers.received.refused.unauthorized).toBe(attempts.length);
    expect((await call(first, proven)).code).toBeUndefined(); // where it was made for
  });

  test("cannot repeat a call of the same connection", async () => {
    const { connect, session } = await target();
    const grpc = await connect();
    const { fields } = (await session(grpc)).begin(RAFT, HELLO);
    expect((await call(grpc, fields)).code).toBeUndefined();
    const again = await call(grpc, fields);
    expect([again.code, again.message]).toEqual([GrpcCode.UNAUTHENTICATED, "a call came twice"]);
  });

  test("makes small calls in their order, each once", async () => {
    const { member, connect, session } = await target();
    member.seen.calls.memberInfo = () => MemberInfoResponse.create();
    const grpc = await connect();
    const made = await session(grpc);
    const { path } = AetherPeer.MemberInfo;
    const calls = Array.from({ length: 3 }, () => made.begin(path, HELLO));
    const run = async (at: number): Promise<GrpcCode | undefined> => {
      const { fields, seals } = calls[at] as (typeof calls)[number];
      const out = new ByteWriter(64);
      seals.seal(out);
      return (await call(grpc, fields, path, out.view().slice())).code;
    };
    const codes = [await run(0), await run(2), await run(2), await run(1)];
    const { OK, UNAUTHENTICATED } = GrpcCode;
    expect(codes).toEqual([OK, OK, UNAUTHENTICATED, UNAUTHENTICATED]);
  });

  test("is challenged once, with a nonce of its own each time", async () => {
    const { member, connect } = await target();
    const { path } = AetherPeer.Challenge;
    const ask = async (grpc: GrpcClientConnection, bytes: number): Promise<Went> => {
      const out = new ByteWriter(64);
      ChallengePeerRequest.encode({ nonce: new Uint8Array(bytes) }, out);
      return await call(grpc, [], path, out.view().slice());
    };
    const nonces = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const grpc = await connect();
      expect((await ask(grpc, NONCE_BYTES - 1)).code).toBe(GrpcCode.INVALID_ARGUMENT);
      const [bytes] = (await ask(grpc, NONCE_BYTES)).answers as [Buffer];
      const { nonce } = ChallengePeerResponse.decode(bytes, 0, bytes.length);
      expect(nonce).toHaveLength(NONCE_BYTES);
      nonces.add(Buffer.from(nonce).toString("hex"));
      expect((await ask(grpc, NONCE_BYTES)).message).toContain("challenged once");
    }
    expect(nonces.size).toBe(4);
    expect(member.peers.received.refused.malformed).toBe(4);
  });
});

/** Members 1 and 2 with a secret each, and every byte between them. */
async function pair(secrets: readonly [string | undefined, string | undefined]) {
  const timers = new ToyTimers();
  const net = new PipeNet(timers, 3);
  const wires: Buffer[] = [];
  net.onPipe = (pipe: Pipe) => {
    pipe.spoil = (bytes) => wires.push(Buffer.from(bytes));
  };
  const [a, b] = [1, 2].map((n, i) => {
    const secret = secrets[i];
    const extra = secret === undefined ? {} : { secret: new Secret(secret) };
    return pipedMember(n, net, timers, extra);
  }) as [ReturnType<typeof pipedMember>, ReturnType<typeof pipedMember>];
  introduce(a, b);
  await turn();
  await turn();
  return { a, b, net, timers, wires };
}

describe("two members", () => {
  const up = ({ peers }: ReturnType<typeof pipedMember>): boolean | undefined =>
    peers.status()[0]?.up;
  const reason = ({ peers }: ReturnType<typeof pipedMember>): string | undefined =>
    peers.status()[0]?.reason;

  test("with one secret speak, and never say it", async () => {
    const { a, b, wires } = await pair([SECRET, SECRET]);
    expect([up(a), up(b)]).toEqual([true, true]);
    for (let round = 1; round <= 3; round++) a.peers.send(1, [heartbeat(1, 2, round)]);
    b.seen.calls.memberInfo = () => MemberInfoResponse.create({ name: "b" });
    const asking = a.peers.call(ID(2), AetherPeer.MemberInfo, MemberInfoRequest.create(), 1000);
    await turn();
    expect(b.seen.rounds).toEqual([1, 2, 3]);
    expect((await asking).name).toBe("b");
    const said = Buffer.concat(wires).toString("latin1");
    expect(said.length).toBeGreaterThan(1000);
    const forms = ["utf8", "base64", "base64url", "hex"] as const;
    const bytes = Buffer.from(SECRET);
    expect(said).not.toContain(bytes.toString("latin1"));
    for (const form of forms) expect(said).not.toContain(bytes.toString(form).slice(0, 12));
  });

  test("believe each other's failures, and nobody's between them", async () => {
    const timers = new ToyTimers();
    const net = new PipeNet(timers, 3);
    const [a, b] = [1, 2].map((n) => {
      return pipedMember(n, net, timers, { secret: new Secret(SECRET) });
    }) as [ReturnType<typeof pipedMember>, ReturnType<typeof pipedMember>];
    /** The trailers of who answers in b's place; undefined: nobody does. */
    let forged: readonly string[] | undefined;
    const { path } = AetherPeer.HashKV;
    const methods = b.peers.methods.map((method): Method => {
      if (method.path !== path || !("stream" in method)) return method;
      const stream = (call: ServerCall): StreamHandler => {
        if (forged === undefined) return method.stream(call);
        call.fail(GrpcCode.FAILED_PRECONDITION, "at 7", forged);
        return IGNORING;
      };
      return { path, stream };
    });
    net.servers.set(
      b.url,
      peerServer(methods, (error) => ({ code: 2, message: String(error) })),
    );
    introduce(a, b);
    await turn();
    b.seen.calls.hashKv = () => {
      throw new AetherError("compacted", "grün, at 7");
    };
    const ask = async (): Promise<unknown> => {
      const request = HashKVPeerRequest.create();
      const asking = a.peers.call(ID(2), AetherPeer.HashKV, request, 1000);
      const failure = asking.catch((error: unknown) => error);
      await turn();
      return await failure;
    };
    expect(await ask()).toMatchObject({ code: "compacted", detail: "grün, at 7" });
    const named = ["x-aether-error", "compacted"];
    const seals = ["", "AAAAAAAAAAAAAAAAAAAAAA"].map((seal) => ["x-aether-error-seal-bin", seal]);
    for (const seal of [[], ...seals]) {
      forged = [...named, ...seal];
      expect(await ask()).toMatchObject({ code: "unhealthy" });
    }
  });

  test("with different ones, or one alone, do not, and both say what to set", async () => {
    for (const secrets of [
      [SECRET, "geraten"],
      [SECRET, undefined],
    ] as const) {
      const { a, b } = await pair(secrets);
      expect([up(a), up(b)]).toEqual([false, false]);
      for (const member of [a, b]) {
        expect(reason(member)).toContain("set the same one on every member");
        const told = member.log.lines.filter((line) => line.includes("set the same one on every"));
        expect(told.some((line) => line.startsWith("peer refused"))).toBe(true);
        expect(told.some((line) => line.startsWith("lost"))).toBe(true);
      }
    }
  });

  describe.each([
    ["both know the new one and the one before", "new, old", "new, old", true],
    ["one has it already, and the other knows the one before alone", "new, old", "old", true],
    ["one has forgotten the one before", "new, old", "new", true],
    ["one has forgotten it, and the other knows that alone", "new", "old", false],
    ["one takes one that the other never knew", "new, older", "old", false],
  ])("while the secret is changed", (name, of1, of2, speak) => {
    test(`${name}: they ${speak ? "speak" : "do not speak"}`, async () => {
      const timers = new ToyTimers();
      const net = new PipeNet(timers, 5);
      const [a, b] = [of1, of2].map((known, i) => {
        const [secret, previous] = known.split(", ").map((each) => new Secret(`${each} secret`));
        const secrets = {
          ...(secret && { secret }),
          ...(previous && { previousSecret: previous }),
        };
        return pipedMember(i + 1, net, timers, secrets);
      }) as [ReturnType<typeof pipedMember>, ReturnType<typeof pipedMember>];
      introduce(a, b);
      await timers.pass(10_000);
      expect([up(a), up(b)]).toEqual([speak, speak]);
      a.peers.send(1, [heartbeat(1, 2, 7)]);
      b.peers.send(1, [heartbeat(2, 1, 8)]);
      await turn();
      expect([b.seen.rounds, a.seen.rounds]).toEqual(speak ? [[7], [8]] : [[], []]);
    });
  });

  test("do not believe one that lets everybody in and cannot seal its answers", async () => {
    const timers = new ToyTimers();
    const net = new PipeNet(timers, 3);
    const a = pipedMember(1, net, timers, { secret: new Secret(SECRET) });
    const imposter = pipedMember(2, net, timers);
    imposter.peers.setPeers([{ id: ID(1), urls: [a.url] }]);
    const nonce = new ByteWriter(64);
    ChallengePeerResponse.encode({ nonce: new Uint8Array(NONCE_BYTES) }, nonce);
    const { path } = AetherPeer.Challenge;
    const methods = imposter.peers.methods.filter((method) => method.path !== path);
    const challenge: Method = { path, unary: (call) => call.reply(nonce.bytes, 0, nonce.length) };
    const mapError = (error: unknown): Failure => ({ code: 2, message: String(error) });
    net.servers.set(imposter.url, peerServer([...methods, challenge], mapError));
    a.peers.setPeers([{ id: ID(2), urls: [imposter.url] }]);
    await turn();
    a.peers.send(1, [heartbeat(1, 2, 1)]);
    await turn();
    expect(up(a)).toBe(false);
    expect(reason(a)).toContain("not sealed with the cluster secret");
    expect(imposter.seen.messages).toEqual([]);
  });

  test("notice each bit that is changed between them", async () => {
    const { a, b, net } = await pair([SECRET, SECRET]);
    const toB = net.open.filter(({ url }) => url === b.url);
    expect(toB).toHaveLength(2);
    for (const pipe of toB) {
      pipe.spoil = (bytes) => {
        // The last byte of a frame: its seal. All before it is under the seal and the checksum.
        bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
      };
    }
    a.peers.send(1, [heartbeat(1, 2, 1)]);
    await turn();
    expect(b.seen.messages).toEqual([]);
    expect(b.peers.received.refused.unauthorized).toBe(1);
    expect(b.log.lines.at(-1)).toContain("seal");
  });
});
