/**
 * Membership in motion (§4): a change is an entry of the log, and counts for a member from the
 * moment that member has applied it, never from when it was appended. At most one change is
 * between proposal and application.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Core } from "./core.ts";
import { hasCommittedInTerm } from "./core.ts";
import { applyChange, type ConfigurationChange, leaveChange } from "./membership/change.ts";
import { decodeChange, encodeChange } from "./membership/codec.ts";
import { isJoint, isVoter } from "./membership/configuration.ts";
import { appendOwn, assertLeads } from "./proposal.ts";
import { maybeCommit } from "./replication.ts";
import { maybeRetire } from "./retire.ts";
import { becomeFollower } from "./role.ts";
import { abortTransfer } from "./transfer.ts";
import { type Configuration, type Entry, NOBODY, type SnapshotMeta } from "./types.ts";

/**
 * Proposes a change of the membership and returns its entry. Throws AetherError:
 * "invalid_argument" if it does not fit the active configuration, "unhealthy" while another change
 * is pending or no entry of this term is committed (the single-server bug, Ongaro 2015), and what
 * proposals throw.
 */
export function proposeChange(core: Core, change: ConfigurationChange): Entry {
  assertLeads(core);
  if (core.log.applied < core.pendingConfigIndex || !hasCommittedInTerm(core)) {
    throw new AetherError("unhealthy", "an earlier entry or change is not applied yet");
  }
  const result = applyChange(core.tracker.configuration, change);
  if (!result.ok) throw new AetherError("invalid_argument", result.why);
  return appendChange(core, change, result.configuration);
}

/** The state machine has applied up to `index`: let the changes up to there count. */
export function applyChanges(core: Core, index: number): void {
  const { configEntries } = core;
  while (configEntries.length > 0 && (configEntries[0] as Entry).index <= index) {
    applyEntry(core, configEntries.shift() as Entry);
  }
  leaveIfDue(core);
}

/**
 * A new leader looks whether a change it inherited, not applied yet, takes its own vote away: it
 * is then on its way out from the start (see retire.ts).
 */
export function foreseeRetirement(core: Core): void {
  const { log } = core;
  let { configuration } = core.tracker;
  let index = log.applied + 1;
  while (index <= log.lastIndex) {
    const entries = log.entries(index, log.lastIndex + 1, core.config.committedBytesMax);
    for (const entry of entries) {
      if (entry.kind !== "config") continue;
      configuration = configurationAfter(configuration, entry);
      if (!isVoter(configuration, core.id)) core.retireIndex = entry.index;
    }
    index += entries.length;
  }
}

/** The configuration that results from an entry; `from` itself if the entry does not fit it. */
export function configurationAfter(from: Configuration, entry: Entry): Configuration {
  const change = decodeChange(entry.payload);
  if (change === undefined) return from;
  const result = applyChange(from, change);
  return result.ok ? result.configuration : from;
}

/** A snapshot replaces the log and with it everything known of the membership. */
export function adoptSnapshotConfiguration(core: Core, meta: SnapshotMeta): void {
  core.configEntries.length = 0;
  core.applying.length = 0;
  core.applyingBytes = 0;
  core.configurations.length = 0;
  core.configurations.push({ index: meta.index, configuration: meta.configuration });
  core.tracker.reconfigure(meta.configuration, meta.index + 1);
}

/** Forgets configurations that no index from `start` on needs. */
export function forgetConfigurations(core: Core, start: number): void {
  const { configurations } = core;
  while (configurations.length > 1 && (configurations[1]?.index as number) <= start) {
    configurations.shift();
  }
}

function applyEntry(core: Core, entry: Entry): void {
  const before = core.tracker.configuration;
  const configuration = configurationAfter(before, entry);
  if (configuration === before) return;
  core.configurations.push({ index: entry.index, configuration });
  core.tracker.reconfigure(configuration, core.log.lastIndex + 1);
  if (core.role === "leader") leadIn(core, configuration, entry.index);
  else if (core.role !== "follower" && !isVoter(configuration, core.id)) {
    becomeFollower(core, core.term, NOBODY); // nobody to stand for any more
  }
}

/** Appends a change that leads to `after`; prepares the leader's own end if it is not in there. */
function appendChange(core: Core, change: ConfigurationChange, after: Configuration): Entry {
  const entry = appendOwn(core, "config", encodeChange(change));
  core.pendingConfigIndex = entry.index;
  if (!isVoter(after, core.id)) core.retireIndex = entry.index;
  return entry;
}

/** The leader's duties when the configuration has changed under it. */
function leadIn(core: Core, configuration: Configuration, index: number): void {
  core.dirty = true;
  maybeCommit(core);
  if (core.transferee !== NOBODY && !isVoter(configuration, core.transferee)) abortTransfer(core);
  if (isVoter(configuration, core.id)) return;
  core.retireIndex = index;
  maybeRetire(core);
}

/** A joint configuration that leaves by itself does so when its entry is applied at the leader. */
function leaveIfDue(core: Core): void {
  const { configuration } = core.tracker;
  if (core.role !== "leader" || !isJoint(configuration) || !configuration.autoLeave) return;
  if (core.log.applied < core.pendingConfigIndex || !hasCommittedInTerm(core)) return;
  const result = applyChange(configuration, leaveChange());
  assert(result.ok, "a joint configuration can always be left");
  appendChange(core, leaveChange(), result.configuration);
}
