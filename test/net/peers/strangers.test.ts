/** Callers that are no peers, or say what is not so: refused, counted, told what to do. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { MIB } from "../../../src/base/units.ts";
import { type Certificates, membersOnly } from "../../../src/net/peers/admission.ts";
import { encodeMessages, encodeProposal, type FrameIds } from "../../../src/net/peers/frame.ts";
import type { PeersOptions } from "../../../src/net/peers/peers.ts";
import {
  AetherPeer,
  MembersPeerResponse,
  PeerHello,
  RaftAnswer,
} from "../../../src/proto/gen/aether.v1.ts";
import type { HeartbeatMessage } from "../../../src/raft/message.ts";
import type { ClientCall } from "../../../src/wire/grpc/client-call.ts";
import { GrpcClientConnection } from "../../../src/wire/grpc/client-connection.ts";
import { encodeBinary } from "../../../src/wire/grpc/metadata.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { Cluster } from "../../raft/cluster.ts";
import { CLUSTER, heartbeat, ID, pipedMember } from "./members.ts";
import { PipeNet, ToyTimers, turn } from "./pipes.ts";

interface Stranger {
  readonly call: ClientCall;
  /** Code and message once the stream has ended. */
  readonly end: { code: GrpcCode; message: string } | undefined;
  readonly welcomed: boolean;
}

const RIGHT: FrameIds = { clusterId: CLUSTER, from: ID(2), to: ID(1) };

/** Member 1, which knows 2 and 3, and a way to call it. */
function target(extra: Partial<PeersOptions> = {}): {
  member: ReturnType<typeof pipedMember>;
  call: (fields: readonly string[], path?: string) => Promise<Stranger>;
} {
  const timers = new ToyTimers();
  const net = new PipeNet(timers, 1);
  const member = pipedMember(1, net, timers, extra);
  member.peers.setPeers([2, 3].map((n) => ({ id: ID(n), urls: [`http://member-${n}:1`] })));
  const call = async (
    fields: readonly string[],
    path = AetherPeer.Raft.path,
  ): Promise<Stranger> => {
    const result: { end: Stranger["end"]; welcomed: boolean } = { end: undefined, welcomed: false };
    let opened: ClientCall | undefined;
    const connect = (): GrpcClientConnection => {
      const connection = new GrpcClientConnection({ scheme: "http", authority: "x", nowMs: 0 });
      opened = connection.call(path, fields, undefined, {
        onHeaders: () => undefined,
        onDrain: () => undefined,
        onMessage: (bytes, start, end) => {
          const answer = RaftAnswer.decode(bytes, start, end);
          result.welcomed ||= answer.welcome !== undefined;
        },
        onEnd: (code, message) => {
          result.end = { code, message };
        },
      });
      return connection;
    };
    await net.dial(member.url, 0, connect, () => undefined);
    await turn();
    return Object.assign(result, { call: opened as ClientCall });
  };
  return { member, call };
}

function hello(changed: Partial<PeerHello>): string[] {
  const out = new ByteWriter(64);
  const usual = { format: 1, clusterId: CLUSTER, fromMemberId: ID(2), toMemberId: ID(1) };
  PeerHello.encode(PeerHello.create({ ...usual, ...changed }), out);
  return ["x-aether-peer-bin", encodeBinary(out.view())];
}

describe("hello", () => {
  const cases: [string, readonly string[], keyof typeof reasons, string][] = [
    ["none", [], "malformed", "clients use the client port"],
    ["broken", ["x-aether-peer-bin", "/w"], "malformed", "the hello is broken"],
    ["of another format", hello({ format: 9, version: "7.0" }), "format", "protocol 9 (7.0)"],
    ["of another cluster", hello({ clusterId: 5n }), "wrong-cluster", "initial cluster token"],
    ["for another member", hello({ toMemberId: ID(3) }), "wrong-recipient", "check the peer URLs"],
    ["of a stranger", hello({ fromMemberId: ID(9) }), "unknown-sender", "has not been added yet"],
    ["of ourselves", hello({ fromMemberId: ID(1) }), "unknown-sender", "no member known here"],
    ["for another lane", hello({ lane: 3 }), "malformed", "needs a lane"],
  ];
  const reasons = {
    malformed: GrpcCode.INVALID_ARGUMENT,
    format: GrpcCode.FAILED_PRECONDITION,
    "wrong-cluster": GrpcCode.FAILED_PRECONDITION,
    "wrong-recipient": GrpcCode.FAILED_PRECONDITION,
    "unknown-sender": GrpcCode.PERMISSION_DENIED,
  };
  for (const [name, fields, reason, text] of cases) {
    test(name, async () => {
      const { member, call } = target();
      const stranger = await call(fields);
      expect(stranger.welcomed).toBe(false);
      expect(stranger.end?.code).toBe(reasons[reason]);
      expect(stranger.end?.message).toContain(text);
      expect(member.peers.received.refused[reason]).toBe(1);
      expect(member.log.lines.at(-1)).toContain(reason);
      for (const id of [CLUSTER, ID(1)]) {
        expect(stranger.end?.message).not.toContain(id.toString(16));
      }
    });
  }

  test("may know less to ask for the members, but nothing that is wrong", async () => {
    const { member, call } = target();
    member.peers.setPeers([], [ID(8)]);
    member.seen.calls.members = () => MembersPeerResponse.create();
    const nobody = { clusterId: 0n, fromMemberId: 0n, toMemberId: 0n };
    const cases: [Partial<PeerHello>, GrpcCode][] = [
      [nobody, GrpcCode.OK],
      [{}, GrpcCode.OK],
      [{ fromMemberId: ID(8) }, GrpcCode.OK], // it was removed, and reads so in the answer
      [{ ...nobody, fromMemberId: ID(9) }, GrpcCode.OK],
      [{ ...nobody, clusterId: 5n }, GrpcCode.FAILED_PRECONDITION],
      [{ ...nobody, toMemberId: ID(3) }, GrpcCode.FAILED_PRECONDITION],
      [{ ...nobody, format: 9 }, GrpcCode.FAILED_PRECONDITION],
    ];
    for (const [fields, code] of cases) {
      const stranger = await call(hello(fields), AetherPeer.Members.path);
      stranger.call.send(new Uint8Array(0), 0, 0);
      stranger.call.halfClose();
      await turn();
      expect(stranger.end?.code).toBe(code);
    }
    const others = [AetherPeer.MemberChange, AetherPeer.MemberInfo];
    for (const { path } of others) {
      const stranger = await call(hello({ fromMemberId: ID(9) }), path);
      stranger.call.send(new Uint8Array(0), 0, 0);
      stranger.call.halfClose();
      await turn();
      expect(stranger.end?.code).toBe(GrpcCode.PERMISSION_DENIED);
    }
  });

  test("is asked of snapshots and small calls as well", async () => {
    const { member, call } = target();
    for (const { path } of [AetherPeer.Snapshot, AetherPeer.LeaseRenew, AetherPeer.HashKV]) {
      const stranger = await call(hello({ clusterId: 5n }), path);
      stranger.call.send(new Uint8Array(0), 0, 0);
      stranger.call.halfClose();
      await turn();
      expect(stranger.end?.code).toBe(GrpcCode.FAILED_PRECONDITION);
    }
    expect(member.peers.received.refused["wrong-cluster"]).toBe(3);
  });
});

describe("without a secret", () => {
  const ask = (address: string, name?: string, certificates?: Certificates): string | undefined =>
    membersOnly(certificates)({ address, certificateName: name });
  const FAR = "10.0.0.1:80";

  test("only this machine comes in", () => {
    const near = ["127.0.0.1:80", "127.9.9.9:1", "[::1]:80", "unix", "[::ffff:127.0.0.1]:1"];
    for (const address of near) expect(ask(address)).toBeUndefined();
    for (const address of [FAR, "[fe80::1]:80", "128.0.0.1:1", "[::127.0.0.1]:1"]) {
      expect(ask(address)).toContain("set the same cluster secret on every member");
      expect(ask(address)).toContain("AETHER_CLUSTER_SECRET");
      expect(ask(address)).toContain("peer TLS that verifies both sides");
    }
  });

  test("a certificate is a member's where members alone come", () => {
    expect(ask(FAR, "member-2", "members")).toBeUndefined();
  });

  test("it may be a client's where clients come too", () => {
    expect(ask(FAR, "member-2", "anybody")).toContain("may be a client's: set");
    expect(ask("127.0.0.1:80", undefined, "anybody")).toBeUndefined();
  });
});

describe("what was reported of etcd", () => {
  test("22148: a body without end is not kept, not even its first byte", async () => {
    const { member, call } = target();
    for (const { path } of [AetherPeer.LeaseRenew, AetherPeer.Members, AetherPeer.Raft]) {
      const stranger = await call(hello({ clusterId: 5n }), path);
      expect(stranger.end?.code).toBe(GrpcCode.FAILED_PRECONDITION); // and nothing was sent yet
    }
    expect(member.peers.received.refused["wrong-cluster"]).toBe(3);
  });

  test("22148: nor one of a member, beyond what any message has", async () => {
    const { member, call } = target();
    let asked = 0;
    member.seen.calls.leaseRenew = () => {
      asked++;
      return { leases: [] };
    };
    const caller = await call(hello({}), AetherPeer.LeaseRenew.path);
    const large = new Uint8Array(2.1 * MIB);
    caller.call.send(large, 0, large.length);
    for (let i = 0; i < 20; i++) await turn();
    expect(caller.end?.code).toBe(GrpcCode.RESOURCE_EXHAUSTED);
    expect(asked).toBe(0);
  });

  test("21518: whatever a stranger says, no answer has the cluster's id in any form", async () => {
    const { member, call } = target();
    const forms = [CLUSTER, ID(1), ID(2)].flatMap((id) => [String(id), id.toString(16)]);
    const heads = [[], hello({}), hello({ clusterId: 5n }), hello({ fromMemberId: ID(9) })];
    for (const fields of heads) {
      for (const method of member.peers.methods) {
        const { end } = await call(fields, method.path);
        for (const form of forms) expect(end?.message ?? "").not.toContain(form);
      }
    }
  });

  test("21518: a heartbeat about entries that are not there is dropped", () => {
    const cluster = new Cluster({ electionTicks: 10 });
    cluster.found([1, 2, 3]);
    const { raft } = cluster.node(1);
    cluster.node(2).raft.campaign();
    cluster.settle();
    const before = raft.committed;
    for (const commit of [raft.lastIndex + 1, 2 ** 31, 2 ** 52 - 1]) {
      const beat = { ...heartbeat(2, 1, 1), from: 2n, to: 1n, term: raft.term, commit };
      raft.step(beat as HeartbeatMessage);
      raft.verify();
    }
    expect([raft.committed, raft.dropped["past-log"]]).toEqual([before, 3]);
  });
});

describe("frames", () => {
  const send = async (frame: (out: ByteWriter) => void): Promise<[Stranger, Seen]> => {
    const { member, call } = target();
    const stranger = await call(hello({}));
    expect(stranger.welcomed).toBe(true);
    const out = new ByteWriter(64);
    frame(out);
    stranger.call.send(out.bytes, 0, out.length);
    await turn();
    return [stranger, member];
  };
  type Seen = ReturnType<typeof pipedMember>;
  const beat = heartbeat(2, 1, 7);

  test("that fit are delivered", async () => {
    const [stranger, member] = await send((out) => encodeMessages(out, RIGHT, 1, [beat], 0, 1));
    expect(stranger.end).toBeUndefined();
    expect(member.seen.messages).toHaveLength(1);
  });

  test("with other ids than the hello's end the stream", async () => {
    const wrong: [Partial<FrameIds>, "wrong-cluster" | "wrong-recipient" | "unknown-sender"][] = [
      [{ clusterId: 5n }, "wrong-cluster"],
      [{ to: ID(3) }, "wrong-recipient"],
      [{ from: ID(3) }, "unknown-sender"], // a member, but not the one of this stream
    ];
    for (const [changed, reason] of wrong) {
      const [stranger, member] = await send((out) =>
        encodeMessages(out, { ...RIGHT, ...changed }, 1, [beat], 0, 1),
      );
      expect(stranger.end?.message).toContain("a frame");
      expect(member.peers.received.refused[reason]).toBe(1);
      expect(member.seen.messages).toEqual([]);
    }
  });

  test("that are cut, spoilt, empty or of a new kind end the stream", async () => {
    const spoilers: [(out: ByteWriter) => void, "malformed" | "corrupt"][] = [
      [(out) => out.length--, "malformed"],
      [(out) => out.bytes.writeUInt8(out.bytes.readUInt8(50) ^ 1, 50), "corrupt"],
      [(out) => out.reset(), "wrong-cluster" as "malformed"],
    ];
    for (const [spoil, reason] of spoilers) {
      const [stranger, member] = await send((out) => {
        encodeMessages(out, RIGHT, 1, [beat], 0, 1);
        spoil(out);
      });
      expect(stranger.end?.code).not.toBe(GrpcCode.OK);
      expect(member.peers.received.refused[reason]).toBe(1);
      expect(member.seen.messages).toEqual([]);
    }
    for (const [term, bytes] of [
      [1, 20], // a batch has a head of 21
      [2 ** 52, 40],
    ] as const) {
      const payload = Buffer.alloc(bytes);
      payload.writeBigUInt64BE(ID(2), 1); // its origin is right
      const [, member] = await send((out) =>
        encodeProposal(out, RIGHT, { group: 1, term, payload }),
      );
      expect(member.peers.received.refused.malformed).toBe(1);
      expect(member.seen.proposals).toEqual([]);
    }
  });

  test("of chance bytes never do more than end their stream", async () => {
    const { member, call } = target();
    const random = new Prng(5);
    for (let run = 0; run < 60; run++) {
      const stranger = await call(hello({}));
      const bytes = new Uint8Array(random.below(100));
      for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(run % 2 === 0 ? 256 : 50);
      stranger.call.send(bytes, 0, bytes.length);
      await turn();
      expect(stranger.end?.code).toBeOneOf([
        GrpcCode.INVALID_ARGUMENT,
        GrpcCode.FAILED_PRECONDITION,
      ]);
    }
    expect(member.seen.messages).toEqual([]);
  });
});
