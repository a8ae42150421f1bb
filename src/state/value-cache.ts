/**
 * Which entries keep the stored form of their latest version in memory: a second-chance ring
 * (CLOCK, Corbató 1968) bounded by bytes. A hit costs one store into `referenced`; a miss is read
 * from the history by whoever asked. Nothing that a client can see depends on what is cached.
 *
 * Invariants, checked by verify(): entry.kv ≠ null exactly for entries in the ring, each at its
 * `slot`; `bytes` is their sum and, after each offer, at most `bytesMax`.
 */
import { assert } from "../base/assert.ts";
import type { KeyEntry } from "./key-entry.ts";

/** What an entry in the ring costs beside its bytes: the array's slot and the Buffer object. */
const OVERHEAD_BYTES = 96;

/** A value over this part of the cache would push out too many others. */
const SHARE_MAX = 1 / 8;

export class ValueCache {
  readonly bytesMax: number;
  bytes = 0;
  readonly #ring: KeyEntry[] = [];
  #hand = 0;

  /** `bytesMax` 0 caches nothing. */
  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get size(): number {
    return this.#ring.length;
  }

  /** Whether a value of `bytes` fits without pushing another out. */
  hasRoom(bytes: number): boolean {
    return this.bytes + bytes + OVERHEAD_BYTES <= this.bytesMax;
  }

  /** Keeps `kv`, the stored form of the entry's latest version, instead of what was there. */
  offer(entry: KeyEntry, kv: Uint8Array): void {
    const cost = kv.length + OVERHEAD_BYTES;
    if (cost > this.bytesMax * SHARE_MAX) {
      this.drop(entry);
      return;
    }
    const old = entry.kv;
    if (old !== null) {
      this.bytes += kv.length - old.length;
      entry.referenced = true;
    } else {
      entry.slot = this.#ring.length;
      entry.referenced = false;
      this.#ring.push(entry);
      this.bytes += cost;
    }
    entry.kv = kv;
    while (this.bytes > this.bytesMax) this.#evict();
  }

  /** Forgets the entry's value. */
  drop(entry: KeyEntry): void {
    const kv = entry.kv;
    if (kv === null) return;
    this.bytes -= kv.length + OVERHEAD_BYTES;
    entry.kv = null;
    const last = this.#ring.pop() as KeyEntry;
    if (last !== entry) {
      this.#ring[entry.slot] = last;
      last.slot = entry.slot;
    }
    entry.slot = -1;
  }

  verify(): void {
    let bytes = 0;
    for (let i = 0; i < this.#ring.length; i++) {
      const entry = this.#ring[i] as KeyEntry;
      assert(entry.slot === i, "a cached entry knows its slot");
      assert(entry.kv !== null, "a cached entry has its value");
      bytes += entry.kv.length + OVERHEAD_BYTES;
    }
    assert(bytes === this.bytes, "cached bytes are counted");
    assert(bytes <= this.bytesMax, "the cache keeps to its bound");
  }

  /** Drops the first entry the hand meets that was not read since the hand was there last. */
  #evict(): void {
    for (;;) {
      if (this.#hand >= this.#ring.length) this.#hand = 0;
      const entry = this.#ring[this.#hand] as KeyEntry;
      if (!entry.referenced) {
        this.drop(entry);
        return;
      }
      entry.referenced = false;
      this.#hand++;
    }
  }
}
