/**
 * Linearizable reads (thesis §6.4): all reads of one event-loop turn share one read index, and run
 * once the state machine has applied it. Nothing here decides whether a read is safe; Raft does.
 *
 *   ask() ─▶ asked this turn ─▶ issue() ─▶ waits for a grant ─▶ granted at index ─▶ index applied
 *                                  ▲              │
 *                                  └─ reissue() ◀─┴ postponed(): no leader confirms it now
 *
 * Each attempt of a round has a number of its own, so that a grant meant for an earlier attempt
 * serves nobody (etcd's issue 20418).
 */
import { assert } from "../base/assert.ts";
import type { AetherError } from "../base/errors.ts";

/** Reads that wait, at most: beyond it they are refused. What a member without a leader holds. */
export const READS_WAITING_MAX = 100_000;

/** Runs the read (no error), or is told why it cannot run. Called exactly once. */
export type ReadDone = (error: AetherError | undefined) => void;

interface Round {
  readonly reads: ReadDone[];
  /** When its reads came; attempts do not change it. */
  readonly askedMs: number;
  /** -1 until granted. */
  index: number;
}

export class Reads {
  #asked: ReadDone[] = [];
  /** Rounds under way, by the number of the attempt, in the order in which they were issued. */
  readonly #rounds = new Map<number, Round>();
  /** Rounds for which there is no leader. */
  #postponed: Round[] = [];
  #nextId = 1;
  #waiting = 0;
  /** Rounds that nobody could confirm at once, and rounds that failed. */
  slowCount = 0;
  failedCount = 0;

  /** Reads which wait for something. */
  get waiting(): number {
    return this.#waiting;
  }

  /** So many wait that no more may be asked. */
  get full(): boolean {
    return this.#waiting >= READS_WAITING_MAX;
  }

  /** Joins the round of this turn; true if it is the first of it. */
  ask(done: ReadDone): boolean {
    this.#waiting++;
    return this.#asked.push(done) === 1;
  }

  /** Ends the turn's round; returns the id to ask Raft with, or undefined if nobody asked. */
  issue(nowMs: number): number | undefined {
    if (this.#asked.length === 0) return undefined;
    const id = this.#begin({ reads: this.#asked, askedMs: nowMs, index: -1 });
    this.#asked = [];
    return id;
  }

  /** Nobody can confirm the round now; it is kept for reissue(). */
  postponed(id: number): void {
    const round = this.#rounds.get(id);
    if (round === undefined) return; // it timed out
    assert(round.index < 0, "a granted round needs no leader");
    this.#rounds.delete(id);
    this.#postponed.push(round);
    this.slowCount++;
  }

  /** New ids to ask Raft with, for every round that was postponed. */
  reissue(): number[] {
    const rounds = this.#postponed;
    this.#postponed = [];
    return rounds.map((round) => this.#begin(round));
  }

  /** Raft granted the round: it runs when `index` is applied. */
  granted(id: number, index: number, applied: number): void {
    const round = this.#rounds.get(id);
    if (round === undefined) return; // it timed out
    assert(round.index < 0, "a round is granted once");
    round.index = index;
    if (index <= applied) this.#run(id, round, undefined);
  }

  refused(id: number, error: AetherError): void {
    const round = this.#rounds.get(id);
    if (round !== undefined) this.#run(id, round, error);
  }

  /** The state machine has applied `index`. */
  applied(index: number): void {
    if (this.#rounds.size === 0) return;
    for (const [id, round] of this.#rounds) {
      if (round.index >= 0 && round.index <= index) this.#run(id, round, undefined);
    }
  }

  /** Fails rounds whose reads came before `beforeMs`. */
  expire(beforeMs: number, error: () => AetherError): void {
    for (const [id, round] of this.#rounds) {
      if (round.askedMs <= beforeMs) this.#run(id, round, error());
    }
    this.expirePostponed(beforeMs, error);
  }

  /** Fails rounds that have waited for a leader since before `beforeMs`. */
  expirePostponed(beforeMs: number, error: () => AetherError): void {
    if (this.#postponed.length === 0) return;
    const late = this.#postponed.filter(({ askedMs }) => askedMs <= beforeMs);
    this.#postponed = this.#postponed.filter(({ askedMs }) => askedMs > beforeMs);
    for (const round of late) this.#answer(round, error());
  }

  /** Fails everything that waits. */
  failAll(error: () => AetherError): void {
    this.issue(0);
    this.expire(Number.POSITIVE_INFINITY, error);
  }

  #begin(round: Round): number {
    const id = this.#nextId++;
    this.#rounds.set(id, round);
    return id;
  }

  #run(id: number, round: Round, error: AetherError | undefined): void {
    this.#rounds.delete(id);
    this.#answer(round, error);
  }

  #answer({ reads }: Round, error: AetherError | undefined): void {
    this.#waiting -= reads.length;
    if (error !== undefined) this.failedCount++;
    for (const done of reads) done(error);
  }
}
