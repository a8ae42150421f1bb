/**
 * Who is read in a turn when there is more to read than there is time. Whoever sends little is
 * served at once, as always. Once a turn has taken TURN_MS_MAX, what comes from those who send much
 * waits: they are read a slice at a time, one after the other, at the ends of this turn and of the
 * next ones, and their sockets are not read meanwhile (so that TCP tells them to slow down).
 *
 *   socket ─▶ little, or time left ─▶ the connection
 *        └──▶ much, and no time ─▶ held, paused ─▶ a slice a round ─▶ the connection
 *
 * Some are not even read before it is their turn: those of whom nothing was heard yet, and those
 * who sent much last. Once the turn is long their sockets are paused, and a few go on each turn:
 * what is read of a socket is half a megabyte at once, and eight hundred of them make a turn of a
 * second by being read alone. Whoever has sent little so far is never stopped.
 *
 * Without it, 400 connections with half a megabyte of requests each made a turn of a second, and
 * who asked for one key waited for all of it.
 */
import { type Turn, TurnPhase } from "../base/turn.ts";
import { KIB, MIB } from "../base/units.ts";

/**
 * Reading those who send much may take so much of a turn, at once and in slices together. Who sends
 * little waits for it twice, reading and at the fsync's return: with 4 ms and 4 more for slices
 * a put beside four hostile connections took 20 ms, with 2 ms in all 10 to 13, so 6 to 10. It is
 * still a hundred requests and more that one turn proposes together.
 */
export const TURN_MS_MAX = 1;

/**
 * Input up to this never waits: a few dozen requests, more than a client in closed loop has at
 * once, and one put of the usual size.
 */
export const LIGHT_BYTES = KIB;

/**
 * Read at a time of somebody who sends much. Ten requests or so; more would be too many where each
 * asks for a megabyte, since nobody looks at the clock, or at how much waits to be read, within
 * one.
 */
export const SLICE_BYTES = 2 * KIB;

/** One whose last slice took longer gets requests one by one: each may be answered by megabytes. */
export const SLOW_SLICE_MS = 1;
export const SLOW_SLICE_BYTES = 256;

/**
 * Bytes held over all connections. A socket hands out 512 KiB at most before it is paused; what
 * comes beyond 256 of them is not held but read, however long the turn gets.
 */
export const HELD_BYTES_MAX = 128 * MIB;

/** Of those that were stopped, so many go on in a turn: a millisecond of copying if all send. */
export const GO_ON_PER_TURN = 8;
/** Nor do they while more is held: what they send would have to be, too. */
const GO_ON_HELD_BYTES_MAX = HELD_BYTES_MAX / 2;

/** Somebody whose input is held, or may have to be. */
export interface SlicedInput {
  /** How much to read next time. */
  sliceBytes: number;
  /** Reads one slice of what is held; false: nothing is held any more, or goOn() will say. */
  takeSlice(nowMs: number): boolean;
  /** It is not read until it may go on. */
  setStopped(isStopped: boolean): void;
}

/** How often input had to wait, for metrics. */
export interface InputCounts {
  heldCount: number;
  overflowCount: number;
}

export class InputShare {
  readonly counts: InputCounts = { heldCount: 0, overflowCount: 0 };
  readonly #turn: Turn;
  readonly #nowMs: () => number;
  readonly #run = (): void => this.#takeSlices();
  readonly #waiting: SlicedInput[] = [];
  /** Those who may have sent much that nobody has read. */
  readonly #doubted = new Set<SlicedInput>();
  /** Those who are stopped, in their order. */
  readonly #stopped = new Set<SlicedInput>();
  #heldBytes = 0;
  /** When the first input of this turn was read; -1: none was. */
  #begunMs = -1;
  /** How long reading at once has taken in this turn, as somebody who sends much last saw it. */
  #readMs = 0;

  constructor(turn: Turn, nowMs: () => number) {
    this.#turn = turn;
    this.#nowMs = nowMs;
  }

  /** Bytes that wait. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Input has come; returns the time. */
  begin(): number {
    const nowMs = this.#nowMs();
    if (this.#begunMs < 0) {
      this.#begunMs = nowMs;
      this.#turn.after(TurnPhase.FLUSH, this.#run);
    }
    return nowMs;
  }

  /** Whether the turn has time left for those who send much. */
  hasTime(): boolean {
    if (this.#waiting.length > 0) return false;
    this.#readMs = this.#nowMs() - this.#begunMs;
    return this.#readMs < TURN_MS_MAX;
  }

  /** Whether so many bytes may be held; then `input` gets its slices until it holds nothing. */
  hold(input: SlicedInput, bytes: number): boolean {
    for (const doubted of this.#doubted) this.#stop(doubted);
    this.#doubted.clear();
    if (this.#heldBytes + bytes > HELD_BYTES_MAX) {
      this.counts.overflowCount++;
      return false;
    }
    this.counts.heldCount++;
    this.#heldBytes += bytes;
    this.#waiting.push(input);
    return true;
  }

  /** What was held, and not counted as waiting, gets its slices again. */
  goOn(input: SlicedInput): void {
    this.#waiting.push(input);
    this.begin();
  }

  /** So many held bytes were read, or are not wanted any more. */
  release(bytes: number): void {
    this.#heldBytes -= bytes;
    if (this.#mayGoOn()) this.begin();
  }

  /** It may send much next. While others are stopped it has to wait behind them. */
  doubt(input: SlicedInput): void {
    if (this.#stopped.size === 0) this.#doubted.add(input);
    else this.#stop(input);
  }

  /** It was heard of, or is gone. */
  trust(input: SlicedInput): void {
    this.#doubted.delete(input);
    this.#stopped.delete(input);
  }

  #stop(input: SlicedInput): void {
    this.#stopped.add(input);
    input.setStopped(true);
  }

  #mayGoOn(): boolean {
    return this.#stopped.size > 0 && this.#heldBytes <= GO_ON_HELD_BYTES_MAX;
  }

  /** The first of the stopped. Whoever goes on is read before he can be stopped again. */
  #letGoOn(): void {
    if (!this.#mayGoOn()) return;
    let left = GO_ON_PER_TURN;
    for (const input of this.#stopped) {
      if (left-- === 0) return;
      this.#stopped.delete(input);
      input.setStopped(false);
    }
  }

  /** The end of the turn: slices in order, one each, while there is time; at least one. */
  #takeSlices(): void {
    const waiting = this.#waiting;
    let nowMs = this.#nowMs();
    const untilMs = nowMs + TURN_MS_MAX - this.#readMs;
    this.#begunMs = -1;
    this.#readMs = 0;
    let next = 0;
    while (next < waiting.length && (next === 0 || nowMs < untilMs)) {
      const input = waiting[next++] as SlicedInput;
      const fromMs = nowMs;
      if (input.takeSlice(nowMs)) waiting.push(input);
      nowMs = this.#nowMs();
      input.sliceBytes = nowMs - fromMs <= SLOW_SLICE_MS ? SLICE_BYTES : SLOW_SLICE_BYTES;
    }
    waiting.splice(0, next);
    this.#letGoOn();
    if (waiting.length > 0 || this.#mayGoOn()) this.begin();
  }
}
