/**
 * The settings of one member and their defaults. Times are in ticks: the driver decides how long
 * a tick is, 100 ms unless the network says otherwise.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/ports.ts";
import { KIB, MIB } from "../base/units.ts";
import { type Entry, type MemberId, NOBODY } from "./types.ts";

/**
 * Leases of the leader (thesis §6.4.1): reads without a round of messages, at the price of a
 * promise about clocks. In every interval no two members' monotonic clocks may run apart by more
 * than `driftPercentMax` percent, and no driver may tick faster than its clock. A pause of the
 * process is allowed: readNow() compares against the time it is given.
 */
export interface LeaseConfig {
  /** The length of a tick in ms, the same at every member. */
  readonly tickMs: number;
  readonly driftPercentMax: number;
}

export interface RaftConfig {
  readonly id: MemberId;
  readonly random: Random;
  /** A follower waits electionTicks to 2 × electionTicks - 1 ticks for its leader. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Ask before raising the term (thesis §9.6), so that a returning member disturbs nobody. */
  readonly preVote: boolean;
  /** A leader that hears no quorum steps down, and voters stay with a leader they hear (§6.2). */
  readonly checkQuorum: boolean;
  /** Undefined: reads are confirmed by a round of heartbeats. Needs checkQuorum. */
  readonly lease: LeaseConfig | undefined;
  readonly appendBytesMax: number;
  readonly inflightCountMax: number;
  readonly inflightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly tailBytesMax: number;
  readonly committedBytesMax: number;
  readonly applyingBytesMax: number;
  readonly readsWaitingMax: number;
  /** Whether the driver can apply an entry: a leader's append with another one is dropped. */
  readonly isSoundEntry: (entry: Entry) => boolean;
}

/** `id` and `random` have no default; the rest has. */
export type RaftOptions = Pick<RaftConfig, "id" | "random"> & Partial<RaftConfig>;

/** The defaults; each says what it bounds. */
export const RAFT_DEFAULTS: Omit<RaftConfig, "id" | "random"> = {
  electionTicks: 10, // 1 s at 100 ms: ten lost heartbeats before anyone doubts a leader
  heartbeatTicks: 1,
  preVote: true,
  checkQuorum: true,
  lease: undefined,
  appendBytesMax: MIB, // one message: above a turn's batch, below a heartbeat's patience
  inflightCountMax: 256, // small appends in flight to one peer
  inflightBytesMax: 16 * MIB, // 1 Gbit/s × 100 ms is 12.5 MB: fills a long link, bounds memory
  uncommittedBytesMax: 64 * MIB, // beyond it proposals are refused: the quorum cannot keep up
  tailBytesMax: 16 * MIB, // recent durable entries kept in memory for followers and apply
  committedBytesMax: 4 * MIB, // one Ready: a few milliseconds of apply
  applyingBytesMax: 64 * MIB, // handed out and not yet applied
  readsWaitingMax: 64 * KIB, // reads waiting for a round
  isSoundEntry: () => true, // Raft itself looks into none but changes of the configuration
};

/** Fills in the defaults; asserts what would break the algorithm. */
export function raftConfig(options: RaftOptions): RaftConfig {
  const config: RaftConfig = { ...RAFT_DEFAULTS, ...options };
  assert(config.id !== NOBODY, "a member's id is not 0");
  assert(config.heartbeatTicks >= 1, "heartbeats need at least one tick");
  assert(config.electionTicks > config.heartbeatTicks, "election timeout within a heartbeat");
  assert(config.lease === undefined || config.checkQuorum, "a lease needs checkQuorum");
  assert(config.inflightCountMax >= 1, "nothing could be in flight");
  assert(config.appendBytesMax >= 1 && config.inflightBytesMax >= 1, "nothing could be sent");
  return config;
}

/**
 * How long a lease lasts, in ms of the leader's clock, from the moment the heartbeats left. A
 * voter refuses votes for electionTicks of its own ticks, the first of which may come at once;
 * both clocks may err, in opposite directions.
 */
export function leaseMs(config: RaftConfig): number {
  if (config.lease === undefined) return 0;
  const { tickMs, driftPercentMax } = config.lease;
  return (config.electionTicks - 1) * tickMs * (1 - (2 * driftPercentMax) / 100);
}
