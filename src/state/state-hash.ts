/**
 * A hash over the history that clients can still see, so that replicas can be compared: equal logs
 * give equal hashes, whatever each replica has cached, pinned, flushed or physically removed.
 *
 * Hashed are, key by key in order, newest first, the rows with revision ≤ R that a read at some
 * legal revision shows: those above the compaction point, and of the others each key's newest
 * unless it is a tombstone older than the point. Of a row: revision, sub and stored form; seq,
 * prev, jump and depth are the replica's own layout.
 * Taken in steps while writes go on, since a large store takes seconds; it pins what it needs.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { StateMachine } from "./machine.ts";
import { readableRevision } from "./range.ts";

/** Revision and sub of a row, as they are hashed. */
const place = new DataView(new ArrayBuffer(16));

export class HashCursor {
  /** The revision hashed up to, and the compaction point when the cursor was opened. */
  readonly revision: number;
  readonly compactRevision: number;
  /** The hash: 32 bits, right when done. */
  hash = 0;
  done = false;
  readonly #space: KeySpace;
  #next: Key = "";
  #pinned = true;

  /** Over revisions up to `revision` (0 for the current). Fails as a range does. */
  constructor(machine: StateMachine, revision = 0) {
    this.#space = machine.space;
    this.revision = readableRevision(this.#space, revision);
    this.compactRevision = this.#space.compactRevision;
    this.#space.pin(this.compactRevision);
  }

  /** Hashes at least one key and about `rowsMax` rows; true when done. */
  step(rowsMax: number): boolean {
    const tree = this.#space.index.tree;
    let left = rowsMax;
    tree.seek(this.#next);
    let index = tree.index;
    for (let leaf = tree.leaf; leaf !== null && !this.done; leaf = leaf.next) {
      for (; index < leaf.entries.length; index++) {
        const entry = leaf.entries[index] as KeyEntry;
        if (left <= 0) {
          this.#next = entry.key;
          return false;
        }
        left -= this.#key(entry);
      }
      index = 0;
    }
    this.close();
    return true;
  }

  /** Ends the cursor, finished or not; may be called twice. */
  close(): void {
    this.done = true;
    if (!this.#pinned) return;
    this.#pinned = false;
    this.#space.unpin(this.compactRevision);
  }

  /** Hashes the visible rows of a key; returns how many rows were looked at. */
  #key(entry: KeyEntry): number {
    const space = this.#space;
    let looked = 1;
    let row = space.floor(entry, this.revision);
    while (row !== undefined) {
      looked++;
      if (row.tombstone && row.revision < this.compactRevision) break;
      place.setFloat64(0, row.revision);
      place.setFloat64(8, row.sub);
      this.hash = Bun.hash.crc32(place, this.hash);
      this.hash = Bun.hash.crc32(row.kv, this.hash);
      if (row.revision <= this.compactRevision || row.prev === 0) break;
      row = space.rowAt(row.prev);
    }
    return looked;
  }
}

/** What two replicas must agree on after the same entry, as one string. For tests. */
export function stateHash(machine: StateMachine): string {
  const cursor = new HashCursor(machine);
  assert(cursor.step(Number.POSITIVE_INFINITY), "a step without a bound ends");
  const leases: string[] = [];
  machine.forEachLease((id) => {
    const lease = machine.lease(id);
    assert(lease !== undefined, "a lease that is listed exists");
    leases.push(`${id}:${lease.ttlSeconds}:${lease.keys.join(",")}`);
  });
  const leaseHash = Bun.hash.crc32(leases.sort().join(";"));
  const { appliedIndex, revision, compactRevision } = machine;
  const hashes = [cursor.hash, leaseHash, clusterHash(machine)];
  return [appliedIndex, revision, compactRevision, ...hashes].join("-");
}

/** Members, removed ids and alarms, each told apart from what stands beside it. */
function clusterHash(machine: StateMachine): number {
  const members = machine
    .members()
    .map((each) => [hexOf(each.ID), each.name, each.peerURLs, each.clientURLs, each.isLearner]);
  const alarms = machine.alarms().map(({ memberID, alarm }) => [hexOf(memberID), alarm]);
  return Bun.hash.crc32(JSON.stringify([members, machine.removedMembers().map(hexOf), alarms]));
}

function hexOf(id: bigint): string {
  return id.toString(16);
}
