/** What a group is told when it is made, and what it needs of the world. */
import type { Clock, Log, Random } from "../base/ports.ts";
import type { Turn } from "../base/turn.ts";
import type { RaftConfig } from "../raft/config.ts";
import type { MemberId } from "../raft/types.ts";
import type { LogStore, StateStore, Transport } from "./ports.ts";
import type { Founding } from "./start.ts";

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
  /** Settings of Raft other than the defaults. */
  readonly raft?: Partial<RaftConfig>;
}

export interface GroupPorts {
  readonly log: LogStore;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly turn: Turn;
  readonly logger: Log;
  readonly transport: Transport;
  /** For metrics: how long a write of the log took until it was durable. */
  readonly observeLogWriteMs?: (ms: number) => void;
  /** The members, what is known of them, or an alarm has changed. */
  readonly onMembership?: () => void;
  /** This member was removed, and leads no more; once. */
  readonly onRemoved?: () => void;
}
