/**
 * What a change of the membership comes to, or why it may not be: pure decisions of the leader,
 * made on a state that has applied every change before this one.
 *
 * With the strict check (etcd's --strict-reconfig-check) no change may leave a cluster that cannot
 * go on. Counted are the voters there will be: a quorum of them must have started, and a quorum of
 * them must be heard of now. A newcomer counts as neither, since nobody knows when it will start.
 * The one exception is the second voter: the cluster of one cannot count on anybody else, and
 * stands still until the newcomer has started.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { MemberChangePeerRequest } from "../proto/gen/aether.v1.ts";
import {
  Member,
  type MemberAddRequest,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
} from "../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../proto/message.ts";
import type { ChangeAction, ChangeStep } from "../raft/membership/change.ts";
import type { MemberId } from "../raft/types.ts";
import { CommandKind } from "../state/command.ts";
import { checkedPeerUrls } from "../state/peer-urls.ts";
import { addedMemberId } from "./founding.ts";
import type { MemberRecords } from "./ports.ts";

/** How much of the leader's log a learner must have before it may vote (etcd's readyPercent). */
const READY_SHARE = 0.9;

/** Ids tried for one newcomer, each of a second later. */
const ID_ATTEMPTS_MAX = 60;

export interface ChangePolicy {
  /** Refuse what could leave the cluster without a quorum. */
  readonly strict: boolean;
  readonly learnersMax: number;
}

/** The cluster as its leader sees it. */
export interface ClusterView {
  readonly records: MemberRecords;
  /** Whether a member is heard of; true of the leader itself. */
  isActive(id: bigint): boolean;
  /** How much of the log a member has; undefined if the leader knows no such member. */
  match(id: bigint): number | undefined;
  readonly committedIndex: number;
}

/** A change of Raft's configuration, and the command that is applied with it. */
export interface ChangePlan {
  readonly steps: readonly ChangeStep[];
  readonly kind: CommandKind;
  readonly body: Uint8Array;
}

/** Plans the one change that the request names. Throws AetherError. */
export function planChange(
  request: MemberChangePeerRequest,
  view: ClusterView,
  policy: ChangePolicy,
  wallMs: number,
): ChangePlan {
  const { add, remove, update, promote } = request;
  if (add !== undefined) return planAdd(add, view, policy, wallMs);
  if (remove !== undefined) return planRemove(remove, view, policy);
  if (update !== undefined) return planUpdate(update, view);
  if (promote !== undefined) return planPromote(promote, view, policy);
  throw new AetherError("invalid_argument", "the request names no change");
}

function planAdd(
  request: MemberAddRequest,
  view: ClusterView,
  policy: ChangePolicy,
  wallMs: number,
): ChangePlan {
  const { isLearner } = request;
  const peerURLs = checkedPeerUrls(request.peerURLs);
  const voters = votersOf(view.records);
  const isSecond = !isLearner && voters.length === 1 && isStarted(voters[0] as Member);
  const ID = freeId(peerURLs, view.records, wallMs);
  const newcomer = Member.create({ ID, peerURLs, isLearner });
  // First of all, as etcd does: it looks at URLs and learners when it applies the change.
  if (policy.strict && !isSecond) {
    checkQuorum(isLearner ? voters : [...voters, newcomer], view, new Set());
  }
  refuseUsedUrls(peerURLs, 0n, view.records);
  const learners = view.records.members().filter((member) => member.isLearner).length;
  if (isLearner && learners >= policy.learnersMax) {
    throw new AetherError("too_many_learners", `${learners} learn, and no more may`);
  }
  const action = isLearner ? "add-learner" : "add-voter";
  return planOf(action, ID, CommandKind.memberAdd, encoded(Member, newcomer));
}

function planRemove(
  { ID }: MemberRemoveRequest,
  view: ClusterView,
  policy: ChangePolicy,
): ChangePlan {
  const { isLearner } = existing(ID, view.records);
  const left = votersOf(view.records).filter((member) => member.ID !== ID);
  if (policy.strict && !isLearner) checkQuorum(left, view, new Set());
  return planOf("remove", ID, CommandKind.memberRemove, encoded(MemberRemoveRequest, { ID }));
}

/**
 * Raft's configuration stays as it is. It is a change of it all the same, since there is only one
 * at a time: so no other change is decided on URLs that are about to be different.
 */
function planUpdate(request: MemberUpdateRequest, view: ClusterView): ChangePlan {
  const { ID } = request;
  const { isLearner } = existing(ID, view.records);
  const peerURLs = checkedPeerUrls(request.peerURLs);
  refuseUsedUrls(peerURLs, ID, view.records);
  const action = isLearner ? "add-learner" : "add-voter";
  const body = encoded(MemberUpdateRequest, { ID, peerURLs });
  return planOf(action, ID, CommandKind.memberUpdate, body);
}

function planPromote(
  { ID }: MemberPromoteRequest,
  view: ClusterView,
  policy: ChangePolicy,
): ChangePlan {
  const learner = existing(ID, view.records);
  if (!learner.isLearner) throw new AetherError("not_a_learner", named(ID));
  const match = view.match(ID) ?? 0;
  if (match < view.committedIndex * READY_SHARE) {
    const share = `${match} of ${view.committedIndex} entries`;
    throw new AetherError("learner_not_ready", `${named(ID)} has ${share}`);
  }
  if (policy.strict) {
    // It has the log, so it has started, whether it has said so or not.
    checkQuorum([...votersOf(view.records), learner], view, new Set([ID]));
  }
  return planOf("add-voter", ID, CommandKind.memberPromote, encoded(MemberPromoteRequest, { ID }));
}

/** Whether a quorum of the voters-to-be has started and is there; `started` have, for certain. */
function checkQuorum(
  voters: readonly Member[],
  view: ClusterView,
  started: ReadonlySet<bigint>,
): void {
  const quorum = Math.floor(voters.length / 2) + 1;
  const startedCount = voters.filter((each) => isStarted(each) || started.has(each.ID)).length;
  const of = `${voters.length} voters, ${quorum} needed`;
  if (startedCount < quorum) {
    throw new AetherError("too_few_started_members", `${startedCount} started of ${of}`);
  }
  const active = voters.filter(({ ID }) => view.isActive(ID)).length;
  if (active < quorum) throw new AetherError("unhealthy", `${active} heard of, of ${of}`);
}

/** A member has started once it has published where its clients reach it. */
export function isStarted(member: Member): boolean {
  return member.clientURLs.length > 0;
}

function votersOf(records: MemberRecords): Member[] {
  return records.members().filter((member) => !member.isLearner);
}

function existing(id: bigint, records: MemberRecords): Member {
  const member = records.member(id);
  if (member === undefined) throw new AetherError("member_not_found", named(id));
  return member;
}

function refuseUsedUrls(urls: readonly string[], self: bigint, records: MemberRecords): void {
  for (const { ID, peerURLs } of records.members()) {
    const url = peerURLs.find((each) => ID !== self && urls.includes(each));
    if (url !== undefined) throw new AetherError("peer_urls_exist", `${url} is of ${named(ID)}`);
  }
}

/**
 * etcd's id for these URLs at this second; that of a later one if it was used before, when
 * somebody adds, removes and adds the same member within a second.
 */
function freeId(peerUrls: readonly string[], records: MemberRecords, wallMs: number): MemberId {
  const seconds = Math.floor(wallMs / 1000);
  for (let later = 0; later < ID_ATTEMPTS_MAX; later++) {
    const id = addedMemberId(peerUrls, seconds + later);
    if (id !== 0n && !records.isRemoved(id) && records.member(id) === undefined) return id;
  }
  throw new AetherError("member_exists", "all ids of this minute are used; try again later");
}

function planOf(action: ChangeAction, id: bigint, kind: CommandKind, body: Uint8Array): ChangePlan {
  assert(id !== 0n, "nobody has the id 0");
  return { steps: [{ action, id: id as MemberId }], kind, body };
}

function encoded<T>(type: MessageType<T>, message: T): Uint8Array {
  const out = new ByteWriter(256);
  type.encode(message, out);
  return out.copy();
}

function named(id: bigint): string {
  return `member ${id.toString(16)}`;
}
