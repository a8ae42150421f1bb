/**
 * The way between this member's group and the other members: the group's Transport over Peers, and
 * what arrives there handed to the group.
 *
 *   Group ─ transport ─▶ Peers ─▶ · · · ─▶ Peers ─ handlers ─▶ Group
 *                                            └─ small calls ─▶ ClusterAnswers
 *
 * Nothing here throws into a socket or into the group but our own mistakes: what is expected to
 * fail is an AetherError, to whoever asked.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { ConsistencyPorts } from "../cluster/consistency.ts";
import type { ChangeDone, ForwardChange } from "../cluster/ports.ts";
import {
  type PeerStatus,
  Peers,
  type PeersOptions,
  type ReceivedCounters,
} from "../net/peers/peers.ts";
import type { PeerHandlers } from "../net/peers/ports.ts";
import type { HeldState, LeaseAnswer, Transport } from "../node/ports.ts";
import {
  AetherPeer,
  type LeaseRenewPeerRequest,
  type LeaseRenewPeerResponse,
  type MemberChangePeerRequest,
} from "../proto/gen/aether.v1.ts";
import type { Member } from "../proto/gen/etcdserverpb.ts";
import type { MethodType } from "../proto/message.ts";
import type { SnapshotMessage } from "../raft/message.ts";
import { type MemberId, NOBODY } from "../raft/types.ts";
import type { Method } from "../wire/grpc/server-call.ts";
import { ClusterAnswers, type TakeHash } from "./cluster-answers.ts";
import { livesOf } from "./lease-times.ts";
import type { LinkedGroup } from "./linked-group.ts";
import { receivedCopies, type StageCopy, sendHeld } from "./snapshot-link.ts";

/** A member hashes half a million keys a second; keepalive sees before whether it lives. */
const HASH_CALL_MS_MAX = 600_000;

export interface ClusterLinkOptions {
  readonly peers: Omit<PeersOptions, "handlers">;
  /** The number of the group; messages for others are dropped. */
  readonly groupNumber: number;
  /** For an answer of the leader about leases: then somebody else may lead. */
  readonly leaseCallMs: number;
  /** For a change of the membership at the leader. */
  readonly changeCallMs: number;
  /** Where copies of the state are collected that arrive. */
  readonly snapshotsDirectory: string;
  readonly stage: StageCopy;
  readonly takeHash: TakeHash;
  /** Changes the membership if this member leads, else not_leader. */
  readonly changeHere: (request: MemberChangePeerRequest, done: ChangeDone) => void;
  /** Another member proved that this one was removed; once. */
  readonly onRemoved: () => void;
}

/** Renewals and questions what is left have one shape. */
type LeaseMethod = MethodType<LeaseRenewPeerRequest, LeaseRenewPeerResponse>;

export class ClusterLink {
  readonly transport: Transport = {
    send: (messages) => this.#peers.send(this.#options.groupNumber, messages),
    propose: (to, term, payload) =>
      this.#peers.propose(to, this.#options.groupNumber, term, payload),
    sendSnapshot: (message, held, onEnd) => {
      void this.#sendSnapshot(message, held).then(onEnd);
    },
    renewLeases: (to, ids, onAnswer) => {
      void this.#askLeader(AetherPeer.LeaseRenew, to, ids).then(onAnswer);
    },
    leaseLives: (to, ids, onAnswer) => {
      void this.#askLeader(AetherPeer.LeaseRemaining, to, ids).then(onAnswer);
    },
  };
  readonly #options: ClusterLinkOptions;
  readonly #peers: Peers;
  readonly #answers: ClusterAnswers;
  #group: LinkedGroup | undefined;

  /** Needs its group, which needs the transport: attach() it before setMembers(). */
  constructor(options: ClusterLinkOptions) {
    const { peers, groupNumber, takeHash, changeHere } = options;
    this.#options = options;
    this.#answers = new ClusterAnswers({
      clusterId: peers.clusterId,
      memberId: peers.self,
      group: () => this.#attached,
      ...{ groupNumber, takeHash, changeHere },
    });
    this.#peers = new Peers({ ...peers, handlers: this.#handlers() });
  }

  attach(group: LinkedGroup): void {
    assert(this.#group === undefined, "a link has one group");
    this.#group = group;
  }

  /** For the server that members come to. */
  get methods(): readonly Method[] {
    return this.#peers.methods;
  }

  /** What came from other members so far; borrowed, and grows. */
  get received(): Readonly<ReceivedCounters> {
    return this.#peers.received;
  }

  status(): PeerStatus[] {
    return this.#peers.status();
  }

  /** Who the members are from now on, and who was one. */
  setMembers(members: readonly Member[], removed: readonly bigint[]): void {
    const known = members.filter(({ peerURLs }) => peerURLs.length > 0);
    const list = known.map(({ ID, peerURLs }) => ({ id: ID as MemberId, urls: peerURLs }));
    this.#peers.setPeers(list, removed);
  }

  /**
   * Asks `to` to change the membership. not_leader: certainly nothing was done, and nothing will
   * be; after any other failure it may happen yet.
   */
  readonly forwardChange: ForwardChange = (to, request, done) => {
    const { groupNumber: group, changeCallMs } = this.#options;
    if (!this.#peers.reaches(to)) {
      done(new AetherError("not_leader", "the leader cannot be reached"));
      return;
    }
    const asked = { ...request, group };
    void this.ask(to, AetherPeer.MemberChange, asked, changeCallMs).then(done);
  };

  /** Asks for the hash of another member's state; see Consistency's port. */
  readonly askHash: ConsistencyPorts["hashAt"] = (to, revision, done) => {
    const asked = { group: this.#options.groupNumber, revision };
    void this.ask(to, AetherPeer.HashKV, asked, HASH_CALL_MS_MAX).then((answer) => {
      if (answer instanceof AetherError) done(answer);
      else done({ ...answer, revision: answer.hashRevision });
    });
  };

  /** Asks another member; a failure is its answer. */
  async ask<Request, Response>(
    to: MemberId,
    type: MethodType<Request, Response>,
    request: Request,
    timeoutMs: number,
  ): Promise<Response | AetherError> {
    try {
      return await this.#peers.call(to, type, request, timeoutMs);
    } catch (error) {
      if (error instanceof AetherError) return error;
      throw error;
    }
  }

  /** Ends all streams; resolves when no copy is being written any more. */
  async stop(): Promise<void> {
    this.#answers.stop();
    await this.#peers.stop();
  }

  get #attached(): LinkedGroup {
    assert(this.#group !== undefined, "the group is attached before anything arrives");
    return this.#group;
  }

  #handlers(): PeerHandlers {
    const { snapshotsDirectory, stage, onRemoved } = this.#options;
    const isOurs = (group: number): boolean => group === this.#options.groupNumber;
    return {
      onMessages: (group, messages) => {
        if (isOurs(group)) this.#attached.receive(messages);
      },
      onProposal: (_from, group, term, payload, refuse) => {
        if (isOurs(group)) this.#attached.receiveProposal(term, payload, refuse);
        else refuse(new AetherError("not_leader", `there is no group ${group} here`), NOBODY);
      },
      onRefusal: ({ group, sequence, error }) => {
        if (isOurs(group)) this.#attached.proposalRefused(sequence, error);
      },
      onUnreachable: (id) => this.#attached.unreachable(id),
      onRemoved,
      calls: this.#answers,
      snapshots: receivedCopies(snapshotsDirectory, stage, () => this.#attached),
    };
  }

  /** Whether the copy was installed. */
  async #sendSnapshot(message: SnapshotMessage, held: HeldState): Promise<boolean> {
    const { groupNumber, peers } = this.#options;
    try {
      await sendHeld(held, (source) => this.#peers.sendSnapshot(groupNumber, message, source));
      return true;
    } catch (error) {
      if (!isExpected(error)) throw error;
      const to = message.to.toString(16);
      peers.log.warn("snapshot not sent", { to, reason: error.message });
      return false;
    }
  }

  async #askLeader(
    type: LeaseMethod,
    to: MemberId,
    ids: readonly bigint[],
  ): Promise<Parameters<LeaseAnswer>[0]> {
    const { groupNumber: group, leaseCallMs } = this.#options;
    const answer = await this.ask(to, type, { group, IDs: [...ids] }, leaseCallMs);
    return answer instanceof AetherError ? answer : livesOf(ids, answer.leases);
  }
}

/** A failure of the peer or of the system (of a file), not our own mistake. */
function isExpected(error: unknown): error is Error {
  return error instanceof AetherError || (error instanceof Error && "code" in error);
}
