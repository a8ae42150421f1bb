/**
 * The replicated part of leases: which exist, with what granted time, and which keys each owns.
 * How much of the time is left is the leader's knowledge alone and lives with its clock.
 *
 * Invariants, checked by the machine's verify(): entry.lease = L ⇔ L.keys has the entry; only
 * live entries are attached; an attached lease exists (revoking deletes its keys first).
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { type KeyEntry, Lease } from "./key-entry.ts";
import type { StateRecord } from "./ports.ts";
import { encodeLeaseField } from "./stored-form.ts";

/** Records of leases: the id, big-endian; and the granted seconds. */
export const LEASE_SPACE = "lease";
const RECORD_FORMAT = 1;
const RECORD_BYTES = 1 + 8;

export class Leases {
  readonly #leases = new Map<bigint, Lease>();

  get size(): number {
    return this.#leases.size;
  }

  get(id: bigint): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  /** Adds a lease whose id is free. */
  add(id: bigint, ttlSeconds: number): Lease {
    assert(!this.#leases.has(id), "a lease is granted once");
    const lease = new Lease(id, ttlSeconds, encodeLeaseField(id));
    this.#leases.set(id, lease);
    return lease;
  }

  /** Removes a lease that owns nothing any more. */
  remove(lease: Lease): void {
    assert(lease.keys.size === 0, "a lease goes after its keys");
    this.#leases.delete(lease.id);
  }

  /** Moves an entry to `lease`, or to none. */
  bind(entry: KeyEntry, lease: Lease | null): void {
    const old = entry.lease;
    if (old === lease) return;
    if (old !== null) old.keys.delete(entry);
    if (lease !== null) lease.keys.add(entry);
    entry.lease = lease;
  }
}

/** A lease's entries in order of key, which is the order in which they are deleted. */
export function sortedEntries(lease: Lease): KeyEntry[] {
  return [...lease.keys].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The record that keeps a lease. */
export function leaseRecord(lease: Lease): StateRecord {
  const value = Buffer.alloc(RECORD_BYTES);
  value[0] = RECORD_FORMAT;
  value.writeBigUInt64BE(BigInt(lease.ttlSeconds), 1);
  return { space: LEASE_SPACE, key: recordKey(lease.id), value };
}

/** The record that removes a lease's record. */
export function leaseGone(id: bigint): StateRecord {
  return { space: LEASE_SPACE, key: recordKey(id), value: undefined };
}

/** Adds the lease that a record kept. */
export function restoreLease(leases: Leases, key: Key, value: Uint8Array): void {
  assert(value.length === RECORD_BYTES && value[0] === RECORD_FORMAT, "a lease record is whole");
  const id = Buffer.from(key, "latin1").readBigInt64BE(0);
  const ttlSeconds = Number(Buffer.from(value).readBigUInt64BE(1));
  leases.add(id, ttlSeconds);
}

function recordKey(id: bigint): Key {
  const key = Buffer.alloc(8);
  key.writeBigInt64BE(id);
  return key.latin1Slice();
}
