/**
 * The last stream ids that were added: `capacity` of them at least, twice as many at most. Two
 * generations, of which the older one goes as a whole: a Set that lets its first entry go for each
 * new one walks over all that went before it.
 */
export class RecentIds {
  readonly #capacity: number;
  #young = new Set<number>();
  #old = new Set<number>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** An id that was not added before. */
  add(id: number): void {
    if (this.#young.size === this.#capacity) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(id);
  }

  get count(): number {
    return this.#young.size + this.#old.size;
  }

  has(id: number): boolean {
    return this.#young.has(id) || this.#old.has(id);
  }
}
