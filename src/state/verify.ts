/**
 * Every invariant of the machine, at any cost (it walks the whole history of every key): for tests
 * and the simulator. Fails by assertion.
 */
import { assert } from "../base/assert.ts";
import { AlarmType } from "../proto/gen/etcdserverpb.ts";
import { StoredKeyValue } from "../proto/hot/key-value.ts";
import { type Alarms, byMemberAndType } from "./alarms.ts";
import type { ClusterRecords } from "./cluster-records.ts";
import { DEPTH_MAX, type KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { StateMachine } from "./machine.ts";
import type { Members } from "./members.ts";
import type { Row } from "./ports.ts";

const reader = new StoredKeyValue();

/** Checks everything that can be checked between two entries. */
export function verify(machine: StateMachine): void {
  const space = machine.space;
  assert(space.changes === 0, "no write is in progress between entries");
  assert(space.compactRevision <= space.revision, "compaction stays in the past");
  assert(space.physicalTarget() <= space.compactRevision, "removal stays behind compaction");
  space.cache.verify();
  const entries = space.index.verify();
  let attached = 0;
  for (const entry of entries) {
    verifyEntry(space, entry);
    verifyChain(space, entry);
    if (entry.lease === null) continue;
    attached++;
    assert(entry.lease.keys.has(entry), "a lease lists what is attached to it");
    assert(space.leases.get(entry.lease.id) === entry.lease, "an attached lease exists");
  }
  for (const lease of space.leases.all()) attached -= lease.keys.size;
  assert(attached === 0, "a lease lists nothing else");
  verifyCluster(machine.cluster);
  machine.auth.verifyPermissions();
}

/** What holds of the small records together, whoever made them. */
export function verifyCluster(cluster: ClusterRecords): void {
  verifyMembers(cluster.members);
  verifyAlarms(cluster.alarms);
  cluster.auth.verify();
}

function verifyMembers(members: Members): void {
  const urls = new Set<string>();
  let last = 0n;
  for (const { ID, peerURLs } of members.all) {
    assert(ID > last, "the ids of members rise, and 0 is none");
    assert(!members.isRemoved(ID), "who was removed is no member");
    for (const url of new Set(peerURLs)) {
      assert(!urls.has(url), "a peer URL belongs to one member");
      urls.add(url);
    }
    last = ID;
  }
  last = 0n;
  for (const id of members.removed) {
    assert(id > last, "the ids of removed members rise");
    last = id;
  }
}

function verifyAlarms({ all }: Alarms): void {
  for (const [i, alarm] of all.entries()) {
    const next = all[i + 1];
    assert(alarm.alarm !== AlarmType.NONE, "NONE is no alarm");
    assert(next === undefined || byMemberAndType(alarm, next) < 0, "alarms rise");
  }
}

function verifyEntry(space: KeySpace, entry: KeyEntry): void {
  assert(entry.seq > 0, "an entry has a version");
  assert(entry.kv === null || entry.slot >= 0, "a value in memory is the cache's");
  const row = space.rowAt(entry.seq);
  if (entry.tombstone) {
    assert(entry.kv === null && entry.lease === null, "the dead own and hold nothing");
    assert(entry.version === 0 && entry.createRevision === 0, "the dead have no version");
    if (row === undefined) {
      assert(entry.modRevision < space.physicalTarget(), "only old tombstones are removed");
      return;
    }
  }
  assert(row !== undefined, "a live key has its row");
  assert(row.tombstone === entry.tombstone, "entry and row agree on life");
  assert(row.revision === entry.modRevision, "entry and row agree on the revision");
  assert(row.depth === entry.depth, "entry and row agree on the depth");
  const read = reader.read(row.kv);
  assert(read.key() === entry.key, "entry and row agree on the key");
  assert(read.modRevision === entry.modRevision, "the stored form has the row's revision");
  assert(read.createRevision === entry.createRevision, "entry and row agree on the creation");
  assert(read.version === entry.version, "entry and row agree on the version");
  assert(read.lease() === (entry.lease?.id ?? 0n), "entry and row agree on the lease");
  if (entry.kv !== null)
    assert(row.kv.length === entry.kv.length, "the cache holds the row's form");
}

/** Walks the whole chain; each jump must lead to the row at the depth it is for. */
function verifyChain(space: KeySpace, entry: KeyEntry): void {
  const byDepth = new Map<number, Row>();
  const rows: Row[] = [];
  for (let row = space.rowAt(entry.seq); row !== undefined; ) {
    rows.push(row);
    byDepth.set(row.depth, row);
    row = row.prev === 0 ? undefined : space.rowAt(row.prev);
  }
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as Row;
    const before = rows[i + 1];
    if (before !== undefined) {
      const isAbove = before.depth === (row.depth === 1 ? DEPTH_MAX : row.depth - 1);
      assert(before.seq < row.seq && isAbove, "prev is the row before");
      const descends = before.revision < row.revision || before.sub < row.sub;
      assert(before.revision <= row.revision && descends, "revisions descend along a chain");
    }
    const target = row.depth & (row.depth - 1);
    const ancestor = byDepth.get(target);
    assert(target !== 0 || row.jump === 0, "no jump leads to depth 0");
    if (row.jump === 0) continue;
    const jumped = space.rowAt(row.jump);
    if (jumped === undefined) continue;
    assert(ancestor === undefined || jumped.seq === ancestor.seq, "a jump leads to its depth");
    assert(jumped.depth === target, "a jump leads to its depth");
  }
  for (const seq of entry.path ?? []) {
    const row = space.rowAt(seq);
    if (row === undefined) continue;
    assert(reader.read(row.kv).key() === entry.key, "the path lies on the entry's chain");
    // Past a gap that an interrupted compaction left, the walk did not come by.
    const met = byDepth.get(row.depth);
    assert(met === undefined || met.seq === seq, "the path lies on the entry's chain");
  }
}
