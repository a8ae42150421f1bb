/** Members and clients on one address, with one server for both; and strangers who come there. */
import { afterEach, describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Secret } from "../../../src/base/secret.ts";
import { MIB } from "../../../src/base/units.ts";
import { helloFields } from "../../../src/net/peers/hello.ts";
import { MESSAGE_BYTES_MAX } from "../../../src/net/peers/peer.ts";
import type { Peers } from "../../../src/net/peers/peers.ts";
import type { SnapshotNews } from "../../../src/net/peers/ports.ts";
import { AetherPeer } from "../../../src/proto/gen/aether.v1.ts";
import type { MemberId } from "../../../src/raft/types.ts";
import { GrpcClientConnection } from "../../../src/wire/grpc/client-connection.ts";
import { GrpcServer } from "../../../src/wire/grpc/grpc-server.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { RawClient, requestFields, WINDOW_UPDATE } from "../../wire/http2/kit.ts";
import { until } from "../until.ts";
import { append, CLUSTER, ID, introduce, type Member, startMember, toyServer } from "./members.ts";
import { PipeNet, ToyTimers } from "./pipes.ts";

const CLIENT_PATH = "/test.Service/Echo";

/** A server as clients have it, which members use too. */
function sharedServer(peers: Peers): GrpcServer {
  return new GrpcServer({
    methods: [
      { path: CLIENT_PATH, unary: (call, bytes, start, end) => call.reply(bytes, start, end) },
      ...peers.methods,
    ],
    mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
  });
}

const members: Member[] = [];

afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
});

async function pair(
  serverOf: (peers: Peers) => GrpcServer,
  secret?: Secret,
): Promise<[Member, Member]> {
  const [a, b] = [
    await startMember(1, { bulkBytesMax: 64 * MIB, secret }),
    await startMember(2, { secret }, 0, serverOf),
  ];
  members.push(a, b);
  introduce(a, b);
  const whole = (member: Member): boolean =>
    member.peers.status().every(({ up, heard }) => up && heard);
  await until(() => whole(a) && whole(b), "all lanes are up");
  return [a, b];
}

describe.each([
  ["a listener of their own", toyServer, undefined],
  ["the clients' listener", sharedServer, undefined],
  ["the clients' listener, with a secret", sharedServer, new Secret("geheim")],
])("members on %s", (_, serverOf, secret) => {
  test("send frames of any size that there is", async () => {
    const [a, b] = await pair(serverOf, secret);
    const most = MESSAGE_BYTES_MAX - 100; // what surrounds the payload
    const sizes = [10, 3 * MIB, most, 20];
    for (const [i, size] of sizes.entries()) a.peers.send(1, [append(1, 2, i + 1, size)]);
    a.peers.propose(ID(2), 1, 1, batchOf(2.5 * MIB));
    await until(() => b.seen.messages.length === sizes.length, "all appends");
    await until(() => b.seen.proposals.length === 1, "the batch");
    const arrived = b.seen.messages.map(({ message }) =>
      message.type === "append" ? message.entries[0]?.payload.length : 0,
    );
    expect(arrived).toEqual(sizes);
    expect(a.log.lines).toEqual([]);
  });

  test("send snapshots", async () => {
    const [a, b] = await pair(serverOf, secret);
    const bytes = Buffer.alloc(5 * MIB, "copy");
    const kept: Uint8Array[] = [];
    const installed: SnapshotNews[] = [];
    b.seen.snapshots = {
      open: async () => ({
        get length() {
          return kept.reduce((sum, { length }) => sum + length, 0);
        },
        read: () => Promise.reject(new Error("nothing to go on with")),
        write: async (chunk) => void kept.push(chunk),
        close: () => Promise.resolve(),
        discard: () => Promise.resolve(),
      }),
      install: async (news) => void installed.push(news),
    };
    const voters = [ID(1), ID(2)];
    const configuration = { voters, votersOutgoing: [], learners: [], learnersNext: [] };
    const meta = { index: 9, term: 1, configuration: { ...configuration, autoLeave: false } };
    await a.peers.sendSnapshot(
      1,
      { type: "snapshot", from: ID(1), to: ID(2), term: 1, meta },
      {
        size: bytes.length,
        sha256: new Bun.CryptoHasher("sha256").update(bytes).digest(),
        read: async (offset, length) => bytes.subarray(offset, offset + length),
      },
    ).done;
    expect(installed).toHaveLength(1);
    expect(Buffer.concat(kept).equals(bytes)).toBe(true);
  });
});

test("clients beside them have their own bounds", async () => {
  const [, b] = await pair(sharedServer);
  const server = sharedServer(b.peers);
  const timers = new ToyTimers();
  const net = new PipeNet(timers, 1);
  net.servers.set("http://b:1", server);
  const ends: GrpcCode[] = [];
  for (const size of [1.9 * MIB, 2.1 * MIB]) {
    const connect = (): GrpcClientConnection => {
      const client = new GrpcClientConnection({ scheme: "http", authority: "b", nowMs: 0 });
      const call = client.call(CLIENT_PATH, [], undefined, {
        onHeaders: () => undefined,
        onMessage: () => undefined,
        onDrain: () => undefined,
        onEnd: (code) => ends.push(code),
      });
      call.send(new Uint8Array(size), 0, size);
      call.halfClose();
      return client;
    };
    await net.dial("http://b:1", 0, connect, () => undefined);
  }
  await until(() => ends.length === 2, "both ends");
  expect(ends.sort()).toEqual([GrpcCode.OK, GrpcCode.RESOURCE_EXHAUSTED]);
});

test("only who was let in is given a member's window", async () => {
  const b = await startMember(2, { authorize: () => (isMember ? undefined : "no member") });
  members.push(b);
  b.peers.setPeers([{ id: ID(3), urls: ["http://127.0.0.1:1"] }]);
  let isMember = true;
  const windowOf = (path: string, from: MemberId, admitted: boolean): number => {
    isMember = admitted;
    const client = RawClient.open({ methods: b.peers.methods });
    const ids = { clusterId: CLUSTER, from, to: ID(2) };
    const hello = helloFields(ids, 1, new ByteWriter(64));
    client.send(client.headers(1, requestFields(path, hello)));
    const updates = client.frames.filter(({ type, id }) => type === WINDOW_UPDATE && id === 1);
    return updates.reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 65_535);
  };
  for (const { path } of [AetherPeer.Raft, AetherPeer.Snapshot]) {
    expect(windowOf(path, ID(3), true)).toBe(4 * MIB);
    expect(windowOf(path, ID(3), false)).toBe(65_535);
    expect(windowOf(path, ID(4), true)).toBe(65_535);
  }
});

function batchOf(bytes: number): Uint8Array {
  const batch = Buffer.alloc(bytes);
  batch.writeBigUInt64BE(ID(1), 1);
  return batch;
}
