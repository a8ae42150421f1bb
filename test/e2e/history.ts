/**
 * What clients of a crashing server did and saw, and whether a right server can have given it.
 * Pure: the load (load.ts) fills a History, check() judges it.
 *
 *   H1  every acknowledged write is in the watch, at its revision, whole
 *   H2  the watch has every revision once, in order, without a gap
 *   H3  nothing is in the watch that nobody wrote: what is not acknowledged was at least tried, and
 *       happened at most once
 *   H4  no client ever sees a revision below one it has seen
 *   H5  each read of everything is the watch's events up to its revision, and holds what was
 *       acknowledged before it
 *   H6  acknowledged leases live, with their keys; acknowledged revocations are final
 */

/** A key and its new value; undefined for a deletion. */
export interface Change {
  readonly key: string;
  readonly value: string | undefined;
}

/** A write request. Values are unique, so that what is found belongs to one request. */
export interface Write {
  readonly changes: readonly Change[];
  /** When acknowledged. 0: it changed nothing (a deletion of nothing). */
  readonly revision?: number;
}

export interface SeenEvent extends Change {
  readonly revision: number;
}

/** Everything that a read of the whole store showed after a restart. */
export interface Snapshot {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, string>;
}

export interface History {
  readonly writes: readonly Write[];
  /** In the order in which the watcher was told, over all restarts. */
  readonly events: readonly SeenEvent[];
  readonly snapshots: readonly Snapshot[];
  /** Revisions in the order in which each client saw them in headers. */
  readonly revisions: ReadonlyMap<string, readonly number[]>;
  /** Leases by id: what was acknowledged last, or "unknown" when a request got no answer. */
  readonly leases: ReadonlyMap<string, "granted" | "revoked" | "unknown">;
  /** The leases that exist at the end. */
  readonly leasesFound: ReadonlySet<string>;
}

/** Complaints, at most some of each kind; none for a history that a right server can give. */
export function check(history: History): string[] {
  return [
    ...checkOrder(history.events),
    ...checkAcknowledged(history),
    ...checkOrigin(history),
    ...checkRevisions(history),
    ...checkSnapshots(history),
    ...checkLeases(history),
  ];
}

const COMPLAINTS_MAX = 5;

function some(complaints: readonly string[]): readonly string[] {
  return complaints.slice(0, COMPLAINTS_MAX);
}

function text(changes: readonly Change[]): string {
  return changes.map(({ key, value }) => `${key}=${value ?? "-"}`).join(" ");
}

/** Order within one request is the key's, as the server deletes in that order. */
function sortedText(changes: readonly Change[]): string {
  return text([...changes].sort((a, b) => (a.key < b.key ? -1 : 1)));
}

/** H2. The first revision of a store is 2. */
function checkOrder(events: readonly SeenEvent[]): readonly string[] {
  const complaints: string[] = [];
  let last = 1;
  let keys = new Set<string>();
  for (const { revision, key } of events) {
    if (revision === last && !keys.has(key)) {
      keys.add(key);
      continue;
    }
    if (revision === last + 1) keys = new Set([key]);
    else if (revision <= last) complaints.push(`watch: ${revision} ${key} again, after ${last}`);
    else complaints.push(`watch: gap from ${last} to ${revision}`);
    last = Math.max(last, revision);
  }
  return some(complaints);
}

function eventsByRevision(events: readonly SeenEvent[]): Map<number, Change[]> {
  const found = new Map<number, Change[]>();
  for (const event of events) {
    const changes = found.get(event.revision);
    if (changes === undefined) found.set(event.revision, [event]);
    else changes.push(event);
  }
  return found;
}

/** H1. */
function checkAcknowledged({ writes, events }: History): readonly string[] {
  const found = eventsByRevision(events);
  const complaints: string[] = [];
  for (const { changes, revision } of writes) {
    if (revision === undefined || revision === 0) continue;
    const seen = found.get(revision) ?? [];
    if (sortedText(seen) !== sortedText(changes)) {
      complaints.push(`acknowledged at ${revision}: ${text(changes)}; watch has: ${text(seen)}`);
    }
  }
  return some(complaints);
}

/** H3. A deletion has no value of its own, so only values are traced to their request. */
function checkOrigin({ writes, events }: History): readonly string[] {
  const origin = new Map<string, Write>();
  for (const write of writes) {
    for (const { value } of write.changes) if (value !== undefined) origin.set(value, write);
  }
  const happenedAt = new Map<Write, number>();
  const byRevision = eventsByRevision(events);
  const complaints: string[] = [];
  for (const { revision, key, value } of events) {
    if (value === undefined) continue;
    const write = origin.get(value);
    if (write === undefined) {
      complaints.push(`watch: ${key}=${value} at ${revision} was never written`);
      continue;
    }
    const before = happenedAt.get(write);
    if (before !== undefined && before !== revision) {
      complaints.push(`${text(write.changes)} happened twice, at ${before} and ${revision}`);
    }
    happenedAt.set(write, revision);
  }
  for (const [write, revision] of happenedAt) {
    const whole = sortedText(byRevision.get(revision) ?? []);
    if (whole !== sortedText(write.changes)) {
      complaints.push(`at ${revision}: ${whole}, of the request ${text(write.changes)}`);
    }
    if (complaints.length >= COMPLAINTS_MAX) break;
  }
  return some(complaints);
}

/** H4. */
function checkRevisions({ revisions }: History): readonly string[] {
  const complaints: string[] = [];
  for (const [client, seen] of revisions) {
    for (const [index, revision] of seen.entries()) {
      const before = seen[index - 1] ?? 0;
      if (revision < before) complaints.push(`${client}: revision ${revision} after ${before}`);
    }
  }
  return some(complaints);
}

/** H5. */
function checkSnapshots({ snapshots, events }: History): readonly string[] {
  const complaints: string[] = [];
  const expected = new Map<string, string>();
  let next = 0;
  for (const { revision, entries } of snapshots) {
    for (; (events[next]?.revision ?? Number.POSITIVE_INFINITY) <= revision; next++) {
      const { key, value } = events[next] as SeenEvent;
      if (value === undefined) expected.delete(key);
      else expected.set(key, value);
    }
    for (const key of new Set([...expected.keys(), ...entries.keys()])) {
      const [is, due] = [entries.get(key), expected.get(key)];
      if (is !== due) complaints.push(`read at ${revision}: ${key} is ${is}, should be ${due}`);
    }
  }
  return some(complaints);
}

/** H6. */
function checkLeases({ leases, leasesFound }: History): readonly string[] {
  const complaints: string[] = [];
  for (const [id, state] of leases) {
    const isThere = leasesFound.has(id);
    if (state === "granted" && !isThere) complaints.push(`lease ${id} was granted and is gone`);
    if (state === "revoked" && isThere) complaints.push(`lease ${id} was revoked and is there`);
  }
  return some(complaints);
}
