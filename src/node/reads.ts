/**
 * Linearizable reads (thesis §6.4): all reads of one event-loop turn share one read index, and run
 * once the state machine has applied it. Nothing here decides whether a read is safe; Raft does.
 *
 *   ask() ─▶ asked this turn ─▶ issue() ─▶ waits for a grant ─▶ granted at index ─▶ index applied
 */
import { assert } from "../base/assert.ts";
import type { AetherError } from "../base/errors.ts";

/** Runs the read (no error), or is told why it cannot run. Called exactly once. */
export type ReadDone = (error: AetherError | undefined) => void;

interface Round {
  readonly id: number;
  readonly reads: ReadDone[];
  readonly askedMs: number;
  /** -1 until granted. */
  index: number;
}

export class Reads {
  #asked: ReadDone[] = [];
  /** In the order in which they were issued. */
  readonly #rounds = new Map<number, Round>();
  #nextId = 1;

  /** Reads which wait for something. */
  get waiting(): number {
    let count = this.#asked.length;
    for (const round of this.#rounds.values()) count += round.reads.length;
    return count;
  }

  /** Joins the round of this turn; true if it is the first of it. */
  ask(done: ReadDone): boolean {
    return this.#asked.push(done) === 1;
  }

  /** Ends the turn's round; returns the id to ask Raft with, or undefined if nobody asked. */
  issue(nowMs: number): number | undefined {
    if (this.#asked.length === 0) return undefined;
    const id = this.#nextId++;
    this.#rounds.set(id, { id, reads: this.#asked, askedMs: nowMs, index: -1 });
    this.#asked = [];
    return id;
  }

  /** Raft granted the round: it runs when `index` is applied. */
  granted(id: number, index: number, applied: number): void {
    const round = this.#rounds.get(id);
    if (round === undefined) return; // it timed out
    assert(round.index < 0, "a round is granted once");
    round.index = index;
    if (index <= applied) this.#run(round, undefined);
  }

  refused(id: number, error: AetherError): void {
    const round = this.#rounds.get(id);
    if (round !== undefined) this.#run(round, error);
  }

  /** The state machine has applied `index`. */
  applied(index: number): void {
    if (this.#rounds.size === 0) return;
    for (const round of this.#rounds.values()) {
      if (round.index >= 0 && round.index <= index) this.#run(round, undefined);
    }
  }

  /** Fails rounds that were asked before `beforeMs`. */
  expire(beforeMs: number, error: () => AetherError): void {
    for (const round of this.#rounds.values()) {
      if (round.askedMs > beforeMs) break; // in order of asking
      this.#run(round, error());
    }
  }

  /** Fails everything that waits. */
  failAll(error: () => AetherError): void {
    this.issue(0);
    for (const round of this.#rounds.values()) this.#run(round, error());
  }

  #run(round: Round, error: AetherError | undefined): void {
    this.#rounds.delete(round.id);
    for (const done of round.reads) done(error);
  }
}
