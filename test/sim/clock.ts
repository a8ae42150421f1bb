/** A member's own clock: monotonic, a little fast or slow, never stopped; the wall clock jumps. */
import type { Clock } from "../../src/base/ports.ts";
import type { Schedule } from "./schedule.ts";

export class MemberClock implements Clock {
  readonly #schedule: Schedule;
  #sinceMs: number;
  #readMs: number;
  /** Own milliseconds for each one that really passes. */
  #rate = 1;
  wallOffsetMs = 0;

  constructor(schedule: Schedule, startMs: number) {
    this.#schedule = schedule;
    this.#sinceMs = schedule.nowMs;
    this.#readMs = startMs;
  }

  monotonicMs(): number {
    return this.#readMs + (this.#schedule.nowMs - this.#sinceMs) * this.#rate;
  }

  wallMs(): number {
    return this.monotonicMs() + this.wallOffsetMs;
  }

  /** What really passes while the clock counts `ownMs`. */
  realMs(ownMs: number): number {
    return ownMs / this.#rate;
  }

  setRate(rate: number): void {
    this.#readMs = this.monotonicMs();
    this.#sinceMs = this.#schedule.nowMs;
    this.#rate = rate;
  }
}
