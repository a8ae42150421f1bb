/**
 * The state of one member of one group: plain data which the functions of this room work on. Who
 * wants to use Raft takes the class in raft.ts; nobody else sees a Core.
 */
import type { AetherError } from "../base/errors.ts";
import type { RaftConfig } from "./config.ts";
import type { RaftLog } from "./log/raft-log.ts";
import type { DropReason, Message } from "./message.ts";
import type { Tracker } from "./progress/tracker.ts";
import type { ForwardedReads } from "./reads/forwarded-reads.ts";
import type { LeaderReads } from "./reads/leader-reads.ts";
import type { ReadGrant, ReadRefusal } from "./ready.ts";
import type {
  Configuration,
  Entry,
  HardState,
  Leadership,
  MemberId,
  Role,
  SnapshotMeta,
} from "./types.ts";

/** A configuration and the index of the entry that brought it. */
export interface ConfigurationAt {
  readonly index: number;
  readonly configuration: Configuration;
}

export interface Core {
  readonly config: RaftConfig;
  readonly id: MemberId;
  readonly log: RaftLog;
  readonly tracker: Tracker;

  term: number;
  vote: MemberId;
  role: Role;
  leader: MemberId;

  /** Ticks since the leader was heard; as leader, since the last check of the quorum. */
  electionElapsed: number;
  heartbeatElapsed: number;
  /** Drawn anew for each role and term, from electionTicks to 2 × electionTicks - 1. */
  electionTimeout: number;
  /** Ticks in which no vote is given because we may have promised a lease before a restart. */
  voteEmbargoTicks: number;
  /** The monotonic time of the last tick; never later than the true time. */
  nowMs: number;

  /** As candidate: the write that makes our vote for ourselves durable; 0: it is. */
  selfVoteWrite: number;

  /** As leader: our first entry; what we count is committed from there on (§5.4.2, §6.4). */
  termStart: number;
  /** As leader: no change may be proposed before this index is applied (§4.1). */
  pendingConfigIndex: number;
  /** As leader: who is to lead next, or NOBODY. */
  transferee: MemberId;
  /** As leader: the entry that takes our vote away, once it is appended; 0: we stay. */
  retireIndex: number;
  /** As leader: someone was told to campaign in this term, so a lease proves nothing more. */
  leaseGivenUp: boolean;
  /** As leader: bytes proposed and not yet handed out. */
  uncommittedBytes: number;
  /** As leader: there may be something to send to the peers. */
  dirty: boolean;

  readonly leaderReads: LeaderReads;
  readonly forwardedReads: ForwardedReads;

  /** Since when each configuration counts, from the start of the log to the applied index. */
  readonly configurations: ConfigurationAt[];
  /** Handed out to apply and not yet applied. */
  readonly configEntries: Entry[];
  /** Handed out and not yet applied: (last index, bytes) of each Ready. */
  readonly applying: { readonly index: number; readonly bytes: number }[];
  applyingBytes: number;

  sendNow: Message[];
  sendAfterSync: Message[];
  grants: ReadGrant[];
  refusals: ReadRefusal[];

  /** What the last Ready said. */
  toldHardState: HardState;
  toldLeadership: Leadership;

  readonly dropped: Record<DropReason, number>;
}

/** Counts a message that is not acted upon. */
export function drop(core: Core, reason: DropReason): void {
  core.dropped[reason]++;
}

/** Sends at once, racing the disk: nothing in it is a promise about our disk (§10.2.1). */
export function sendNow(core: Core, message: Message): void {
  core.sendNow.push(message);
}

/**
 * Sends once everything up to the next Ready is durable: acknowledgements, votes, and requests for
 * votes too. A candidate that asked before its term was durable could crash, come back with a
 * shorter log, ask again in the same term and be elected by the votes for its longer log.
 */
export function sendAfterSync(core: Core, message: Message): void {
  core.sendAfterSync.push(message);
}

/** Fails a local read. */
export function refuseRead(core: Core, id: number, error: AetherError): void {
  core.refusals.push({ id, error });
}

/** Whether an entry of our own term is committed, so that our commit index is the newest (§6.4). */
export function hasCommittedInTerm(core: Core): boolean {
  return core.role === "leader" && core.log.committed >= core.termStart;
}

/** What a snapshot at `index` must say; start ≤ index ≤ applied. */
export function snapshotMetaAt(core: Core, index: number): SnapshotMeta {
  let at = core.configurations.length - 1;
  while (at > 0 && (core.configurations[at] as ConfigurationAt).index > index) at--;
  const { configuration } = core.configurations[at] as ConfigurationAt;
  return { index, term: core.log.term(index), configuration };
}
