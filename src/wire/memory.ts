/**
 * What all connections of a process may hold for peers that do not finish or do not read. The
 * bounds of one connection (http2/limits.ts, http1/limits.ts) are wide, because one honest client
 * may need them; a thousand hostile ones must not have them all at once.
 *
 *   account   what one connection holds: its output, answers that wait for windows, incomplete
 *             messages and bodies, and by estimate its streams and caches
 *   budget    their sum. Over it new calls of those above their share are refused, and the
 *             greediest connections are ended with their next tick until the sum fits again
 *
 * Invariants: usedBytes = the sum of the accounts that count; an account that is closed or
 * condemned counts nothing. Nobody within FAIR_BYTES is ever refused or ended, so the worst is
 * bytesMax + FAIR_BYTES × connections, and what comes between two ticks (100 ms).
 */
import { assert } from "../base/assert.ts";
import { KIB, MIB } from "../base/units.ts";

/**
 * Of one process. Three slow readers of 64 MiB and all else that honest clients leave lying: a
 * hundred half-sent values of the largest size. A container of 1 GiB, which is etcd's least,
 * still has twice as much for the store.
 */
export const MEMORY_BYTES_MAX = 256 * MIB;

/** Of one connection, always: its buffers, and an answer or a request of usual size under way. */
export const FAIR_BYTES = 64 * KIB;

/**
 * What a connection held is garbage when it ends, and who fills as much again does not wait until
 * the collector finds it: beside strings of 256 MiB it let 870 MiB grow. Each time that so much was
 * left it is collected, if whoever runs the collector thinks fit (server/collector.ts).
 */
export const COLLECT_BYTES = 64 * MIB;

/** Ending goes on until so much of the budget is left free, so that it is not done one by one. */
const RELIEF_PART = 1 / 8;

export class MemoryBudget {
  readonly bytesMax: number;
  usedBytes = 0;
  /** Calls refused because their connection was above its share. */
  refusedCalls = 0;
  /** Connections ended because they held the most. */
  endedConnections = 0;
  /** Who was last refused a call, and whose connection was ended last; "": nobody. */
  refusedPeer = "";
  endedPeer = "";
  readonly #accounts = new Set<MemoryAccount>();
  readonly #collect: () => boolean;
  #garbageBytes = 0;

  /** `collect` runs the collector, or says that it did not. */
  constructor(bytesMax = MEMORY_BYTES_MAX, collect = (): boolean => false) {
    this.bytesMax = bytesMax;
    this.#collect = collect;
  }

  /** For one connection, which closes it; `peer` is who is at its other end. */
  open(peer = ""): MemoryAccount {
    const account = new MemoryAccount(this, peer);
    this.#accounts.add(account);
    return account;
  }

  get isOver(): boolean {
    return this.usedBytes > this.bytesMax;
  }

  /** What each connection may hold while there is too little for all. */
  get shareBytes(): number {
    return Math.max(FAIR_BYTES, this.bytesMax / 2 / Math.max(1, this.#accounts.size));
  }

  /** The account counts no more. */
  forget(account: MemoryAccount): void {
    this.#accounts.delete(account);
  }

  /** Condemns the greediest until the sum fits; their connections end with their next tick. */
  relieve(): void {
    if (!this.isOver) return;
    const enough = this.bytesMax * (1 - RELIEF_PART);
    const greedy = [...this.#accounts].filter((account) => account.bytes > FAIR_BYTES);
    greedy.sort((a, b) => b.bytes - a.bytes);
    for (const account of greedy) {
      if (this.usedBytes <= enough) return;
      account.condemn();
      this.endedConnections++;
      this.endedPeer = account.peer;
    }
  }

  /** A connection has ended, and left so much. */
  left(bytes: number): void {
    this.#garbageBytes += bytes;
  }

  /** Once in a while: collects what was left, if it is much. */
  tidy(): void {
    if (this.#garbageBytes < COLLECT_BYTES) return;
    if (this.#collect()) this.#garbageBytes = 0;
  }

  verify(): void {
    let bytes = 0;
    for (const account of this.#accounts) bytes += account.bytes;
    assert(bytes === this.usedBytes, "the accounts do not add up to the budget");
  }
}

export class MemoryAccount {
  bytes = 0;
  condemned = false;
  readonly peer: string;
  readonly #budget: MemoryBudget;
  #estimate = 0;
  #counts = true;

  constructor(budget: MemoryBudget, peer: string) {
    this.#budget = budget;
    this.peer = peer;
  }

  /** A buffer was made, grew (or went, below 0). */
  add(bytes: number): void {
    if (!this.#counts) return;
    this.bytes += bytes;
    this.#budget.usedBytes += bytes;
  }

  /** What is not counted as it comes, by estimate: replaces the last one. */
  estimate(bytes: number): void {
    this.add(bytes - this.#estimate);
    this.#estimate = bytes;
  }

  /** Too much is held by all, and more than its share by this one: it begins nothing new. */
  refuses(): boolean {
    const budget = this.#budget;
    if (!budget.isOver || this.bytes <= budget.shareBytes) return false;
    budget.refusedCalls++;
    budget.refusedPeer = this.peer;
    return true;
  }

  /** Once in a while: whether this connection is to end now. */
  mustEnd(): boolean {
    this.#budget.tidy();
    if (this.#budget.isOver) this.#budget.relieve();
    if (this.condemned) {
      this.#budget.left(this.bytes);
      this.bytes = 0;
    }
    return this.condemned;
  }

  condemn(): void {
    this.condemned = true;
    this.#stop();
  }

  /** Whoever is at the other end may hold what he likes. */
  trust(): void {
    this.#stop();
  }

  /** Its connection is gone. */
  close(): void {
    if (this.#counts) this.#budget.left(this.bytes);
    this.#stop();
  }

  #stop(): void {
    if (!this.#counts) return;
    this.#counts = false;
    this.#budget.usedBytes -= this.bytes;
    this.#budget.forget(this);
  }
}
