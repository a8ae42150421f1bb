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
import { MIB } from "../base/units.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { StateMachine } from "./machine.ts";
import type { Row } from "./ports.ts";
import { readableRevision } from "./range.ts";

/** Bytes of key values in one step: a millisecond or two when they come from the store. */
const STEP_BYTES_MAX = MIB;

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
  /** The first key that is not begun. */
  #next: Key = "";
  /** The next row of the key that is being hashed: pinned, so it stays. */
  #row: Row | undefined = undefined;
  #rowsLeft = 0;
  #bytesLeft = 0;
  #pinned = true;

  /** Over revisions up to `revision` (0 for the current). Fails as a range does. */
  constructor(machine: StateMachine, revision = 0) {
    this.#space = machine.space;
    this.revision = readableRevision(this.#space, revision);
    this.compactRevision = this.#space.compactRevision;
    this.#space.pin(this.compactRevision);
  }

  /** Hashes at least one row, about `rowsMax` rows or STEP_BYTES_MAX of them; true when done. */
  step(rowsMax: number): boolean {
    const tree = this.#space.index.tree;
    this.#rowsLeft = rowsMax;
    this.#bytesLeft = STEP_BYTES_MAX;
    if (!this.#chain()) return false;
    tree.seek(this.#next);
    let index = tree.index;
    for (let leaf = tree.leaf; leaf !== null && !this.done; leaf = leaf.next) {
      for (; index < leaf.entries.length; index++) {
        const entry = leaf.entries[index] as KeyEntry;
        this.#next = entry.key;
        if (this.#spent) return false;
        this.#next = `${entry.key}\0`; // the key after this one, whatever keys there are
        this.#row = this.#space.floor(entry, this.revision);
        this.#rowsLeft--;
        if (!this.#chain()) return false;
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

  get #spent(): boolean {
    return this.#rowsLeft <= 0 || this.#bytesLeft <= 0;
  }

  /** Hashes the visible rows of a key, newest first; false if the step ends before they do. */
  #chain(): boolean {
    const space = this.#space;
    while (this.#row !== undefined) {
      if (this.#spent) return false;
      const row = this.#row;
      this.#row = undefined;
      this.#rowsLeft--;
      this.#bytesLeft -= row.kv.length;
      if (row.tombstone && row.revision < this.compactRevision) break;
      place.setFloat64(0, row.revision);
      place.setFloat64(8, row.sub);
      this.hash = Bun.hash.crc32(place, this.hash);
      this.hash = Bun.hash.crc32(row.kv, this.hash);
      if (row.revision <= this.compactRevision || row.prev === 0) break;
      this.#row = space.rowAt(row.prev);
    }
    return true;
  }
}

/** What two replicas must agree on after the same entry, as one string. For tests. */
export function stateHash(machine: StateMachine): string {
  const cursor = new HashCursor(machine);
  while (!cursor.step(Number.POSITIVE_INFINITY));
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
