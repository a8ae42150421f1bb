/** Members of a toy cluster that speak over real sockets on loopback, or over pipes in memory. */
import type { Log } from "../../../src/base/ports.ts";
import { Prng } from "../../../src/base/prng.ts";
import { parseAddress } from "../../../src/net/address.ts";
import { type Listener, listen } from "../../../src/net/listener.ts";
import { Network } from "../../../src/net/network.ts";
import { membersOnly } from "../../../src/net/peers/admission.ts";
import { processTimers, socketDialer } from "../../../src/net/peers/dial.ts";
import { Peers, type PeersOptions } from "../../../src/net/peers/peers.ts";
import type { PeerHandlers, PeerTimers, Refusal, Refuse } from "../../../src/net/peers/ports.ts";
import { peerServer } from "../../../src/net/peers/server.ts";
import type { HeartbeatMessage, Message } from "../../../src/raft/message.ts";
import type { MemberId } from "../../../src/raft/types.ts";
import type { GrpcServer } from "../../../src/wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../../../src/wire/grpc/server-connection.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { ToyConnection } from "../toy-connection.ts";
import type { PipeNet } from "./pipes.ts";

export const CLUSTER = 0xc1c2_c3c4_c5c6_c7c8n;

export const ID = (n: number): MemberId => (0xf000_0000_0000_0000n + BigInt(n)) as MemberId;

/** What a member's handlers were told. */
export class Seen implements PeerHandlers {
  readonly messages: { group: number; message: Message; atMs: number }[] = [];
  readonly proposals: {
    from: MemberId;
    group: number;
    term: number;
    payload: Buffer;
    refuse: Refuse;
  }[] = [];
  readonly refusals: Refusal[] = [];
  readonly unreachable: MemberId[] = [];
  removals = 0;
  calls: PeerHandlers["calls"] = {
    leaseRenew: () => ({ leases: [] }),
    leaseRemaining: () => ({ leases: [] }),
    memberInfo: () => {
      throw new Error("no member info");
    },
    hashKv: () => ({ hash: 0, compactRevision: 0, hashRevision: 0, revision: 0 }),
    memberChange: () => ({ index: 0, member: undefined }),
    members: () => ({ clusterId: CLUSTER, memberId: 0n, members: [], removedMemberIds: [] }),
  };
  snapshots: PeerHandlers["snapshots"] = {
    open: () => Promise.reject(new Error("no snapshots here")),
    install: () => Promise.reject(new Error("no snapshots here")),
  };

  onMessages(group: number, messages: readonly Message[]): void {
    const atMs = performance.now();
    for (const message of messages) this.messages.push({ group, message, atMs });
  }
  onProposal(from: MemberId, group: number, term: number, payload: Buffer, refuse: Refuse): void {
    this.proposals.push({ from, group, term, payload, refuse });
  }
  onRefusal(refusal: Refusal): void {
    this.refusals.push(refusal);
  }
  onUnreachable(id: MemberId): void {
    this.unreachable.push(id);
  }
  onRemoved(): void {
    this.removals++;
  }

  /** The rounds of the heartbeats that came, in order. */
  get rounds(): number[] {
    return this.messages.flatMap(({ message }) =>
      message.type === "heartbeat" ? [message.round] : [],
    );
  }
}

export class Warnings implements Log {
  readonly lines: string[] = [];
  trace(): void {}
  debug(): void {}
  info(): void {}
  error(): void {}
  warn(message: string, fields?: object): void {
    this.lines.push(`${message} ${Object.values(fields ?? {}).join(" ")}`);
  }
}

export interface Member {
  readonly id: MemberId;
  readonly peers: Peers;
  readonly seen: Seen;
  readonly log: Warnings;
  readonly listener: Listener;
  readonly url: string;
  stop(): Promise<void>;
}

const network = new Network();

/** Starts member `n`; it knows nobody yet. `port` 0 takes a free one. */
export async function startMember(
  n: number,
  extra: Partial<PeersOptions> = {},
  port = 0,
  serverOf = toyServer,
): Promise<Member> {
  const seen = new Seen();
  const log = new Warnings();
  const peers = new Peers({
    clusterId: CLUSTER,
    self: ID(n),
    handlers: seen,
    authorize: membersOnly(undefined),
    dialer: socketDialer(network),
    timers: processTimers(network),
    random: new Prng(n),
    log,
    ...extra,
  });
  const server = serverOf(peers);
  const listener = await listen(network, {
    address: parseAddress(`127.0.0.1:${port}`),
    http1: () => new ToyConnection(),
    http2: (peer, nowMs) => new GrpcServerConnection(server, { peer: peer.address, nowMs }),
  });
  const { address } = listener;
  const url = address.kind === "tcp" ? `http://127.0.0.1:${address.port}` : "";
  const stop = async (): Promise<void> => {
    await peers.stop();
    await listener.stop(0);
  };
  return { id: ID(n), peers, seen, log, listener, url, stop };
}

/** A member whose connections are pipes of `net`, at the URL `http://member-N:1`. */
export function pipedMember(
  n: number,
  net: PipeNet,
  timers: PeerTimers,
  extra: Partial<PeersOptions> = {},
): Omit<Member, "listener" | "stop"> {
  const seen = new Seen();
  const log = new Warnings();
  const url = `http://member-${n}:1`;
  const random = new Prng(n);
  const options = { clusterId: CLUSTER, self: ID(n), handlers: seen, dialer: net, timers, random };
  const peers = new Peers({ ...options, log, authorize: membersOnly(undefined), ...extra });
  net.servers.set(url, toyServer(peers));
  return { id: ID(n), peers, seen, log, url };
}

export function toyServer(peers: Peers): GrpcServer {
  return peerServer(peers.methods, (error) => ({
    code: GrpcCode.INTERNAL,
    message: String(error),
  }));
}

/** Makes each of them know all. */
export function introduce(
  ...members: readonly { id: MemberId; url: string; peers: Peers }[]
): void {
  const list = members.map(({ id, url }) => ({ id, urls: [url] }));
  for (const { peers } of members) peers.setPeers(list);
}

export function heartbeat(from: number, to: number, round: number): HeartbeatMessage {
  return { type: "heartbeat", from: ID(from), to: ID(to), term: 1, commit: 0, round };
}

/** An append with one entry of `bytes` bytes, all of them `index` modulo 256. */
export function append(from: number, to: number, index: number, bytes: number): Message {
  const payload = new Uint8Array(bytes).fill(index);
  const entries = [{ index, term: 1, kind: "normal" as const, payload }];
  const prevTerm = index > 1 ? 1 : 0;
  const envelope = { from: ID(from), to: ID(to), term: 1 };
  return { type: "append", ...envelope, prevIndex: index - 1, prevTerm, commit: 0, entries };
}
