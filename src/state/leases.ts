/**
 * The replicated part of leases: which exist, with what granted time, and which keys each owns.
 * How much of the time is left is the leader's knowledge and lives with its clock; if it is told
 * to, it writes that down from time to time (a checkpoint), for whoever leads next.
 *
 * Invariants, checked by the machine's verify(): entry.lease = L ⇔ L.keys has the entry; only
 * live entries are attached; an attached lease exists (revoking deletes its keys first).
 */
import { assert } from "../base/assert.ts";
import { asBuffer, type Key } from "../base/bytes.ts";
import { type KeyEntry, Lease } from "./key-entry.ts";
import { noteAttached } from "./lease-judgements.ts";
import type { StateRecord } from "./ports.ts";
import { encodeLeaseField } from "./stored-form.ts";

/** Records of leases: the id, big-endian; the granted seconds, and those of a checkpoint. */
export const LEASE_SPACE = "lease";
const RECORD_FORMAT = 1;
const RECORD_BYTES = 1 + 8;
const CHECKPOINTED_FORMAT = 2;
const CHECKPOINTED_BYTES = 1 + 8 + 8;
const ID_BYTES = 8;

/** The longest lease (etcd's MaxLeaseTTL): some 285 years. */
export const LEASE_TTL_SECONDS_MAX = 9_000_000_000;

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
    entry.lease = lease;
    if (lease === null) return;
    lease.keys.add(entry);
    noteAttached(lease, entry);
  }
}

/** A lease's entries in order of key, which is the order in which they are deleted. */
export function sortedEntries(lease: Lease): KeyEntry[] {
  return [...lease.keys].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The record that keeps a lease. */
export function leaseRecord(lease: Lease): StateRecord {
  const { ttlSeconds, remainingSeconds } = lease;
  const value = Buffer.alloc(remainingSeconds === 0 ? RECORD_BYTES : CHECKPOINTED_BYTES);
  value[0] = remainingSeconds === 0 ? RECORD_FORMAT : CHECKPOINTED_FORMAT;
  value.writeBigUInt64BE(BigInt(ttlSeconds), 1);
  if (remainingSeconds !== 0) value.writeBigUInt64BE(BigInt(remainingSeconds), RECORD_BYTES);
  return { space: LEASE_SPACE, key: recordKey(lease.id), value };
}

/** The record that removes a lease's record. */
export function leaseGone(id: bigint): StateRecord {
  return { space: LEASE_SPACE, key: recordKey(id), value: undefined };
}

/** What a record says of its lease's time. */
export function timesIn(value: Uint8Array): { ttlSeconds: number; remainingSeconds: number } {
  const isCheckpointed = value[0] === CHECKPOINTED_FORMAT;
  const [format, length] = isCheckpointed
    ? [CHECKPOINTED_FORMAT, CHECKPOINTED_BYTES]
    : [RECORD_FORMAT, RECORD_BYTES];
  assert(value.length === length && value[0] === format, "a lease record is whole");
  const bytes = asBuffer(value);
  const remainingSeconds = isCheckpointed ? Number(bytes.readBigUInt64BE(RECORD_BYTES)) : 0;
  return { ttlSeconds: Number(bytes.readBigUInt64BE(1)), remainingSeconds };
}

/** Adds the lease that a record kept. */
export function restoreLease(leases: Leases, key: Key, value: Uint8Array): void {
  assert(key.length === ID_BYTES, "a lease's record lies under its id");
  const id = Buffer.from(key, "latin1").readBigInt64BE(0);
  assert(id !== 0n, "0 is no lease");
  const { ttlSeconds, remainingSeconds } = timesIn(value);
  const isTime = ttlSeconds >= 1 && ttlSeconds <= LEASE_TTL_SECONDS_MAX;
  assert(isTime && remainingSeconds <= ttlSeconds, "a lease has a time that can be granted");
  leases.add(id, ttlSeconds).remainingSeconds = remainingSeconds;
}

function recordKey(id: bigint): Key {
  const key = Buffer.alloc(ID_BYTES);
  key.writeBigInt64BE(id);
  return key.latin1Slice();
}
