/**
 * The appends a peer has not answered yet: a ring of (last index, bytes), bounded by count and by
 * bytes. An acknowledgement of an index answers every append up to it.
 */
import { assert } from "../../base/assert.ts";

export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  readonly #indexes: number[];
  readonly #sizes: number[];
  #start = 0;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
    this.#indexes = new Array(countMax).fill(0);
    this.#sizes = new Array(countMax).fill(0);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** One append may pass the bound on bytes, so that a single large entry can be sent at all. */
  get full(): boolean {
    return this.#count === this.#countMax || this.#bytes >= this.#bytesMax;
  }

  add(lastIndex: number, bytes: number): void {
    assert(!this.full, "an append beyond the inflight limit");
    const at = (this.#start + this.#count) % this.#countMax;
    this.#indexes[at] = lastIndex;
    this.#sizes[at] = bytes;
    this.#count++;
    this.#bytes += bytes;
  }

  /** Everything up to `index` has been answered. */
  freeTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#start] as number) <= index) {
      this.#bytes -= this.#sizes[this.#start] as number;
      this.#start = (this.#start + 1) % this.#countMax;
      this.#count--;
    }
  }

  reset(): void {
    this.#start = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
