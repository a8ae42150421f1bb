/**
 * Reads which the leader confirms by a round of heartbeats (thesis §6.4).
 *
 * Reads gather until a round starts; the round takes the commit index of that moment and a fresh
 * number, which its heartbeats carry and the answers repeat. A quorum that has answered a number
 * ≥ n has, after round n began, still followed us: no later leader can have committed anything
 * by then. Numbers only grow within a term, and answers carry the term, so a late answer to an
 * older round can never confirm a newer one; a repeated heartbeat harms nothing.
 *
 *   gather: r1 r2 | round 7 starts, index 40 | gather: r3 | quorum at 7: grant r1 r2 at 40 | …
 */
import { assert } from "../../base/assert.ts";
import type { MemberId } from "../types.ts";

/** A request which a follower passed on; its answer repeats `sequence`. */
export interface RemoteRead {
  readonly from: MemberId;
  readonly sequence: number;
}

/** Reads that share a round. */
export interface ReadRound {
  readonly round: number;
  readonly index: number;
  readonly ids: readonly number[];
  readonly remote: readonly RemoteRead[];
}

/**
 * Rounds under way. Enough that reads arriving during a round need not wait for its end, few
 * enough that a busy leader sends some heartbeats per round trip and not one per turn.
 */
const ROUNDS_MAX = 4;

/** Sending times kept for the lease; older ones only prove less. */
const SENT_MAX = 16;

export class LeaderReads {
  #round = 0;
  #ids: number[] = [];
  #remote: RemoteRead[] = [];
  #rounds: ReadRound[] = [];
  #waiting = 0;
  readonly #sent: { readonly round: number; readonly ms: number }[] = [];
  #confirmedMs = -Infinity;

  /** The newest round; heartbeats carry it. */
  get round(): number {
    return this.#round;
  }

  /** Reads without an answer. */
  get waiting(): number {
    return this.#waiting;
  }

  /** When the newest confirmed heartbeats left, at the earliest; a lease runs from then. */
  get confirmedMs(): number {
    return this.#confirmedMs;
  }

  /** Whether a round may and should start. */
  get wantsRound(): boolean {
    return this.#ids.length + this.#remote.length > 0 && this.#rounds.length < ROUNDS_MAX;
  }

  add(id: number): void {
    this.#ids.push(id);
    this.#waiting++;
  }

  addRemote(read: RemoteRead): void {
    this.#remote.push(read);
    this.#waiting++;
  }

  /** Starts the round of everything gathered: heartbeats with this number must leave now. */
  start(index: number, nowMs: number): number {
    const round = this.beat(nowMs);
    this.#rounds.push({ round, index, ids: this.#ids, remote: this.#remote });
    this.#ids = [];
    this.#remote = [];
    return round;
  }

  /** A new number for heartbeats, with no read, so that their answers renew the lease. */
  beat(nowMs: number): number {
    this.#round++;
    this.#sent.push({ round: this.#round, ms: nowMs });
    if (this.#sent.length > SENT_MAX) this.#sent.shift();
    return this.#round;
  }

  /** A quorum has answered `round`; returns the rounds which that confirms. */
  confirm(round: number): readonly ReadRound[] {
    assert(round <= this.#round, "answers to a round that never began");
    while (this.#sent.length > 0 && (this.#sent[0]?.round as number) <= round) {
      this.#confirmedMs = this.#sent.shift()?.ms as number;
    }
    let count = 0;
    while (count < this.#rounds.length && (this.#rounds[count] as ReadRound).round <= round)
      count++;
    const confirmed = this.#rounds.splice(0, count);
    for (const { ids, remote } of confirmed) this.#waiting -= ids.length + remote.length;
    return confirmed;
  }

  /** Leadership began or ended: forgets everything; returns the local reads left without answer. */
  reset(): readonly number[] {
    const ids = this.#rounds.flatMap((round) => round.ids).concat(this.#ids);
    this.#round = 0;
    this.#ids = [];
    this.#remote = [];
    this.#rounds = [];
    this.#waiting = 0;
    this.#sent.length = 0;
    this.#confirmedMs = -Infinity;
    return ids;
  }

  verify(): void {
    let waiting = this.#ids.length + this.#remote.length;
    let last = 0;
    for (const { round, ids, remote } of this.#rounds) {
      assert(round > last && round <= this.#round, "rounds have rising numbers");
      last = round;
      waiting += ids.length + remote.length;
    }
    assert(this.#rounds.length <= ROUNDS_MAX, "rounds under way are bounded");
    assert(waiting === this.#waiting, "count of waiting reads");
  }
}
