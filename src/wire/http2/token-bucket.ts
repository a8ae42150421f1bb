/** A token bucket on the caller's clock: `burst` at once, then `perSecond`. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perMs: number;
  #level: number;
  #atMs = 0;

  constructor(burst: number, perSecond: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#level = burst;
  }

  /** Takes one token; false if there is none. A clock that went back refills nothing. */
  take(nowMs: number): boolean {
    const elapsedMs = nowMs - this.#atMs;
    if (elapsedMs > 0) {
      this.#level += elapsedMs * this.#perMs;
      this.#atMs = nowMs;
    }
    if (this.#level > this.#burst) this.#level = this.#burst;
    if (this.#level < 1) return false;
    this.#level--;
    return true;
  }

  /** Earns tokens; what is over the burst is cut when the next one is taken. */
  earn(count: number): void {
    this.#level += count;
  }
}
