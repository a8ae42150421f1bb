/**
 * A token bucket that goes into debt: who takes gets at once, and is told how long to wait before
 * the next. So a piece larger than the bucket passes too, and the mean rate is kept.
 */
export class Throttle {
  readonly #bytesPerMs: number;
  readonly #burstBytes: number;
  #bytes: number;
  #atMs: number;

  /** Full at first; `burstBytes` may go at once after a pause. */
  constructor(bytesPerSecond: number, burstBytes: number, nowMs: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#burstBytes = burstBytes;
    this.#bytes = burstBytes;
    this.#atMs = nowMs;
  }

  /** Takes `bytes`; returns the ms to wait before using them. */
  take(bytes: number, nowMs: number): number {
    const earned = (nowMs - this.#atMs) * this.#bytesPerMs;
    this.#bytes = Math.min(this.#burstBytes, this.#bytes + earned) - bytes;
    this.#atMs = nowMs;
    return this.#bytes >= 0 ? 0 : -this.#bytes / this.#bytesPerMs;
  }
}
