/**
 * Does a few of many alike things in each turn of the loop and lets the others wait their turn, so
 * that a crowd of them is interleaved with everybody else's work.
 */
import { type Turn, TurnPhase } from "../base/turn.ts";

export class Pace {
  readonly #turn: Turn;
  readonly #countMax: number;
  readonly #onTurn = (): void => this.#next();
  #waiting: (() => void)[] = [];
  /** Of those that wait: how many have begun since the array was made. */
  #at = 0;
  #count = 0;

  /** `countMax` of them in each turn. */
  constructor(turn: Turn, countMax: number) {
    this.#turn = turn;
    this.#countMax = countMax;
  }

  /** Whether there is room in this turn; then it is taken. */
  admit(): boolean {
    if (this.#count >= this.#countMax || this.#waiting.length > 0) return false;
    if (this.#count++ === 0) this.#turn.after(TurnPhase.FLUSH, this.#onTurn);
    return true;
  }

  /** Runs it in a later turn, after those that wait already: admit() had no room. */
  later(task: () => void): void {
    this.#waiting.push(task);
  }

  #next(): void {
    this.#count = 0;
    const end = Math.min(this.#at + this.#countMax, this.#waiting.length);
    const from = this.#at;
    this.#at = end;
    if (end > from) this.#turn.after(TurnPhase.FLUSH, this.#onTurn);
    const tasks = this.#waiting.slice(from, end);
    if (end === this.#waiting.length) {
      this.#waiting = [];
      this.#at = 0;
    }
    this.#count = tasks.length;
    for (const task of tasks) task();
  }
}
