/**
 * The transport between the members of one cluster. It dials every other member and is dialed by
 * each, so two connections lead each way between two members (peer.ts says why two):
 *
 *   Raft's messages ─ send() ─▶ Peer ─ one frame a lane ─▶ · · · ─▶ RaftReceiver ─▶ onMessages()
 *
 * It may lose, delay and reorder what it carries, and never changes or invents anything: every
 * frame names cluster, sender and receiver and has a checksum. Within one lane and one connection
 * the order is kept.
 */
import { assert } from "../../base/assert.ts";
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import type { Log, Random } from "../../base/ports.ts";
import type { Secret } from "../../base/secret.ts";
import { KIB, MIB } from "../../base/units.ts";
import { AetherPeer, Lane as PeerLane, type ProposalRefusal } from "../../proto/gen/aether.v1.ts";
import type { MethodType } from "../../proto/message.ts";
import type { Message, SnapshotMessage } from "../../raft/message.ts";
import type { MemberId } from "../../raft/types.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { Method, ServerCall, StreamHandler } from "../../wire/grpc/server-call.ts";
import {
  type Admission,
  type Admitted,
  admit,
  admitGuest,
  notAMember,
  provesRemoval,
} from "./admission.ts";
import { CallingSecret } from "./calling-secret.ts";
import { callMethods, callPeer, IGNORING } from "./calls.ts";
import type { ConnectionSettings } from "./connection.ts";
import { errorOf } from "./error-text.ts";
import type { FrameIds } from "./frame.ts";
import { helloFields } from "./hello.ts";
import type { LaneOptions } from "./lane.ts";
import { Peer, type PeerCounters } from "./peer.ts";
import type {
  Authorize,
  PeerAddress,
  PeerDialer,
  PeerHandlers,
  PeerTimers,
  SnapshotSource,
} from "./ports.ts";
import { challenged, Proofs } from "./proofs.ts";
import { RaftReceiver } from "./raft-receiver.ts";
import { noRefusals, PeerRefusal, type RefusalReason } from "./refusal.ts";
import { RefusalLog } from "./refusal-log.ts";
import type { CallSeals } from "./seal.ts";
import { CHUNK_BYTES, CHUNKS_WAITING_MAX, SNAPSHOT_BYTES_PER_SECOND } from "./snapshot-limits.ts";
import type { SnapshotTransfer } from "./snapshot-sender.ts";
import { Snapshots } from "./snapshots.ts";
import { Throttle } from "./throttle.ts";

/** Socket, TLS and greeting; a peer in the next room takes a few milliseconds. */
export const DIAL_MS_MAX = 5_000;
/** A silent peer is asked after this; less than 5 s would count as a flood of pings. */
export const KEEPALIVE_MS = 6_000;
/** And given up after this: half-open connections are found within nine seconds. */
export const KEEPALIVE_TIMEOUT_MS = 3_000;
/** Waiting appends per peer: two of Raft's windows (16 MiB in flight), 0.25 s of 1 Gbit/s. */
export const BULK_BYTES_MAX = 32 * MIB;
/** Waiting control messages per peer: forty thousand; more than the 1 MiB that HTTP/2 moves towards
 * the socket at once, so that a large call on the same connection makes no heartbeat drop. */
export const CONTROL_BYTES_MAX = 2 * MIB;

export interface PeersOptions {
  readonly clusterId: bigint;
  readonly self: MemberId;
  readonly handlers: PeerHandlers;
  /** Asked of callers where there is no secret. */
  readonly authorize: Authorize;
  /** What members prove to each other that they know. */
  readonly secret?: Secret | undefined;
  /** The one before, while it is changed: taken from callers, too, and shown to who needs it. */
  readonly previousSecret?: Secret | undefined;
  readonly dialer: PeerDialer;
  readonly timers: PeerTimers;
  readonly random: Random;
  readonly log: Log;
  readonly dialTimeoutMs?: number;
  readonly keepaliveMs?: number;
  readonly keepaliveTimeoutMs?: number;
  readonly bulkBytesMax?: number;
  readonly controlBytesMax?: number;
  /** For metrics: a ping to a peer went there and back. */
  readonly observeRoundTripMs?: (id: MemberId, ms: number) => void;
  /** Of all snapshots that are sent, together. */
  readonly snapshotBytesPerSecond?: number;
}

/** One peer, for health, metrics and people. */
export interface PeerStatus {
  readonly id: MemberId;
  readonly urls: readonly string[];
  /** Both lanes to it are up. */
  readonly up: boolean;
  /** It has both lanes to us up. */
  readonly heard: boolean;
  /** Why it is not up. */
  readonly reason: string;
  readonly pendingBytes: number;
  /** How long the last ping took there and back; undefined before the first. */
  readonly roundTripMs: number | undefined;
  readonly sent: Readonly<PeerCounters>;
}

/** What was received from all peers; only grows. */
export interface ReceivedCounters {
  frames: number;
  bytes: number;
  messages: number;
  /** Of each peer that sent something, also of those that are none any more. */
  readonly bytesFrom: Map<MemberId, number>;
  /** Calls, frames and streams that were refused, by reason. */
  readonly refused: Record<RefusalReason, number>;
}

export class Peers {
  readonly received: ReceivedCounters = {
    frames: 0,
    bytes: 0,
    messages: 0,
    bytesFrom: new Map(),
    refused: noRefusals(),
  };
  readonly #options: PeersOptions;
  readonly #admission: Admission;
  readonly #connection: ConnectionSettings;
  readonly #refusals: RefusalLog;
  readonly #scratch = new ByteWriter(64 * KIB);
  readonly #answers = new ByteWriter(1 * KIB);
  readonly #peers = new Map<bigint, Peer>();
  /** Ids that were members once. */
  #removed: ReadonlySet<bigint> = new Set();
  readonly #receivers = new Set<RaftReceiver>();
  readonly #touched: Peer[] = [];
  /** Peers that a send could not reach; told at its end, since who is told may send again. */
  readonly #lost: MemberId[] = [];
  #sending = false;
  readonly #snapshots = new Snapshots();
  readonly #throttle: Throttle;
  #removalTold = false;
  #stopped = false;

  /** Knows nobody before setPeers(). */
  constructor(options: PeersOptions) {
    const { secret, previousSecret: previous } = options;
    this.#options = options;
    this.#refusals = new RefusalLog(options.log, () => options.timers.nowMs());
    this.#admission = {
      clusterId: options.clusterId,
      self: options.self,
      knows: (id) => this.#peers.has(id),
      isRemoved: (id) => this.#removed.has(id),
      authorize: options.authorize,
      proofs: secret === undefined ? undefined : new Proofs(secret, previous),
    };
    this.#connection = {
      secret: secret === undefined ? undefined : new CallingSecret(secret, previous),
      dialer: options.dialer,
      timers: options.timers,
      dialTimeoutMs: options.dialTimeoutMs ?? DIAL_MS_MAX,
      keepaliveMs: options.keepaliveMs ?? KEEPALIVE_MS,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? KEEPALIVE_TIMEOUT_MS,
    };
    const rate = options.snapshotBytesPerSecond ?? SNAPSHOT_BYTES_PER_SECOND;
    this.#throttle = new Throttle(rate, CHUNKS_WAITING_MAX * CHUNK_BYTES, options.timers.nowMs());
  }

  /** The server's side: methods for the peer listener. */
  get methods(): readonly Method[] {
    const { Raft, Snapshot } = AetherPeer;
    return [
      {
        path: Raft.path,
        stream: (call) => this.#admitted(call, (admitted) => this.#receive(call, admitted)),
      },
      {
        path: Snapshot.path,
        stream: (call) => this.#admitted(call, (admitted) => this.#takeSnapshot(call, admitted)),
      },
      ...callMethods(this.#options.handlers.calls, {
        member: (call) => this.#admit(call, admit),
        guest: (call) => this.#admit(call, admitGuest),
        challenge: (call, nonce) =>
          this.#admit(call, (_, { proofs }) => challenged(proofs, call, nonce)),
      }),
    ];
  }

  /**
   * Who the other members are from now on; ourselves may be among them. New ones are dialed, those
   * with other URLs dialed anew, and who is not named is neither spoken nor listened to any more.
   * Those in `removed` are told so when they call.
   */
  setPeers(list: readonly PeerAddress[], removed: readonly bigint[] = []): void {
    if (this.#stopped) return;
    this.#removed = new Set(removed);
    const wanted = new Map<bigint, PeerAddress>();
    for (const address of list)
      if (address.id !== this.#options.self) wanted.set(address.id, address);
    for (const [id, peer] of this.#peers) {
      const next = wanted.get(id);
      if (next !== undefined && sameUrls(next.urls, peer.address.urls)) continue;
      peer.close();
      this.#peers.delete(id);
    }
    for (const [id, address] of wanted) {
      assert(address.urls.length > 0, "a peer has an address");
      if (!this.#peers.has(id)) this.#peers.set(id, this.#makePeer(address));
    }
    for (const receiver of [...this.#receivers]) {
      const { fromMemberId } = receiver.hello;
      if (this.#peers.has(fromMemberId)) continue;
      receiver.refuse(notAMember(fromMemberId, this.#admission, receiver.seals));
    }
    this.#snapshots.keep(this.#admission);
  }

  /**
   * Sends what Raft said, one frame a peer and lane. Never blocks; what cannot be sent now is
   * dropped. Snapshot messages go by sendSnapshot().
   */
  send(group: number, messages: readonly Message[]): void {
    const touched = this.#touched;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i] as Message;
      assert(message.type !== "snapshot", "a snapshot is sent by sendSnapshot");
      const peer = this.#peers.get(message.to);
      if (peer === undefined) continue;
      const { controlQueue, bulkQueue } = peer;
      if (controlQueue.length + bulkQueue.length === 0) touched.push(peer);
      if (message.type === "append") bulkQueue.push(message);
      else controlQueue.push(message);
    }
    this.#sending = true;
    for (let i = 0; i < touched.length; i++) (touched[i] as Peer).flush(group);
    touched.length = 0;
    this.#sending = false;
    while (this.#lost.length > 0)
      this.#options.handlers.onUnreachable(this.#lost.pop() as MemberId);
  }

  /**
   * Forwards a batch of ours to the leader of `term`. False: it certainly did not leave. True: it
   * will be seen applied, refused through onRefusal, or lost.
   */
  propose(to: MemberId, group: number, term: number, payload: Uint8Array): boolean {
    return this.#peers.get(to)?.propose({ group, term, payload }) === true;
  }

  /**
   * Sends a copy of the state in place of Raft's snapshot message, whose meta must be the copy's.
   * Throws AetherError: "member_not_found", "too_many_requests" while another one goes to the same
   * peer. Close the source when `done` has settled.
   */
  sendSnapshot(group: number, message: SnapshotMessage, source: SnapshotSource): SnapshotTransfer {
    const { to } = message;
    if (!this.#peers.has(to)) throw new AetherError("member_not_found", to.toString(16));
    return this.#snapshots.send({
      group,
      message,
      source,
      urls: () => this.#peers.get(to)?.address.urls,
      fields: this.#fields(to, PeerLane.SNAPSHOT),
      connection: this.#connection,
      throttle: this.#throttle,
      random: this.#options.random,
    });
  }

  /** A call to `to` could leave now. */
  reaches(to: MemberId): boolean {
    return this.#peers.get(to)?.end !== undefined;
  }

  /**
   * Asks another member, by a method of AetherPeer with one request and one answer. Rejects with
   * AetherError: what the member failed with, "timeout", or "unhealthy" if it cannot be reached.
   */
  call<Request, Response>(
    to: MemberId,
    type: MethodType<Request, Response>,
    request: Request,
    timeoutMs: number,
  ): Promise<Response> {
    const peer = this.#peers.get(to);
    const end = peer?.end;
    if (end === undefined) {
      const why = peer === undefined ? "no such member" : peer.reason;
      return Promise.reject(new AetherError("unhealthy", `${to.toString(16)}: ${why}`));
    }
    const deadlineMs = this.#options.timers.nowMs() + timeoutMs;
    return callPeer(end, type, this.#fields(to, PeerLane.CALL), request, deadlineMs);
  }

  /** Every peer, for health and metrics. */
  status(): PeerStatus[] {
    return [...this.#peers.values()].map((peer) => ({
      id: peer.address.id,
      urls: peer.address.urls,
      up: peer.up,
      heard: this.#lanesFrom(peer.address.id) === 2,
      reason: peer.reason,
      pendingBytes: peer.pendingBytes,
      roundTripMs: peer.roundTripMs,
      sent: peer.counters,
    }));
  }

  /**
   * Ends all streams at once; what was sent before is still handed to the system. Resolves when no
   * snapshot is being written or installed any more.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
    for (const receiver of [...this.#receivers]) receiver.finish();
    await this.#snapshots.stop();
  }

  #makePeer(address: PeerAddress): Peer {
    const { clusterId, self, bulkBytesMax, controlBytesMax } = this.#options;
    const ids: FrameIds = { clusterId, from: self, to: address.id };
    return new Peer({
      address,
      ids,
      control: this.#lane(address, "control", controlBytesMax ?? CONTROL_BYTES_MAX),
      bulk: this.#lane(address, "bulk", bulkBytesMax ?? BULK_BYTES_MAX),
      scratch: this.#scratch,
      onRefusal: (refusal) => this.#onRefusal(refusal),
      onRoundTrip: (id, ms) => this.#options.observeRoundTripMs?.(id, ms),
      onRefused: (trailers, seals) => this.#onRefusedBy(address.id, trailers, seals),
      onUnreachable: (id) => this.#onUnreachable(id),
    });
  }

  #lane(address: PeerAddress, name: "control" | "bulk", bytesMax: number): LaneOptions {
    const { random, log } = this.#options;
    const lane = name === "control" ? PeerLane.CONTROL : PeerLane.BULK;
    return {
      name,
      peer: address.id.toString(16),
      urls: address.urls,
      fields: this.#fields(address.id, lane),
      bytesMax,
      connection: this.#connection,
      random,
      log,
    };
  }

  #fields(to: MemberId, lane: PeerLane): string[] {
    const { clusterId, self } = this.#options;
    return helloFields({ clusterId, from: self, to }, lane, this.#answers);
  }

  /** What `rule` says of a call that may come in; others are counted. Throws PeerRefusal. */
  #admit<T>(call: ServerCall, rule: (call: ServerCall, admission: Admission) => T): T {
    try {
      return rule(call, this.#admission);
    } catch (error) {
      if (error instanceof PeerRefusal) this.#onRefused(error.reason, error.message, call.peer);
      throw error;
    }
  }

  #admitted(call: ServerCall, receive: (admitted: Admitted) => StreamHandler): StreamHandler {
    try {
      return receive(this.#admit(call, admit));
    } catch (error) {
      if (!(error instanceof PeerRefusal)) throw error;
      call.fail(error.code, error.message, error.trailers);
      return IGNORING;
    }
  }

  #receive(call: ServerCall, admitted: Admitted): StreamHandler {
    const { hello } = admitted;
    if (hello.lane !== PeerLane.CONTROL && hello.lane !== PeerLane.BULK) {
      const text = "a stream of Raft frames needs a lane for them";
      this.#onRefused("malformed", text, call.peer);
      throw new PeerRefusal("malformed", text);
    }
    const from = hello.fromMemberId as MemberId;
    const receiver = new RaftReceiver(call, admitted, {
      admission: this.#admission,
      handlers: this.#options.handlers,
      scratch: this.#answers,
      onFrame: (bytes, messages) => {
        this.received.frames++;
        this.received.bytes += bytes;
        const { bytesFrom } = this.received;
        bytesFrom.set(from, (bytesFrom.get(from) ?? 0) + bytes);
        this.received.messages += messages;
      },
      onRefused: (reason, detail) => this.#onRefused(reason, detail, call.peer),
      onEnd: (ended) => this.#receivers.delete(ended),
    });
    this.#replace(receiver);
    this.#peers.get(hello.fromMemberId)?.wake();
    return receiver;
  }

  #takeSnapshot(call: ServerCall, admitted: Admitted): StreamHandler {
    return this.#snapshots.receive(call, admitted, {
      store: this.#options.handlers.snapshots,
      log: this.#options.log,
      scratch: this.#answers,
      onRefused: (reason, detail) => this.#onRefused(reason, detail, call.peer),
    });
  }

  /** The newest stream of a peer's lane counts: the older one's other end is gone. */
  #replace(receiver: RaftReceiver): void {
    for (const older of [...this.#receivers]) {
      const { fromMemberId, lane } = older.hello;
      if (fromMemberId === receiver.hello.fromMemberId && lane === receiver.hello.lane) {
        older.finish();
      }
    }
    this.#receivers.add(receiver);
  }

  #lanesFrom(id: bigint): number {
    let count = 0;
    for (const { hello } of this.#receivers) if (hello.fromMemberId === id) count++;
    return count;
  }

  #onRefused(reason: RefusalReason, detail: string, peer: string): void {
    this.received.refused[reason]++;
    this.#refusals.refused(reason, detail, peer);
  }

  /** A peer does not let us in. If it proves that we were removed, the owner is told, once. */
  #onRefusedBy(id: MemberId, trailers: Metadata, seals: CallSeals | undefined): void {
    if (this.#removalTold || !provesRemoval(trailers, this.#admission, seals)) return;
    this.#removalTold = true;
    this.#options.log.warn("removed from the cluster", { by: id.toString(16) });
    this.#options.handlers.onRemoved();
  }

  #onUnreachable(id: MemberId): void {
    if (this.#sending) this.#lost.push(id);
    else this.#options.handlers.onUnreachable(id);
  }

  #onRefusal(refusal: ProposalRefusal): void {
    const { group, originMemberId, sequence, leaderMemberId } = refusal;
    if (originMemberId !== this.#options.self) return; // not ours: nobody here waits for it
    const error = errorOf(refusal.error, refusal.detail);
    const leader = leaderMemberId;
    this.#options.handlers.onRefusal({ group, origin: originMemberId, sequence, error, leader });
  }
}

function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((url, i) => url === b[i]);
}
