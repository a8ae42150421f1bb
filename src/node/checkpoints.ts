/**
 * Checkpoints of leases, etcd's feature LeaseCheckpoint: of a lease that lives for long the leader
 * writes down from time to time what is left, so that the next leader (or this one, after a
 * restart) goes on from there instead of giving it its whole time again.
 *
 *   start ──▶ due after an interval ──▶ written down (noted) ──▶ due again …
 *                                          └─ renewed: taken back first, then the client is told
 *
 * The order at the end matters: a client that was told that its lease has its whole time has it
 * from every leader to come. A lease without a note costs its renewal one look at a flag.
 */
import { Heap } from "../base/heap.ts";

/** Between two checkpoints of a lease, and the shortest life that has one (etcd's). */
export const CHECKPOINT_INTERVAL_MS = 5 * 60 * 1000;

/** Leases in one command (etcd's maxLeaseCheckpointBatchSize). */
const CHECKPOINT_MAX = 1000;

interface Due {
  readonly id: bigint;
  readonly atMs: number;
}

export class Checkpoints {
  readonly #intervalMs: number;
  readonly #due = new Heap<Due>((a, b) => a.atMs < b.atMs);
  /** When each lease is due; what else the heap holds is of leases that are gone. */
  readonly #dueMs = new Map<bigint, number>();
  /** Leases of which something is written down, or about to be. */
  readonly #noted = new Set<bigint>();

  /** `intervalMs` undefined: nothing is ever due; what others wrote down is taken back as well. */
  constructor(intervalMs: number | undefined) {
    this.#intervalMs = intervalMs ?? Number.POSITIVE_INFINITY;
  }

  /** A lease begins to be counted; one that ends within the interval needs no checkpoint. */
  start(id: bigint, leftMs: number, nowMs: number): void {
    if (leftMs > this.#intervalMs) this.#schedule(id, nowMs + this.#intervalMs);
  }

  forget(id: bigint): void {
    this.#dueMs.delete(id);
    this.#noted.delete(id);
  }

  clear(): void {
    while (this.#due.pop() !== undefined);
    this.#dueMs.clear();
    this.#noted.clear();
  }

  /** Something is written down of this lease, or nothing any more. */
  noted(id: bigint, isNoted: boolean): void {
    if (isNoted) this.#noted.add(id);
    else this.#noted.delete(id);
  }

  /**
   * Those of which something is written down, or on its way there: it is to be taken back. Nothing
   * new is written of them meanwhile, or a renewal could be overtaken by what was left before it.
   */
  takeBack(ids: readonly bigint[], nowMs: number): bigint[] {
    if (this.#noted.size === 0) return [];
    const noted = ids.filter((id) => this.#noted.has(id));
    for (const id of noted) if (this.#dueMs.has(id)) this.#schedule(id, nowMs + this.#intervalMs);
    return noted;
  }

  /**
   * Leases whose checkpoint is due, at most CHECKPOINT_MAX; each is due again after an interval if
   * it lives for so long. `leftMs` is undefined for a lease that is not counted any more.
   */
  takeDue(nowMs: number, leftMs: (id: bigint) => number | undefined): bigint[] {
    const taken: bigint[] = [];
    for (let next = this.#due.peek(); taken.length < CHECKPOINT_MAX; next = this.#due.peek()) {
      if (next === undefined || next.atMs > nowMs) break;
      this.#due.pop();
      const { id, atMs } = next;
      if (this.#dueMs.get(id) !== atMs) continue; // of an earlier lease with this id
      this.#dueMs.delete(id);
      const left = leftMs(id) ?? 0;
      if (left <= 0) continue;
      taken.push(id);
      this.#noted.add(id);
      this.start(id, left, nowMs);
    }
    return taken;
  }

  #schedule(id: bigint, atMs: number): void {
    this.#dueMs.set(id, atMs);
    this.#due.push({ id, atMs });
  }
}
