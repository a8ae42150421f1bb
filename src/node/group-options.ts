/** What a group is told when it is made, and what it needs of the world. */
import type { Clock, Log, Random } from "../base/ports.ts";
import type { Turn } from "../base/turn.ts";
import type { RaftConfig } from "../raft/config.ts";
import type { MemberId } from "../raft/types.ts";
import type { AuthChange } from "../state/results.ts";
import type { WatchHubOptions } from "../watch/hub.ts";
import type { GroupMeter } from "./meter.ts";
import type { LogStore, StateStore, Transport } from "./ports.ts";
import type { Founding } from "./start.ts";

/** Keys forgotten a tick after compactions, so that a large one does not hold the loop. */
export const SWEEP_PER_TICK = 2000;

/** Readys performed at once: sending to a follower far behind has no end of its own. */
export const READYS_PER_TURN_MAX = 16;

export interface GroupOptions {
  readonly memberId: MemberId;
  readonly tickMs: number;
  readonly electionTicks: number;
  /** Log entries after which the log is compacted. */
  readonly snapshotTriggerEntries: number;
  /** Of those, how many are kept for slow followers; half of them, at most 5000, by default. */
  readonly keptEntries?: number;
  /** What a new log begins with; undefined for a member that joins: it waits for a snapshot. */
  readonly founding: Founding | undefined;
  /** False: proposals fail with not_leader unless this member leads. */
  readonly forward?: boolean;
  /** Between two notes in the log of what is left of a lease; left out: none are made. */
  readonly leaseCheckpointMs?: number | undefined;
  /** Settings of Raft and of the watch hub other than the defaults. */
  readonly raft?: Partial<RaftConfig>;
  readonly watch?: Partial<WatchHubOptions>;
}

export interface GroupPorts {
  readonly log: LogStore;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly turn: Turn;
  readonly logger: Log;
  readonly transport: Transport;
  readonly meter?: GroupMeter;
  /** A user has a new token, or tokens are void: whoever keeps them is told at every member. */
  readonly onAuth?: (change: AuthChange) => void;
  /** The members, what is known of them, or an alarm has changed. */
  readonly onMembership?: () => void;
  /** This member was removed, and leads no more; once. */
  readonly onRemoved?: () => void;
}

/** How long things may take, in ms. */
export interface GroupTimes {
  readonly electionMs: number;
  /** etcd's: 5 s, and two election timeouts for a leader to be found. */
  readonly requestTimeoutMs: number;
  /** How long a call waits while nobody leads: a lost election and a won one. */
  readonly leaderWaitMs: number;
}

const REQUEST_MS = 5000;
const LEADER_WAIT_ELECTIONS = 3;

export function timesOf({ electionTicks, tickMs }: GroupOptions): GroupTimes {
  const electionMs = electionTicks * tickMs;
  return {
    electionMs,
    requestTimeoutMs: REQUEST_MS + 2 * electionMs,
    leaderWaitMs: Math.min(LEADER_WAIT_ELECTIONS * electionMs, REQUEST_MS),
  };
}
