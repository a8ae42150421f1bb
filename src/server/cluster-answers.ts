/**
 * What a member answers when another one asks (AetherPeer's small calls): about leases and the
 * membership it is asked as the leader, about itself and the hash of its state as itself. Failures
 * are AetherErrors, which travel to who asks.
 */
import { AetherError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { ChangeDone } from "../cluster/ports.ts";
import type { PeerCallHandlers, PeerTimers } from "../net/peers/ports.ts";
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

/** A member may be so far behind the one that asks for a hash; then it fails as a range does. */
const REVISION_WAIT_MS_MAX = 5_000;

/** Questions that wait for a revision. A leader asks one at a time; more are refused. */
const WAITING_MAX = 64;

/** Takes a hash of the state up to a revision, in slices; gives it up once it is not wanted. */
export type TakeHash = (revision: number, isWanted: () => boolean, done: HashDone) => void;

export interface AnswersParts {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The number of the group that is asked about. */
  readonly groupNumber: number;
  readonly group: () => LinkedGroup;
  readonly timers: PeerTimers;
  readonly takeHash: TakeHash;
  /** Changes the membership if this member leads. */
  readonly changeHere: (request: MemberChangePeerRequest, done: ChangeDone) => void;
}

export class ClusterAnswers implements PeerCallHandlers {
  readonly #parts: AnswersParts;
  /** Ends the questions that wait for a revision. */
  readonly #waiting = new Set<(error: AetherError) => void>();
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

  /** Waits until the revision is applied here, then for the hash of it. */
  async hashKv(request: HashKVPeerRequest): Promise<HashKVPeerResponse> {
    const group = this.#groupOf(request);
    await this.#whenRevision(group, request.revision);
    const isWanted = (): boolean => !this.#stopped;
    const { hash, compactRevision, revision } = await answerOf<StateHash>((done) => {
      this.#parts.takeHash(request.revision, isWanted, done);
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

  /** Ends what waits. */
  stop(): void {
    this.#stopped = true;
    for (const end of [...this.#waiting]) end(new AetherError("stopped"));
  }

  #groupOf(request: { readonly group: number }): LinkedGroup {
    if (this.#stopped) throw new AetherError("stopped");
    if (request.group === this.#parts.groupNumber) return this.#parts.group();
    throw new AetherError("not_found", `there is no group ${request.group} here`);
  }

  #whenRevision(group: LinkedGroup, revision: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (group.machine.revision >= revision) resolve();
    else if (this.#waiting.size >= WAITING_MAX) {
      reject(new AetherError("too_many_requests", "too many wait for a revision"));
    } else {
      const end = (error: AetherError | undefined): void => {
        if (!this.#waiting.delete(end)) return;
        cancel();
        if (error === undefined) resolve();
        else reject(error);
      };
      const look = (): void => {
        if (!this.#waiting.has(end)) return;
        if (group.machine.revision >= revision) end(undefined);
        else group.whenApplied(group.appliedIndex + 1, look);
      };
      const cancel = this.#parts.timers.after(REVISION_WAIT_MS_MAX, () => {
        end(new AetherError("future_revision", `${revision} has not come in time`));
      });
      this.#waiting.add(end);
      look();
    }
    return promise;
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
