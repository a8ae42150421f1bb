/**
 * The page of /metrics: hundreds of kilobytes, and milliseconds of work for everybody's thread.
 * Four hundred who asked for it at once stopped the others for three seconds. So it is made once
 * for all that wait, and rests between two times; whoever asks then gets the next one.
 */
import type { Pace } from "../gateway/json/pace.ts";

/** Making it takes at most a fifth of the time. */
const REST_FACTOR = 4;

export class MetricsPage {
  readonly #make: () => string;
  readonly #nowMs: () => number;
  readonly #pace: Pace;
  readonly #waiting: ((page: string) => void)[] = [];
  #restUntilMs = 0;

  /** Answers that were waited for go out at the pace of `pace`. */
  constructor(make: () => string, nowMs: () => number, pace: Pace) {
    this.#make = make;
    this.#nowMs = nowMs;
    this.#pace = pace;
  }

  /** Calls `respond` with a page that is made now or later. */
  ask(respond: (page: string) => void): void {
    if (this.#nowMs() < this.#restUntilMs) this.#waiting.push(respond);
    else respond(this.#made());
  }

  /** Call it about every 100 ms. */
  tick(): void {
    if (this.#waiting.length === 0 || this.#nowMs() < this.#restUntilMs) return;
    const page = this.#made();
    for (const respond of this.#waiting.splice(0)) {
      this.#pace.run(() => {
        respond(page);
        return false;
      });
    }
  }

  #made(): string {
    const fromMs = this.#nowMs();
    const page = this.#make();
    const untilMs = this.#nowMs();
    this.#restUntilMs = untilMs + REST_FACTOR * (untilMs - fromMs);
    return page;
  }
}
