/**
 * What the services need of a node beside its group: who belongs to the cluster, and changes of
 * that (cluster/membership.ts). Callbacks run once each.
 */
import type { AetherError } from "../base/errors.ts";
import type {
  Member,
  MemberAddRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
} from "../proto/gen/etcdserverpb.ts";

/** The members after a change. */
export interface ChangedMembers {
  /** The member that was added. */
  readonly member: Member | undefined;
  readonly members: readonly Member[];
}

export type ChangedDone = (answer: ChangedMembers | AetherError) => void;

/** Changes of the membership, asked for at any member; each may fail as etcd's. */
export interface MembershipCalls {
  add(request: MemberAddRequest, done: ChangedDone): void;
  remove(request: MemberRemoveRequest, done: ChangedDone): void;
  update(request: MemberUpdateRequest, done: ChangedDone): void;
  promote(request: MemberPromoteRequest, done: ChangedDone): void;
  list(linearizable: boolean, done: (answer: readonly Member[] | AetherError) => void): void;
  /** At the leader only; `done` when the target leads. */
  moveLeader(target: bigint, done: (error: AetherError | undefined) => void): void;
}
