/**
 * The leader's countdown of leases. Not replicated: what a lease owns is state, how long it still
 * has is the leader's knowledge alone (etcd's rule: only the leader expires, through the log).
 *
 * Each lease has exactly one node in the heap. A renewal only moves `deadlineMs`; the node keeps
 * the time at which it was last looked at (`checkMs` ≤ deadlineMs) and is pushed down again when
 * it comes up too early, so ten thousand keep-alives a second cost a map access each. The node of
 * a lease that is gone stays until it comes up, or until such nodes are most of the heap: leases
 * of a day that live for a second would fill it otherwise.
 *
 * Invariants, checked by verify(): a TTL is a minimum: a lease never comes due before deadlineMs
 * (monotonic clock); the heap holds each counted lease once, and not many more that are gone.
 */
import { assert } from "../base/assert.ts";
import { Heap } from "../base/heap.ts";

/** An expiry that was proposed and has not been applied is proposed again after this long. */
export const EXPIRY_RETRY_MS = 3000;

/** Nodes of gone leases that are not worth the trouble. */
const GONE_KEPT = 1024;

interface Countdown {
  readonly id: bigint;
  ttlMs: number;
  deadlineMs: number;
  checkMs: number;
  /** An expiry for it is in the log; renewals come too late. */
  expiring: boolean;
  gone: boolean;
}

export class LeaseClock {
  readonly #leases = new Map<bigint, Countdown>();
  #due = newHeap();
  /** Nodes in the heap whose lease is gone. */
  #goneCount = 0;

  get size(): number {
    return this.#leases.size;
  }

  /** Places taken in the heap. */
  get nodeCount(): number {
    return this.#due.size;
  }

  /** Starts counting a lease of `ttlMs`, which has `leftMs` from `nowMs` on (by default, all). */
  start(id: bigint, ttlMs: number, nowMs: number, leftMs = ttlMs): void {
    this.forget(id);
    const deadlineMs = nowMs + leftMs;
    const lease = { id, ttlMs, deadlineMs, checkMs: deadlineMs, expiring: false, gone: false };
    this.#leases.set(id, lease);
    this.#due.push(lease);
  }

  /** Stops counting; nothing happens for an unknown lease. */
  forget(id: bigint): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.gone = true;
    this.#leases.delete(id);
    this.#goneCount++;
    if (this.#goneCount > this.#leases.size + GONE_KEPT) this.#sweep();
  }

  /** Stops counting everything: leadership was lost. */
  clear(): void {
    this.#leases.clear();
    this.#sweep();
  }

  /**
   * Renews to the full TTL, which is returned, in ms; undefined if unknown or on its way out. A
   * deadline is never taken back: a new leader's allowance stays.
   */
  renew(id: bigint, nowMs: number): number | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.expiring || lease.deadlineMs <= nowMs) return undefined;
    lease.deadlineMs = Math.max(lease.deadlineMs, nowMs + lease.ttlMs);
    return lease.ttlMs;
  }

  /** The granted time in ms; undefined if unknown. */
  ttlMs(id: bigint): number | undefined {
    return this.#leases.get(id)?.ttlMs;
  }

  /** Milliseconds left, not below 0; undefined if unknown. */
  remainingMs(id: bigint, nowMs: number): number | undefined {
    const lease = this.#leases.get(id);
    if (lease === undefined) return undefined;
    return Math.max(0, lease.deadlineMs - nowMs);
  }

  /**
   * The leases that have run out, at most `limit`, oldest first. Each is marked as expiring, and
   * is returned again only after EXPIRY_RETRY_MS if nobody forgot it by then.
   */
  takeExpired(nowMs: number, limit: number): bigint[] {
    const expired: bigint[] = [];
    while (expired.length < limit) {
      const lease = this.#due.peek();
      if (lease === undefined || lease.checkMs > nowMs) break;
      this.#due.pop();
      if (lease.gone) {
        this.#goneCount--;
        continue;
      }
      if (lease.deadlineMs > nowMs) {
        lease.checkMs = lease.deadlineMs;
      } else {
        lease.expiring = true;
        lease.checkMs = nowMs + EXPIRY_RETRY_MS;
        expired.push(lease.id);
      }
      this.#due.push(lease);
    }
    return expired;
  }

  /** Checks every invariant. */
  verify(): void {
    for (const lease of this.#leases.values()) {
      assert(!lease.gone, "a counted lease is not gone");
      assert(lease.expiring || lease.checkMs <= lease.deadlineMs, "looked at by its deadline");
    }
    const nodes = this.#leases.size + this.#goneCount;
    assert(this.#due.size === nodes, "every lease has its node in the heap");
    assert(this.#goneCount <= this.#leases.size + GONE_KEPT + 1, "gone leases are forgotten");
  }

  /** Makes the heap anew, of the leases that are counted. */
  #sweep(): void {
    this.#due = newHeap();
    this.#goneCount = 0;
    for (const lease of this.#leases.values()) this.#due.push(lease);
  }
}

function newHeap(): Heap<Countdown> {
  return new Heap<Countdown>((a, b) => a.checkMs < b.checkMs);
}
