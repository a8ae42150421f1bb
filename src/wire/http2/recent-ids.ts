/** The last `capacity` stream ids that were added. */
export class RecentIds {
  readonly #capacity: number;
  readonly #ids = new Set<number>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(id: number): void {
    this.#ids.add(id);
    if (this.#ids.size <= this.#capacity) return;
    for (const oldest of this.#ids) {
      this.#ids.delete(oldest); // a Set keeps the order of adding
      return;
    }
  }

  get count(): number {
    return this.#ids.size;
  }

  has(id: number): boolean {
    return this.#ids.has(id);
  }
}
