/**
 * The leader's sending: appends, snapshots and heartbeats (paper §5.3, §7; thesis §10.2).
 *
 * Proposals, acknowledgements and a moved commit index only mark the Core as dirty; flush() sends
 * when the driver takes its Ready. So all proposals of a turn leave in one append per peer.
 */
import { type Core, sendNow, snapshotMetaAt } from "./core.ts";
import { bytesOfEntries, NO_TERM } from "./log/raft-log.ts";
import type { Progress } from "./progress/progress.ts";
import type { Entry } from "./types.ts";

/**
 * Appends to one peer in one flush. A follower far behind is read for from the disk: this bounds
 * how long the others wait meanwhile; the rest goes with the next Ready.
 */
const APPENDS_PER_FLUSH_MAX = 4;

const NO_ENTRIES: readonly Entry[] = [];

/** Sends each peer what it may have; leaves the Core dirty if there is more. */
export function flushAppends(core: Core): void {
  core.dirty = false;
  for (const peer of core.tracker.peers) {
    let sent = 0;
    while (sent < APPENDS_PER_FLUSH_MAX && sendAppend(core, peer, "entries")) sent++;
    if (sent === APPENDS_PER_FLUSH_MAX) core.dirty = true;
    if (peer.state === "replicate" && peer.sentCommit < reachableCommit(core, peer)) {
      sendAppend(core, peer, "commit");
    }
  }
}

/**
 * Sends one append; false if there was no reason to. `entries`: if there are some and the peer
 * may take them. `commit`: if it may take one, even empty. `probe`: also when the inflight window
 * is full, then without entries: its rejection shows that what was in flight is lost.
 */
export function sendAppend(
  core: Core,
  peer: Progress,
  reason: "entries" | "commit" | "probe",
): boolean {
  const full = peer.state === "replicate" && peer.inflights.full;
  if (peer.paused && !(reason === "probe" && full)) return false;
  const prevIndex = peer.next - 1;
  const prevTerm = core.log.term(prevIndex);
  if (prevTerm === NO_TERM) return sendSnapshot(core, peer);
  const { lastIndex } = core.log;
  if (reason === "entries" && prevIndex === lastIndex && peer.state !== "probe") return false;
  const entries = full
    ? NO_ENTRIES
    : core.log.entries(peer.next, lastIndex + 1, core.config.appendBytesMax);
  const { committed } = core.log;
  sendNow(core, {
    type: "append",
    from: core.id,
    to: peer.id,
    term: core.term,
    prevIndex,
    prevTerm,
    commit: committed,
    entries,
  });
  peer.sent(entries.length, bytesOfEntries(entries));
  peer.sentCommit = Math.min(committed, prevIndex + entries.length);
  return true;
}

/** Tells one peer that we lead, and how far it may commit. */
export function sendHeartbeat(core: Core, peer: Progress): void {
  const commit = Math.min(peer.match, core.log.committed);
  sendNow(core, {
    type: "heartbeat",
    from: core.id,
    to: peer.id,
    term: core.term,
    commit,
    round: core.leaderReads.round,
  });
}

/** Tells all peers that we lead. */
export function broadcastHeartbeat(core: Core): void {
  for (const peer of core.tracker.peers) sendHeartbeat(core, peer);
}

/**
 * Commits what a quorum holds durably, if it is of our own term: only then is everything before
 * it safe from later leaders (paper §5.4.2, figure 8).
 */
export function maybeCommit(core: Core): boolean {
  const index = core.tracker.quorumMatch();
  if (index <= core.log.committed || core.log.term(index) !== core.term) return false;
  core.log.commitTo(index);
  core.dirty = core.tracker.peers.length > 0;
  return true;
}

/** The commit index that would tell this peer something. */
function reachableCommit(core: Core, peer: Progress): number {
  return Math.min(core.log.committed, peer.next - 1);
}

/**
 * Starts a snapshot for a peer whose next entry is compacted, if it lives; the driver moves the
 * state and reports how that ended.
 */
function sendSnapshot(core: Core, peer: Progress): boolean {
  if (!peer.recentActive) return false;
  const meta = snapshotMetaAt(core, core.log.applied);
  peer.becomeSnapshot(meta.index);
  sendNow(core, { type: "snapshot", from: core.id, to: peer.id, term: core.term, meta });
  return true;
}
