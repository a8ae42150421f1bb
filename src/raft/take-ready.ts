/**
 * Collects what there is to do into a Ready (see ready.ts for the duties). Everything that was
 * only noted while messages were stepped is decided here: appends to the peers, rounds of reads.
 */
import type { Core } from "./core.ts";
import type { Message } from "./message.ts";
import { flushReads } from "./read-index.ts";
import type { Persist, ReadGrant, ReadRefusal, Ready } from "./ready.ts";
import { flushAppends } from "./replication.ts";
import { type Entry, entryBytes, type HardState, type Leadership } from "./types.ts";

const NO_MESSAGES: readonly Message[] = [];
const NO_ENTRIES: readonly Entry[] = [];
const NO_GRANTS: readonly ReadGrant[] = [];
const NO_REFUSALS: readonly ReadRefusal[] = [];

/** Whether takeReady() would have anything in it. */
export function hasReady(core: Core): boolean {
  flush(core);
  const { log } = core;
  return (
    log.hasUnsubmitted ||
    core.sendNow.length > 0 ||
    core.sendAfterSync.length > 0 ||
    (log.applicable > log.handed && mayHandOut(core)) ||
    core.grants.length > 0 ||
    core.refusals.length > 0 ||
    hardStateMoved(core) ||
    leadershipMoved(core)
  );
}

/** Takes everything there is to do; none of it will be said again. */
export function takeReady(core: Core): Ready {
  flush(core);
  const ready: Ready = {
    persist: takePersist(core),
    sendNow: core.sendNow.length === 0 ? NO_MESSAGES : core.sendNow,
    sendAfterSync: core.sendAfterSync.length === 0 ? NO_MESSAGES : core.sendAfterSync,
    committed: mayHandOut(core) ? takeCommitted(core) : NO_ENTRIES,
    reads: core.grants.length === 0 ? NO_GRANTS : core.grants,
    refusedReads: core.refusals.length === 0 ? NO_REFUSALS : core.refusals,
    leadership: takeLeadership(core),
  };
  if (core.sendNow.length > 0) core.sendNow = [];
  if (core.sendAfterSync.length > 0) core.sendAfterSync = [];
  if (core.grants.length > 0) core.grants = [];
  if (core.refusals.length > 0) core.refusals = [];
  return ready;
}

/** The driver has applied up to `index`; room for more is free again. */
export function freeApplied(core: Core, index: number): void {
  const { applying } = core;
  let count = 0;
  for (const batch of applying) {
    if (batch.index > index) break;
    core.applyingBytes -= batch.bytes;
    count++;
  }
  if (count > 0) applying.splice(0, count);
}

function flush(core: Core): void {
  flushReads(core);
  if (core.dirty) flushAppends(core);
}

function takePersist(core: Core): Persist {
  const { log, toldHardState: told } = core;
  const promised =
    core.term !== told.term || core.vote !== told.vote || tellsOfChange(core, told.commit);
  const hardState = takeHardState(core);
  const snapshot = log.submitSnapshot();
  const entries = log.submit();
  const mustSync = promised || snapshot !== undefined || entries.length > 0;
  return { hardState, entries, snapshot, mustSync, ack: log.beginWrite(mustSync) };
}

/** That a change of the membership is committed is something others rely on: see retire.ts. */
function tellsOfChange(core: Core, toldCommit: number): boolean {
  return core.log.committed > toldCommit && toldCommit < core.log.lastConfig;
}

function takeHardState(core: Core): HardState | undefined {
  if (!hardStateMoved(core)) return undefined;
  const state: HardState = { term: core.term, vote: core.vote, commit: core.log.committed };
  core.toldHardState = state;
  return state;
}

function hardStateMoved(core: Core): boolean {
  const { toldHardState: told } = core;
  return core.log.committed !== told.commit || core.term !== told.term || core.vote !== told.vote;
}

function takeLeadership(core: Core): Leadership | undefined {
  if (!leadershipMoved(core)) return undefined;
  core.toldLeadership = { role: core.role, term: core.term, leader: core.leader };
  return core.toldLeadership;
}

function leadershipMoved(core: Core): boolean {
  const { toldLeadership: told } = core;
  return core.role !== told.role || core.term !== told.term || core.leader !== told.leader;
}

/** Back-pressure of the state machine: nothing more while too much waits to be applied. */
function mayHandOut(core: Core): boolean {
  return core.applyingBytes < core.config.applyingBytesMax;
}

function takeCommitted(core: Core): readonly Entry[] {
  const entries = core.log.handOut(core.config.committedBytesMax);
  if (entries.length === 0) return entries;
  let bytes = 0;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i] as Entry;
    bytes += entryBytes(entry);
    if (entry.kind === "config") core.configEntries.push(entry);
  }
  core.uncommittedBytes = Math.max(0, core.uncommittedBytes - bytes);
  core.applyingBytes += bytes;
  core.applying.push({ index: (entries[entries.length - 1] as Entry).index, bytes });
  return entries;
}
