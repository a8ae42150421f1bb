/**
 * The leader's picture of one member: how far the two logs agree, and what to send next.
 *
 *   probe      guessing where the logs agree; one append, then wait for an answer or a heartbeat's
 *   replicate  they agree: stream ahead within the inflight limits (thesis §10.2.2)
 *   snapshot   silent until the snapshot has arrived or failed (§5)
 *
 *          rejected, unreachable            needs what was compacted
 *   replicate ────────────────> probe ───────────────────────> snapshot
 *        <──────────────────────      <───────────────────────
 *          acknowledged                 reported, or acknowledged far enough
 *
 * Invariants, checked by verify(): P1  match < next   P2  probe has nothing in flight
 * P3  snapshot ⇒ next > pendingSnapshot
 */
import { assert } from "../../base/assert.ts";
import type { MemberId } from "../types.ts";
import { Inflights } from "./inflights.ts";

export type ProgressState = "probe" | "replicate" | "snapshot";

export class Progress {
  readonly id: MemberId;
  readonly inflights: Inflights;
  state: ProgressState = "probe";
  match = 0; // highest index known to be durable there and equal here
  next: number; // first index not yet sent
  pendingSnapshot = 0; // index of the snapshot under way, in state snapshot
  isLearner = false;
  recentActive = false; // heard from since the last check of the quorum
  probeSent = false; // in state probe: waiting for an answer
  sentCommit = 0; // highest commit index told
  knownCommit = 0; // highest commit index it has on disk
  round = 0; // newest read round it has answered

  constructor(id: MemberId, next: number, limits: { countMax: number; bytesMax: number }) {
    this.id = id;
    this.next = next;
    this.inflights = new Inflights(limits.countMax, limits.bytesMax);
  }

  /** A new term: nothing is known but where our own log ends. */
  reset(next: number): void {
    this.#enter("probe");
    this.match = 0;
    this.next = next;
    this.recentActive = false;
    this.sentCommit = 0;
    this.knownCommit = 0;
    this.round = 0;
  }

  becomeProbe(): void {
    // After a snapshot the peer has at least that; else start over from what it acknowledged.
    const landed = this.state === "snapshot" ? this.pendingSnapshot : 0;
    this.#enter("probe");
    this.next = Math.max(this.match, landed) + 1;
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
  }

  becomeReplicate(): void {
    this.#enter("replicate");
    this.next = this.match + 1;
  }

  becomeSnapshot(index: number): void {
    this.#enter("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
    this.sentCommit = index;
  }

  /** Whether nothing may be sent before an answer comes. */
  get paused(): boolean {
    if (this.state === "probe") return this.probeSent;
    return this.state === "snapshot" || this.inflights.full;
  }

  /** An append with `count` entries of `bytes` bytes after next - 1 has left. */
  sent(count: number, bytes: number): void {
    if (this.state === "probe") {
      this.probeSent = true;
      return;
    }
    assert(this.state === "replicate", "appends leave only while probing or replicating");
    if (count === 0) return;
    this.next += count;
    this.inflights.add(this.next - 1, bytes);
  }

  /** Takes an acknowledgement; false if it taught us nothing (networks repeat themselves). */
  acknowledge(index: number): boolean {
    if (index <= this.match) return false;
    this.match = index;
    if (this.next <= index) this.next = index + 1;
    return true;
  }

  /**
   * Takes a rejection of the append after `rejected`, with the place to try next; false if it
   * answers something older than what we know.
   */
  reject(rejected: number, hint: number): boolean {
    if (this.state === "snapshot") return false;
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      this.sentCommit = Math.min(this.sentCommit, this.match);
      return true;
    }
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    this.sentCommit = Math.min(this.sentCommit, this.next - 1);
    this.probeSent = false;
    return true;
  }

  verify(): void {
    assert(this.match < this.next, "P1: match < next");
    if (this.state === "probe") assert(this.inflights.count === 0, "P2: probe is not streaming");
    if (this.state === "snapshot") {
      assert(this.next > this.pendingSnapshot, "P3: next follows the snapshot");
    }
  }

  #enter(state: ProgressState): void {
    this.state = state;
    this.probeSent = false;
    this.pendingSnapshot = 0;
    this.inflights.reset();
  }
}
