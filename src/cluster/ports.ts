/**
 * What membership needs of a group (node/group.ts is one), and the way to the leader. Callbacks
 * run once each; none of these calls blocks.
 */
import type { AetherError } from "../base/errors.ts";
import type { MemberChangePeerRequest, MemberChangePeerResponse } from "../proto/gen/aether.v1.ts";
import type { Member } from "../proto/gen/etcdserverpb.ts";
import type { ChangeStep } from "../raft/membership/change.ts";
import type { MemberId } from "../raft/types.ts";
import type { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";

/** The members as this member's state has them. */
export interface MemberRecords {
  /** In order of id; borrowed. */
  members(): readonly Member[];
  member(id: bigint): Member | undefined;
  isRemoved(id: bigint): boolean;
}

/** What a leader knows of another member. */
export interface PeerProgress {
  readonly id: MemberId;
  /** The last index that is known to be in its log. */
  readonly match: number;
  /** Heard of lately. */
  readonly active: boolean;
}

export interface MembershipGroup {
  /** Replaced when a snapshot is installed. */
  readonly machine: MemberRecords;
  readonly isLeader: boolean;
  /** 0 while nobody is known to lead. */
  readonly leader: MemberId;
  readonly committedIndex: number;
  /**
   * Proposes a change of Raft's configuration with the command that is applied with it; at the
   * leader only. The command is applied if Raft takes the change, also if its configuration stays
   * as it is. not_leader and leader_changed promise that it was not and will not be done.
   */
  proposeChange(
    change: { readonly steps: readonly ChangeStep[] },
    kind: CommandKind,
    body: Uint8Array,
    done: (outcome: Outcome) => void,
  ): void;
  /** Runs `done` when everything that was decided before the call is applied here. */
  read(done: (error: AetherError | undefined) => void): void;
  /** At the leader: all members but itself, learners too. Else empty. */
  progress(): readonly PeerProgress[];
  /** Throws AetherError not_leader or bad_transferee. */
  transferLeadership(to: MemberId): void;
  /** Runs `done` once `index` is applied here, Raft's part of it too. */
  whenApplied(index: number, done: () => void): void;
}

/** Takes the answer to a change, or why there is none. */
export type ChangeDone = (answer: MemberChangePeerResponse | AetherError) => void;

/** Asks `to` to change the membership. not_leader and leader_changed: nothing was done. */
export type ForwardChange = (
  to: MemberId,
  request: MemberChangePeerRequest,
  done: ChangeDone,
) => void;
