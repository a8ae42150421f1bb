/**
 * Reads which a follower asks the leader to confirm. They travel in batches with a fresh number;
 * the leader's answer to number n was made after batch n was closed, so it serves that batch and
 * all before it. What is not answered in time is asked again under a new number, so that an
 * answer to the lost attempt cannot be taken for one to the new.
 *
 * Numbers start at a random place at each start of the process: an answer meant for the time
 * before a restart falls outside of what was issued since, but for a chance in 2^32.
 */
import { assert } from "../../base/assert.ts";
import type { Random } from "../../base/ports.ts";

interface Batch {
  readonly sequence: number;
  readonly ids: readonly number[];
}

/** Batches under way, for the reason of ROUNDS_MAX in leader-reads.ts. */
const BATCHES_MAX = 4;

/** Room for numbers after each start: 2^32 places × 2^20 numbers fill 52 bits. */
const SEQUENCE_SPAN = 2 ** 20;

export class ForwardedReads {
  readonly #base: number;
  #sequence: number;
  #gathered: number[] = [];
  #batches: Batch[] = [];
  #waiting = 0;
  #ticks = 0;

  constructor(random: Random) {
    this.#base = random.below(2 ** 32 - 1) * SEQUENCE_SPAN;
    this.#sequence = this.#base;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get wantsBatch(): boolean {
    return this.#gathered.length > 0 && this.#batches.length < BATCHES_MAX;
  }

  add(id: number): void {
    this.#gathered.push(id);
    this.#waiting++;
  }

  /** Closes a batch of what was gathered; its number must be asked for now. */
  start(): number {
    assert(this.#gathered.length > 0, "a batch of nothing");
    if (this.#batches.length === 0) this.#ticks = 0;
    this.#sequence++;
    this.#batches.push({ sequence: this.#sequence, ids: this.#gathered });
    this.#gathered = [];
    return this.#sequence;
  }

  /** A tick passed; true when the oldest question has been open for `patience` ticks. */
  tick(patience: number): boolean {
    if (this.#batches.length === 0) return false;
    this.#ticks++;
    return this.#ticks >= patience;
  }

  /** Puts everything unanswered back, to be asked anew under a fresh number. */
  retry(): void {
    this.#gathered = this.#batches.flatMap((batch) => batch.ids).concat(this.#gathered);
    this.#batches = [];
    this.#ticks = 0;
  }

  /** An answer to `sequence`; returns the reads it serves, undefined if it is not to us. */
  answer(sequence: number): readonly number[] | undefined {
    if (sequence <= this.#base || sequence > this.#sequence) return undefined;
    let count = 0;
    while (count < this.#batches.length && (this.#batches[count] as Batch).sequence <= sequence) {
      count++;
    }
    if (count === 0) return undefined;
    const ids = this.#batches.splice(0, count).flatMap((batch) => batch.ids);
    this.#waiting -= ids.length;
    this.#ticks = 0;
    return ids;
  }

  /** The leader is gone: returns every read without an answer. */
  reset(): readonly number[] {
    this.retry();
    const ids = this.#gathered;
    this.#gathered = [];
    this.#waiting = 0;
    return ids;
  }

  verify(): void {
    let waiting = this.#gathered.length;
    for (const batch of this.#batches) waiting += batch.ids.length;
    assert(waiting === this.#waiting, "count of forwarded reads");
    assert(this.#batches.length <= BATCHES_MAX, "batches under way are bounded");
  }
}
