/**
 * How a member begins: from nothing, as one of the founders, or from what it had on disk.
 */
import { AetherError } from "../base/errors.ts";
import { type RaftConfig, type RaftOptions, raftConfig } from "./config.ts";
import type { ConfigurationAt, Core } from "./core.ts";
import { RaftLog } from "./log/raft-log.ts";
import { EMPTY_CONFIGURATION, faultOf } from "./membership/configuration.ts";
import type { DropReason } from "./message.ts";
import { Tracker } from "./progress/tracker.ts";
import { ForwardedReads } from "./reads/forwarded-reads.ts";
import { LeaderReads } from "./reads/leader-reads.ts";
import { configurationAfter } from "./reconfigure.ts";
import { drawElectionTimeout } from "./role.ts";
import {
  type Configuration,
  type HardState,
  type LogReader,
  type MemberId,
  NOBODY,
  type SnapshotMeta,
} from "./types.ts";

/** What was durable when the process began. All undefined: a member that is to join a group. */
export interface Restored {
  readonly hardState?: HardState | undefined;
  /** Where the log starts. */
  readonly snapshot?: SnapshotMeta | undefined;
  /** How far the state machine is, durably; the log is replayed from there. 0: from the start. */
  readonly appliedIndex?: number | undefined;
}

/** The term of the founding: nobody led it, so nobody can have promised anything in it. */
const FOUNDING_TERM = 1;

/**
 * What each founder of a group writes before its first start, the same at every one of them. The
 * state machine at that index is empty. It is a snapshot at index 1 and not nothing at index 0, so
 * that a later member, whose log is empty, can only be brought level by a snapshot that names the
 * founders: the log alone never does.
 */
export function founding(configuration: Configuration): {
  readonly hardState: HardState;
  readonly snapshot: SnapshotMeta;
} {
  return {
    hardState: { term: FOUNDING_TERM, vote: NOBODY, commit: 1 },
    snapshot: { index: 1, term: FOUNDING_TERM, configuration },
  };
}

/** Throws AetherError("corrupt") when the restored parts contradict each other. */
export function createCore(options: RaftOptions, restored: Restored, reader: LogReader): Core {
  const config = raftConfig(options);
  const { hardState, snapshot } = restored;
  const log = restoreLog(config, restored, reader);
  const term = hardState?.term ?? snapshot?.term ?? 0;
  if (log.lastTerm > term) {
    throw new AetherError("corrupt", "the Raft log is ahead of the term; add this member anew");
  }
  const configurations = restoreConfigurations(config, log, snapshot);
  const active = configurations[configurations.length - 1] as ConfigurationAt;
  const vote = (hardState?.vote ?? NOBODY) as MemberId;
  const core: Core = {
    config,
    id: config.id,
    log,
    tracker: new Tracker(
      config.id,
      { countMax: config.inflightCountMax, bytesMax: config.inflightBytesMax },
      { configuration: active.configuration, next: log.lastIndex + 1 },
    ),
    term,
    vote,
    role: "follower",
    leader: NOBODY,
    electionElapsed: 0,
    heartbeatElapsed: 0,
    electionTimeout: 0,
    voteEmbargoTicks: config.lease !== undefined && term > FOUNDING_TERM ? config.electionTicks : 0,
    nowMs: 0,
    selfVoteWrite: 0,
    termStart: 0,
    pendingConfigIndex: 0,
    transferee: NOBODY,
    retireIndex: 0,
    leaseGivenUp: false,
    uncommittedBytes: 0,
    dirty: false,
    leaderReads: new LeaderReads(),
    forwardedReads: new ForwardedReads(config.random),
    configurations,
    configEntries: [],
    applying: [],
    applyingBytes: 0,
    sendNow: [],
    sendAfterSync: [],
    grants: [],
    refusals: [],
    toldHardState: { term, vote, commit: hardState?.commit ?? 0 },
    toldLeadership: { role: "follower", term, leader: NOBODY },
    dropped: noDrops(),
  };
  drawElectionTimeout(core);
  return core;
}

function restoreLog(config: RaftConfig, restored: Restored, reader: LogReader): RaftLog {
  const { hardState, snapshot, appliedIndex = 0 } = restored;
  return new RaftLog(
    reader,
    {
      start: { index: snapshot?.index ?? 0, term: snapshot?.term ?? 0 },
      committed: hardState?.commit ?? 0,
      applied: appliedIndex,
    },
    config.tailBytesMax,
  );
}

/**
 * Every configuration from the start of the log to the applied index. Changes after it take
 * effect when they are applied again.
 */
function restoreConfigurations(
  config: RaftConfig,
  log: RaftLog,
  snapshot: SnapshotMeta | undefined,
): ConfigurationAt[] {
  let configuration = snapshot?.configuration ?? EMPTY_CONFIGURATION;
  const fault = faultOf(configuration);
  if (fault !== undefined) throw new AetherError("corrupt", `stored configuration: ${fault}`);
  const configurations: ConfigurationAt[] = [{ index: log.startIndex, configuration }];
  let index = log.firstIndex;
  while (index <= log.applied) {
    const entries = log.entries(index, log.applied + 1, config.committedBytesMax);
    for (const entry of entries) {
      if (entry.kind !== "config") continue;
      const after = configurationAfter(configuration, entry);
      if (after === configuration) continue;
      configuration = after;
      configurations.push({ index: entry.index, configuration });
    }
    index += entries.length;
  }
  return configurations;
}

function noDrops(): Record<DropReason, number> {
  return {
    malformed: 0,
    "wrong-recipient": 0,
    "unknown-sender": 0,
    "stale-term": 0,
    "sticky-leader": 0,
    unexpected: 0,
    "second-leader": 0,
    "past-log": 0,
    "not-the-leader": 0,
    stale: 0,
    "not-a-member": 0,
    "too-many": 0,
  };
}
