/** The transport as its users see it, over real sockets on loopback. */
import { afterEach, describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { AetherError } from "../../../src/base/errors.ts";
import { Secret } from "../../../src/base/secret.ts";
import { Network } from "../../../src/net/network.ts";
import { socketDialer } from "../../../src/net/peers/dial.ts";
import { helloFields } from "../../../src/net/peers/hello.ts";
import type { PeerDialer } from "../../../src/net/peers/ports.ts";
import { openSession } from "../../../src/net/peers/session.ts";
import { AetherPeer, ChallengePeerResponse } from "../../../src/proto/gen/aether.v1.ts";
import { GrpcClientConnection } from "../../../src/wire/grpc/client-connection.ts";
import { GrpcServer } from "../../../src/wire/grpc/grpc-server.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { until } from "../until.ts";
import { append, CLUSTER, heartbeat, ID, introduce, type Member, startMember } from "./members.ts";

const members: Member[] = [];

async function start(...args: Parameters<typeof startMember>): Promise<Member> {
  const member = await startMember(...args);
  members.push(member);
  return member;
}

/** Both directions are up: what is sent from here on arrives unless a test breaks something. */
async function connected(...all: readonly Member[]): Promise<void> {
  introduce(...all);
  await up(...all);
}

async function up(...all: readonly Member[]): Promise<void> {
  const whole = (member: Member): boolean =>
    member.peers.status().every((status) => status.up && status.heard);
  await until(() => all.every(whole), "all lanes are up");
}

afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
});

/** A batch of commands, as far as the transport looks into it. */
function batch(origin: bigint, sequence: number): Uint8Array {
  const bytes = Buffer.alloc(40, 7);
  bytes[0] = 1;
  bytes.writeBigUInt64BE(origin, 1);
  bytes.writeBigUInt64BE(BigInt(sequence), 9);
  return bytes;
}

describe("messages", () => {
  test("both dial at once; each lane keeps its order, both ways", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    for (let i = 1; i <= 200; i++) {
      a.peers.send(1, [append(1, 2, i, i * 10), heartbeat(1, 2, i)]);
      b.peers.send(7, [heartbeat(2, 1, i)]);
    }
    await until(() => b.seen.messages.length === 400, "all messages of a");
    await until(() => a.seen.messages.length === 200, "all messages of b");
    const indexes = b.seen.messages.flatMap(({ message }) =>
      message.type === "append" ? message.entries.map(({ index }) => index) : [],
    );
    const counted = Array.from({ length: 200 }, (_, i) => i + 1);
    expect(indexes).toEqual(counted);
    expect(b.seen.rounds).toEqual(counted);
    expect(a.seen.rounds).toEqual(counted);
    expect(a.seen.messages[0]).toMatchObject({ group: 7, message: heartbeat(2, 1, 1) });
    expect(a.seen.unreachable).toEqual([]);
    expect(a.log.lines).toEqual([]);
  });

  test("one send makes one frame a peer and lane", async () => {
    const [a, b, c] = [await start(1), await start(2), await start(3)];
    await connected(a, b, c);
    a.peers.send(1, [
      append(1, 2, 1, 10),
      heartbeat(1, 3, 1),
      heartbeat(1, 2, 1),
      append(1, 2, 2, 10),
      heartbeat(1, 2, 2),
    ]);
    await until(() => b.seen.messages.length === 4, "b has its four");
    await until(() => c.seen.messages.length === 1, "c has its one");
    expect(b.peers.received).toMatchObject({ frames: 2, messages: 4 });
    expect(c.peers.received).toMatchObject({ frames: 1, messages: 1 });
  });

  test("large appends are cut into frames, and one too large for any is dropped", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    const sizes = [700_000, 700_000, 3_000_000, 31 * 1024 * 1024, 5];
    a.peers.send(
      1,
      sizes.map((size, i) => append(1, 2, i + 1, size)),
    );
    await until(() => b.seen.messages.length === 4, "all but the impossible one");
    const arrived = b.seen.messages.map(({ message }) =>
      message.type === "append" ? message.entries[0]?.payload.length : 0,
    );
    expect(arrived).toEqual([700_000, 700_000, 3_000_000, 5]);
    expect(a.peers.status()[0]?.sent.dropped).toBe(1);
  });
});

test("who is told of a loss may send at once", async () => {
  const [a, b] = [await start(1), await start(2)];
  a.peers.setPeers([
    { id: ID(2), urls: [b.url] },
    { id: ID(3), urls: ["http://127.0.0.1:1"] },
  ]);
  b.peers.setPeers([{ id: ID(1), urls: [a.url] }]);
  await until(() => a.peers.status()[0]?.up === true, "a reaches b");
  a.seen.onUnreachable = () => a.peers.send(9, [append(1, 2, 3, 10)]);
  a.peers.send(1, [append(1, 3, 1, 10), append(1, 2, 1, 10), append(1, 2, 2, 10)]);
  await until(() => b.seen.messages.length >= 3, "all three");
  const got = b.seen.messages.map(({ group, message }) =>
    message.type === "append" ? [group, message.prevIndex + 1] : [],
  );
  expect(got).toEqual([
    [1, 1],
    [1, 2],
    [9, 3],
  ]);
});

describe("proposals", () => {
  test("arrive as they are; a refusal comes back to the origin", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    expect(a.peers.propose(ID(2), 3, 12, batch(ID(1), 77))).toBe(true);
    await until(() => b.seen.proposals.length === 1, "the proposal");
    const [proposal] = b.seen.proposals;
    expect(proposal).toMatchObject({ from: ID(1), group: 3, term: 12 });
    expect(Buffer.compare(proposal?.payload ?? Buffer.alloc(0), batch(ID(1), 77))).toBe(0);
    proposal?.refuse(new AetherError("not_leader", "ask another"), ID(9));
    proposal?.refuse(new AetherError("stopped"), 0n); // one answer is enough
    await until(() => a.seen.refusals.length > 0, "the refusal");
    a.peers.propose(ID(2), 3, 2 ** 52 - 1, batch(ID(1), 78));
    await until(() => b.seen.proposals.length === 2, "the next one");
    expect(b.seen.proposals[1]?.term).toBe(2 ** 52 - 1);
    expect(a.seen.refusals).toHaveLength(1);
    expect(a.seen.refusals[0]).toMatchObject({
      group: 3,
      origin: ID(1),
      sequence: 77,
      leader: ID(9),
      error: { code: "not_leader", detail: "ask another" },
    });
  });

  test("to nobody, or over a lane that is down, do not leave", async () => {
    const a = await start(1);
    expect(a.peers.propose(ID(2), 1, 1, batch(ID(1), 1))).toBe(false);
    a.peers.setPeers([{ id: ID(2), urls: ["http://127.0.0.1:1"] }]);
    expect(a.peers.propose(ID(2), 1, 1, batch(ID(1), 1))).toBe(false);
  });

  test("of another origin than their sender end the stream", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    a.peers.propose(ID(2), 3, 1, batch(ID(3), 77));
    await until(() => b.peers.received.refused.malformed === 1, "the refusal");
    expect(b.seen.proposals).toEqual([]);
    await up(a, b);
  });
});

describe("peers come and go", () => {
  test("a restarted one is found again, and the loss is told once", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    const port = Number(new URL(b.url).port);
    await b.stop();
    await until(() => a.seen.unreachable.length > 0, "the loss");
    for (let i = 1; i < 10; i++) a.peers.send(1, [append(1, 2, i, 10)]);
    expect(a.seen.unreachable).toEqual([ID(2)]);
    expect(a.peers.status()[0]?.sent.dropped).toBe(9);
    const again = await start(2, {}, port);
    await connected(a, again);
    a.peers.send(1, [append(1, 2, 1, 10)]);
    await until(() => again.seen.messages.length === 1, "a message after the restart");
    await again.stop();
    await until(() => a.seen.unreachable.length === 2, "the second loss");
  });

  test("a changed address is followed; an unchanged one keeps its connection", async () => {
    const [a, b, moved] = [await start(1), await start(2), await start(2)];
    await connected(a, b);
    a.peers.setPeers([{ id: ID(2), urls: [b.url] }]);
    expect(a.peers.status()[0]?.up).toBe(true);
    moved.peers.setPeers([{ id: ID(1), urls: [a.url] }]);
    a.peers.setPeers([{ id: ID(2), urls: [moved.url] }]);
    expect(a.peers.status()[0]?.up).toBe(false);
    await until(() => a.peers.status()[0]?.up === true, "up at the new address");
    a.peers.send(1, [heartbeat(1, 2, 5)]);
    await until(() => moved.seen.messages.length === 1, "a message at the new address");
    expect(b.seen.messages).toEqual([]);
  });

  test("each URL of a member is tried", async () => {
    const [a, b] = [await start(1), await start(2)];
    b.peers.setPeers([{ id: ID(1), urls: [a.url] }]);
    a.peers.setPeers([{ id: ID(2), urls: ["http://127.0.0.1:1", b.url] }]);
    await up(a, b);
  });

  test("a removed one is neither spoken nor listened to", async () => {
    const [a, b] = [await start(1), await start(2)];
    await connected(a, b);
    b.peers.setPeers([]);
    await until(() => a.peers.status()[0]?.up === false, "a is cut off");
    const why = "removed, or has not been added yet";
    await until(() => b.peers.received.refused["unknown-sender"] > 2, "it tries in vain");
    expect(a.peers.status()[0]?.reason).toContain(why);
    a.peers.send(1, [heartbeat(1, 2, 1)]);
    introduce(a, b);
    await up(a, b);
    expect(b.seen.messages).toEqual([]);
    expect(a.seen.removals).toBe(0);
  });

  test.each([
    ["with a secret", { secret: new Secret("geheim") }],
    ["without one", {}],
  ])("one that was removed for good is told so, once, wherever it calls, %s", async (_, secret) => {
    const [a, b, c] = [await start(1, secret), await start(2, secret), await start(3, secret)];
    await connected(a, b, c);
    b.peers.setPeers([{ id: ID(3), urls: [c.url] }], [ID(1), 77n]);
    await until(() => a.seen.removals === 1, "a is told while it is connected");
    c.peers.setPeers([{ id: ID(2), urls: [b.url] }], [ID(1), 77n]);
    await until(() => b.peers.received.refused.removed > 2, "it is refused again");
    await until(() => c.peers.received.refused.removed > 2, "by the others too");
    expect(a.seen.removals).toBe(1);
    expect(a.peers.status()[0]?.reason).toContain("add it as a new member");
    expect(a.log.lines.filter((line) => line.startsWith("removed"))).toHaveLength(1);
    const port = Number(new URL(a.url).port);
    await a.stop();
    const again = await start(1, secret, port);
    again.peers.setPeers([{ id: ID(2), urls: [b.url] }]);
    await until(() => again.seen.removals === 1, "it was down when it was removed");
    expect([b.seen.removals, c.seen.removals]).toEqual([0, 0]);
  });

  test("the stream that is cut says why, should there be no other", async () => {
    const dialer = socketDialer(new Network());
    let mayDial = true;
    const gate: PeerDialer = {
      dial: (...args) =>
        mayDial ? dialer.dial(...args) : Promise.reject(new AetherError("unhealthy", "closed")),
    };
    const secret = new Secret("geheim");
    const [a, b] = [await start(1, { dialer: gate, secret }), await start(2, { secret })];
    await connected(a, b);
    a.peers.send(1, [heartbeat(1, 2, 1)]);
    await until(() => b.seen.rounds.length === 1, "something was said before");
    mayDial = false;
    b.peers.setPeers([], [ID(1)]);
    await until(() => a.seen.removals === 1, "a is told");
  });

  test("only a member that knows the cluster's secret is believed", async () => {
    const secret = new Secret("geheim");
    const a = await start(1, { secret });
    let lies = 0;
    const guess = new Bun.CryptoHasher("sha256", "geraten").update("removed").digest("base64url");
    const liar = await start(2, {}, 0, () => lyingServer(guess, () => lies++));
    const honest = await start(3, { secret });
    honest.peers.setPeers([], [ID(1)]);
    a.peers.setPeers([{ id: ID(2), urls: [liar.url] }]);
    await until(() => lies > 2, "a was told something");
    expect(a.seen.removals).toBe(0);
    a.peers.setPeers([{ id: ID(3), urls: [honest.url] }]);
    await until(() => a.seen.removals === 1, "a is told");
  });

  test("what was heard of a removal once proves nothing to who is told it again", async () => {
    const secret = new Secret("geheim");
    const honest = await start(3, { secret });
    honest.peers.setPeers([], [ID(1)]);
    const heard = await removalHeard(honest.url, secret);
    expect(heard).not.toBe("");
    const a = await start(1, { secret });
    let lies = 0;
    const liar = await start(3, {}, 0, () => lyingServer(heard, () => lies++));
    a.peers.setPeers([{ id: ID(3), urls: [liar.url] }]);
    await until(() => lies > 2, "a was told it again");
    expect(a.seen.removals).toBe(0);
  });
});

/** What member 3 at `url` says to member 1 that proves its removal. */
async function removalHeard(url: string, secret: Secret): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const grpc = new GrpcClientConnection({ scheme: "http", authority: "x", nowMs: 0 });
  const dialer = socketDialer(new Network());
  const socket = await dialer.dial(
    url,
    1000,
    () => grpc,
    () => undefined,
  );
  const session = await openSession(grpc, secret, Number.POSITIVE_INFINITY);
  const ids = { clusterId: CLUSTER, from: ID(1), to: ID(3) };
  const { path } = AetherPeer.Raft;
  const { fields } = session.begin(path, helloFields(ids, 0, new ByteWriter(64)));
  const ignore = (): void => undefined;
  grpc.call(path, fields, undefined, {
    ...{ onHeaders: ignore, onMessage: ignore, onDrain: ignore },
    onEnd: (_code, _message, trailers) => resolve(trailers.get("x-aether-removed") ?? ""),
  });
  const heard = await promise;
  socket.end();
  return heard;
}

/** Says that who calls was removed, with a proof from elsewhere. */
function lyingServer(proof: string, onLie: () => void): GrpcServer {
  const { Challenge, Raft } = AetherPeer;
  const nonce = new ByteWriter(64);
  ChallengePeerResponse.encode({ nonce: new Uint8Array(32) }, nonce);
  return new GrpcServer({
    methods: [
      { path: Challenge.path, unary: (call) => call.reply(nonce.bytes, 0, nonce.length) },
      {
        path: Raft.path,
        stream: (call) => {
          onLie();
          call.fail(GrpcCode.PERMISSION_DENIED, "removed", ["x-aether-removed", proof]);
          const ignore = (): void => undefined;
          return { onMessage: ignore, onHalfClose: ignore, onCancel: ignore, onDrain: ignore };
        },
      },
    ],
    mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
  });
}
