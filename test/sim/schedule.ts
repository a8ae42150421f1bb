/**
 * What happens when: events in order of simulated time, and those of one moment in the order in
 * which they were planned. Nothing is taken back; whoever plans something for a process that may
 * die checks by itself that it still lives.
 */
import { assert } from "../../src/base/assert.ts";
import { Heap } from "../../src/base/heap.ts";

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Schedule {
  readonly #events = new Heap<Planned>(
    (a, b) => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order),
  );
  #nowMs = 0;
  #order = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have run or will. */
  get plannedCount(): number {
    return this.#order;
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.#nowMs + delayMs, run);
  }

  at(atMs: number, run: () => void): void {
    assert(atMs >= this.#nowMs, "nothing is planned for the past");
    this.#events.push({ atMs, order: this.#order++, run });
  }

  /** Runs the next event; false if there is none up to `untilMs`, where time then stands. */
  step(untilMs: number): boolean {
    const next = this.#events.peek();
    if (next === undefined || next.atMs > untilMs) {
      this.#nowMs = untilMs;
      return false;
    }
    this.#events.pop();
    this.#nowMs = next.atMs;
    next.run();
    return true;
  }
}
