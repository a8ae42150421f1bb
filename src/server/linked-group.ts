/** What the way to the other members needs of a group: node/group.ts is one. */
import type { AetherError } from "../base/errors.ts";
import type { LeaseAnswer } from "../node/ports.ts";
import type { Member } from "../proto/gen/etcdserverpb.ts";
import type { Message, SnapshotMessage } from "../raft/message.ts";
import type { MemberId } from "../raft/types.ts";

export interface LinkedGroup {
  /** Another object after a snapshot was installed. */
  readonly machine: LinkedState;
  readonly term: number;
  /** NOBODY while unknown. */
  readonly leader: MemberId;
  readonly appliedIndex: number;
  readonly leaseCalls: {
    /** not_leader unless this member leads; as for every answer, once. */
    renewHere(ids: readonly bigint[], done: LeaseAnswer): void;
    livesHere(ids: readonly bigint[], done: LeaseAnswer): void;
  };
  /** The messages of one frame. */
  receive(messages: readonly Message[]): void;
  /** `refuse` is called if the batch is not taken, and only then. */
  receiveProposal(
    term: number,
    payload: Uint8Array,
    refuse: (error: AetherError, leader: MemberId) => void,
  ): void;
  proposalRefused(sequence: number, error: AetherError): void;
  unreachable(id: MemberId): void;
  /** Runs `done` when everything that was decided before the call is applied here. */
  read(done: (error: AetherError | undefined) => void): void;
  /** A whole copy lies, checked, beside the state. */
  receiveSnapshot(message: SnapshotMessage, done: (error?: AetherError) => void): void;
}

export interface LinkedState {
  readonly revision: number;
  members(): readonly Member[];
  member(id: bigint): Member | undefined;
  removedMembers(): readonly bigint[];
}
