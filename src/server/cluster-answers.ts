/**
 * What a member answers when another one asks (AetherPeer's small calls): about leases and the
 * membership it is asked as the leader, about itself and the hash of its state as itself. Failures
 * are AetherErrors, which travel to who asks.
 */
import { AetherError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { ChangeDone } from "../cluster/ports.ts";
import type { PeerCallHandlers } from "../net/peers/ports.ts";
import type { LeaseLife } from "../node/ports.ts";
import {
  type HashKVPeerRequest,
  type HashKVPeerResponse,
  type LeaseRemainingPeerRequest,
  type LeaseRemainingPeerResponse,
  type LeaseRenewPeerRequest,
  type LeaseRenewPeerResponse,
  type MemberChangePeerRequest,
  type MemberChangePeerResponse,
  MemberInfoResponse,
  type MembersPeerResponse,
} from "../proto/gen/aether.v1.ts";
import type { HashDone, StateHash } from "../rpc/hash-queue.ts";
import { timesOf } from "./lease-times.ts";
import type { LinkedGroup } from "./linked-group.ts";

/** Takes a hash of the state up to a revision, in slices; gives it up once it is not wanted. */
export type TakeHash = (revision: number, isWanted: () => boolean, done: HashDone) => void;

export interface AnswersParts {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The number of the group that is asked about. */
  readonly groupNumber: number;
  readonly group: () => LinkedGroup;
  readonly takeHash: TakeHash;
  /** Changes the membership if this member leads. */
  readonly changeHere: (request: MemberChangePeerRequest, done: ChangeDone) => void;
}

export class ClusterAnswers implements PeerCallHandlers {
  readonly #parts: AnswersParts;
  #stopped = false;

  constructor(parts: AnswersParts) {
    this.#parts = parts;
  }

  async leaseRenew(request: LeaseRenewPeerRequest): Promise<LeaseRenewPeerResponse> {
    const { leaseCalls } = this.#groupOf(request);
    const lives = await answerOf<readonly LeaseLife[]>((done) => {
      leaseCalls.renewHere(request.IDs, done);
    });
    return { leases: timesOf(lives) };
  }

  async leaseRemaining(request: LeaseRemainingPeerRequest): Promise<LeaseRemainingPeerResponse> {
    const { leaseCalls } = this.#groupOf(request);
    const lives = await answerOf<readonly LeaseLife[]>((done) => {
      leaseCalls.livesHere(request.IDs, done);
    });
    return { leases: timesOf(lives) };
  }

  memberInfo(): MemberInfoResponse {
    const { clusterId, memberId } = this.#parts;
    const { machine, leader, term, appliedIndex } = this.#parts.group();
    const record = machine.member(memberId);
    return MemberInfoResponse.create({
      clusterId,
      memberId,
      version: VERSION,
      name: record?.name ?? "",
      clientUrls: [...(record?.clientURLs ?? [])],
      peerUrls: [...(record?.peerURLs ?? [])],
      leader,
      raftTerm: term,
      appliedIndex,
    });
  }

  /**
   * The hash up to the revision, of a state that has applied all that was decided before the
   * question. A state whose newest revision is lower even then differs from the one that is asked
   * for, and is hashed as far as it goes.
   */
  async hashKv(request: HashKVPeerRequest): Promise<HashKVPeerResponse> {
    const group = this.#groupOf(request);
    await answerOf<undefined>((done) => group.read(done));
    const wanted = Math.min(request.revision, group.machine.revision);
    const isWanted = (): boolean => !this.#stopped;
    const { hash, compactRevision, revision } = await answerOf<StateHash>((done) => {
      this.#parts.takeHash(wanted, isWanted, done);
    });
    const newest = group.machine.revision;
    return { hash, compactRevision, hashRevision: revision, revision: newest };
  }

  memberChange(request: MemberChangePeerRequest): Promise<MemberChangePeerResponse> {
    this.#groupOf(request);
    return answerOf((done) => this.#parts.changeHere(request, done));
  }

  /** A member that waits for its first copy of the state does not know yet. */
  members(): MembersPeerResponse {
    const { clusterId, memberId } = this.#parts;
    const { machine } = this.#parts.group();
    const members = [...machine.members()];
    if (members.length === 0) throw new AetherError("unhealthy", "the state has not come yet");
    return { clusterId, memberId, members, removedMemberIds: [...machine.removedMembers()] };
  }

  /** Refuses what comes from now on. What waits for the group ends with it. */
  stop(): void {
    this.#stopped = true;
  }

  #groupOf(request: { readonly group: number }): LinkedGroup {
    if (this.#stopped) throw new AetherError("stopped");
    if (request.group === this.#parts.groupNumber) return this.#parts.group();
    throw new AetherError("not_found", `there is no group ${request.group} here`);
  }
}

/** The answer that `ask` hands to its callback; an AetherError rejects. */
export function answerOf<T>(ask: (done: (answer: T | AetherError) => void) => void): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  ask((answer) => {
    if (answer instanceof AetherError) reject(answer);
    else resolve(answer);
  });
  return promise;
}
