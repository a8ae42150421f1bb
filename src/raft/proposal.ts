/**
 * Proposals: the leader appends to its own log; replication and the disk follow with the next
 * Ready (paper §5.3).
 */
import { AetherError } from "../base/errors.ts";
import type { Core } from "./core.ts";
import { isRetiring } from "./retire.ts";
import { COUNTER_MAX, type Entry, type EntryKind, entryBytes, NOBODY } from "./types.ts";

/**
 * Appends a proposal and returns its entry; the payload belongs to the log from now on. Throws
 * AetherError and changes nothing: "not_leader", "no_leader", "leader_changed" while leadership is
 * being handed over, "too_many_requests" beyond uncommittedBytesMax. A single proposal larger
 * than that is taken when nothing else waits.
 */
export function propose(core: Core, payload: Uint8Array): Entry {
  assertLeads(core);
  const { uncommittedBytes } = core;
  if (uncommittedBytes > 0 && uncommittedBytes + payload.length > core.config.uncommittedBytesMax) {
    throw new AetherError("too_many_requests", `${uncommittedBytes} bytes wait to be committed`);
  }
  return appendOwn(core, "normal", payload);
}

/** Throws unless proposals may be taken here and now. */
export function assertLeads(core: Core): void {
  if (core.role !== "leader") {
    throw new AetherError(core.leader === NOBODY ? "no_leader" : "not_leader");
  }
  if (core.transferee !== NOBODY) {
    throw new AetherError("leader_changed", "leadership is being handed over");
  }
  if (isRetiring(core)) throw new AetherError("leader_changed", "this leader is being removed");
  if (core.log.lastIndex + 1 >= COUNTER_MAX) throw new AetherError("no_space", "indexes ran out");
}

/** Appends an entry of the leader's own. */
export function appendOwn(core: Core, kind: EntryKind, payload: Uint8Array): Entry {
  const entry: Entry = { index: core.log.lastIndex + 1, term: core.term, kind, payload };
  core.log.append(entry);
  core.uncommittedBytes += entryBytes(entry);
  if (core.tracker.peers.length > 0) core.dirty = true;
  return entry;
}
