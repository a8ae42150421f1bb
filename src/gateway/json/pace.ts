/**
 * A share of each turn for making JSON of large answers: a megabyte takes ten to twenty
 * milliseconds, and sixty clients who ask for fifty megabytes each held a put up for nine seconds.
 * Work is done a step at a time, everybody's in turn, until TURN_MS_MAX of the turn are spent.
 */
import { type Turn, TurnPhase } from "../../base/turn.ts";

/** As much as reading may take (net/input-share.ts): who asks for much is in no hurry. */
export const TURN_MS_MAX = 1;

/** Does one step, a millisecond or so; true: there is more to do. Must not throw. */
export type Step = () => boolean;

export class Pace {
  readonly #turn: Turn;
  readonly #nowMs: () => number;
  readonly #waiting: Step[] = [];
  readonly #run = (): void => this.#runSteps();
  #armed = false;
  #spentMs = 0;

  constructor(turn: Turn, nowMs: () => number) {
    this.#turn = turn;
    this.#nowMs = nowMs;
  }

  /** Steps that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Runs `step` until it has nothing more to do: at once while this turn has time, then later. */
  run(step: Step): void {
    this.#arm();
    if (this.#waiting.length > 0 || this.#spentMs >= TURN_MS_MAX || this.#timed(step)) {
      this.#waiting.push(step);
    }
  }

  #timed(step: Step): boolean {
    const fromMs = this.#nowMs();
    const hasMore = step();
    this.#spentMs += this.#nowMs() - fromMs;
    return hasMore;
  }

  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#turn.after(TurnPhase.FLUSH, this.#run);
  }

  #runSteps(): void {
    const waiting = this.#waiting;
    this.#armed = false;
    let next = 0;
    while (next < waiting.length && this.#spentMs < TURN_MS_MAX) {
      const step = waiting[next++] as Step;
      if (this.#timed(step)) waiting.push(step);
    }
    waiting.splice(0, next);
    this.#spentMs = 0;
    if (waiting.length > 0) this.#arm();
  }
}
