/**
 * What the transport between members needs of the rest: who takes what arrives, who lets callers
 * in, where copies of the state come from and go to, connections and time.
 */
import type { AetherError } from "../../base/errors.ts";
import type {
  HashKVPeerRequest,
  HashKVPeerResponse,
  LeaseRemainingPeerRequest,
  LeaseRemainingPeerResponse,
  LeaseRenewPeerRequest,
  LeaseRenewPeerResponse,
  MemberChangePeerRequest,
  MemberChangePeerResponse,
  MemberInfoRequest,
  MemberInfoResponse,
  MembersPeerRequest,
  MembersPeerResponse,
} from "../../proto/gen/aether.v1.ts";
import type { Message, SnapshotMessage } from "../../raft/message.ts";
import type { MemberId } from "../../raft/types.ts";
import type { ProtocolConnection } from "../../wire/connection.ts";

/** A member other than this one. */
export interface PeerAddress {
  readonly id: MemberId;
  /** Tried in turn, one dial each; at least one. */
  readonly urls: readonly string[];
}

/** Why a forwarded proposal was not appended. */
export interface Refusal {
  readonly group: number;
  /** Of the batch, as written in it. */
  readonly origin: bigint;
  readonly sequence: number;
  /** not_leader, no_leader, too_many_requests, leader_changed, stopped; else unhealthy. */
  readonly error: AetherError;
  /** Who leads, as far as the refusing member knows; 0n if it does not. */
  readonly leader: bigint;
}

/** Tells the origin that its batch was not appended; at most once, and only if it was not. */
export type Refuse = (error: AetherError, leader: bigint) => void;

/**
 * What arrives. Everything is called synchronously from the socket's data event and must neither
 * throw nor block; what is handed over belongs to the callee.
 */
export interface PeerHandlers {
  /** The messages of one frame, in order: step all of them, then drive the group once. */
  onMessages(group: number, messages: readonly Message[]): void;
  /**
   * A batch of a follower (its whole header is there): to be proposed here if this member leads in
   * exactly `term`, else refused.
   */
  onProposal(from: MemberId, group: number, term: number, payload: Buffer, refuse: Refuse): void;
  /** A batch of ours was refused. */
  onRefusal(refusal: Refusal): void;
  /** Appends to the peer may have been lost; once per loss. For Raft's reportUnreachable(). */
  onUnreachable(id: MemberId): void;
  /**
   * This member is none any more, another one proved: it was removed, perhaps while it was down.
   * Called once.
   */
  onRemoved(): void;
  /** Small questions of other members; a thrown or rejected AetherError becomes the answer. */
  readonly calls: PeerCallHandlers;
  readonly snapshots: SnapshotStore;
}

type Answer<T> = T | Promise<T>;

export interface PeerCallHandlers {
  leaseRenew(request: LeaseRenewPeerRequest): Answer<LeaseRenewPeerResponse>;
  leaseRemaining(request: LeaseRemainingPeerRequest): Answer<LeaseRemainingPeerResponse>;
  memberInfo(request: MemberInfoRequest): Answer<MemberInfoResponse>;
  hashKv(request: HashKVPeerRequest): Answer<HashKVPeerResponse>;
  memberChange(request: MemberChangePeerRequest): Answer<MemberChangePeerResponse>;
  /** Asked by who may be no member. */
  members(request: MembersPeerRequest): Answer<MembersPeerResponse>;
}

/** What is known of a caller beside what it says. */
export interface PeerIdentity {
  /** `host:port`, or `unix`. */
  readonly address: string;
  /** The common name of its verified certificate. */
  readonly certificateName: string | undefined;
}

/** Says why the caller may not come in, in words that say what to set; undefined: it may. */
export type Authorize = (peer: PeerIdentity) => string | undefined;

/** A copy of the state to be sent; nobody changes it before close(). */
export interface SnapshotSource {
  readonly size: number;
  /** SHA-256 of the whole, 32 bytes. */
  readonly sha256: Uint8Array;
  /** Exactly `length` bytes from `offset`, both within the size; the caller may keep them. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** What a sender announces. */
export interface SnapshotNews {
  readonly group: number;
  readonly message: SnapshotMessage;
  readonly size: number;
  /** 32 bytes. */
  readonly sha256: Uint8Array;
}

/** Keeps copies that arrive; at most one of a group at a time is open. */
export interface SnapshotStore {
  /**
   * Opens the unfinished copy of this hash, or begins one; unfinished ones of other hashes of the
   * group may go. Rejects (AetherError) if the copy is not wanted or cannot be kept.
   */
  open(news: SnapshotNews): Promise<SnapshotSink>;
  /**
   * The copy is whole and its hash fits: make it durable, take it over and let Raft step the
   * message. It belongs to the callee, who closes the sink. Resolves when that is done; a
   * rejection tells the sender that it was in vain.
   */
  install(news: SnapshotNews, sink: SnapshotSink): Promise<void>;
}

/** One copy while it arrives. Calls never overlap. */
export interface SnapshotSink {
  /** Bytes kept, from the start without a gap. */
  readonly length: number;
  /** Exactly `length` bytes of those kept. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Appends; the bytes belong to the sink. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends for now; what is kept may be opened again. */
  close(): Promise<void>;
  /** Ends and forgets what is kept: its hash was wrong. */
  discard(): Promise<void>;
}

/** A connection that was opened. */
export interface PeerSocket {
  /** Ends at once; the connection's closed() runs. */
  terminate(): void;
  /** Ends politely: what is pending goes as far as the system takes it. */
  end(): void;
}

/** Opens connections: sockets (dial.ts), or pipes in tests. */
export interface PeerDialer {
  /**
   * Resolves when `connect` was called and its connection is driven. Rejects with AetherError
   * after at most `timeoutMs`. `onClosed` follows once if it resolved.
   */
  dial(
    url: string,
    timeoutMs: number,
    connect: (nowMs: number) => ProtocolConnection,
    onClosed: () => void,
  ): Promise<PeerSocket>;
}

/** Time, as the transport uses it. */
export interface PeerTimers {
  /** Monotonic milliseconds, the clock of the connections. */
  nowMs(): number;
  /** Runs `run` once after `delayMs`; the result calls it off. */
  after(delayMs: number, run: () => void): () => void;
}
