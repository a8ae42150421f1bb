/**
 * Proposals on their way: the batch that the current turn fills, and the batches that were handed
 * to Raft and wait to be applied.
 *
 * A batch is found again by (origin, sequence) inside its entry, wherever the entry was appended;
 * sequences start at a random number, so one from before a restart is never mistaken for ours.
 *
 * A call is answered exactly once: with the outcome of its command, or with an error. After an
 * error that says "unknown" (timeout, leader lost) the command may still be applied later; its
 * outcome then finds nobody waiting and is dropped.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter } from "../base/bytes.ts";
import type { AetherError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { addCommand, beginBatch, type CommandKind, endBatch } from "../state/command.ts";

/** A batch is handed on early at this size: one log row stays cheap to write, send and read. */
export const BATCH_BYTES_MAX = 1 * MIB;

/** Answers one call: its outcome, or why there is none. Called exactly once. */
export type Done<Outcome> = (outcome: Outcome | AetherError) => void;

/** A batch that left: who waits for which of its commands (by position). */
export interface SentBatch<Outcome> {
  readonly sequence: number;
  readonly payload: Uint8Array;
  readonly waiters: (Done<Outcome> | undefined)[];
  readonly sentMs: number;
  /** Where the leader appended it; 0 until known. */
  index: number;
  term: number;
}

export class Proposals<Outcome> {
  readonly #origin: bigint;
  readonly #writer = new ByteWriter(64 * KIB);
  readonly #sent = new Map<number, SentBatch<Outcome>>();
  #waiters: Done<Outcome>[] = [];
  #sequence: number;
  /** Calls that were answered with an error instead of an outcome. */
  failedCount = 0;

  /** `firstSequence` must be random over restarts (below 2^48 leaves room to count up). */
  constructor(origin: bigint, firstSequence: number) {
    this.#origin = origin;
    this.#sequence = firstSequence;
  }

  /** Commands in the batch that is being filled. */
  get filling(): number {
    return this.#waiters.length;
  }

  /** Batches that were sent and not answered yet. */
  get sentCount(): number {
    return this.#sent.size;
  }

  /** Adds a command, copying its body; true when the batch is full and must be taken now. */
  add(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: Done<Outcome>,
  ): boolean {
    if (this.#waiters.length === 0) beginBatch(this.#writer, this.#origin, this.#sequence);
    addCommand(this.#writer, kind, bytes, start, end);
    this.#waiters.push(done);
    return this.#writer.length >= BATCH_BYTES_MAX;
  }

  /** Ends the batch that was being filled and remembers its waiters; undefined if it is empty. */
  take(nowMs: number): SentBatch<Outcome> | undefined {
    const count = this.#waiters.length;
    if (count === 0) return undefined;
    const batch: SentBatch<Outcome> = {
      sequence: this.#sequence,
      payload: endBatch(this.#writer, count),
      waiters: this.#waiters,
      sentMs: nowMs,
      index: 0,
      term: 0,
    };
    this.#waiters = [];
    this.#sent.set(this.#sequence, batch);
    this.#sequence++;
    return batch;
  }

  /** The waiting batch of an applied entry, forgotten here; undefined if nobody waits for it. */
  applied(origin: bigint, sequence: number): SentBatch<Outcome> | undefined {
    if (origin !== this.#origin) return undefined;
    const batch = this.#sent.get(sequence);
    if (batch !== undefined) this.#sent.delete(sequence);
    return batch;
  }

  /** Fails one batch: Raft refused it, or nobody waits for it any longer. */
  refuse(batch: SentBatch<Outcome>, error: AetherError): void {
    this.failedCount += batch.waiters.length;
    this.#sent.delete(batch.sequence);
    answerAll(batch, error);
  }

  /** Fails every batch sent before `beforeMs`: they took too long, and may still happen. */
  expire(beforeMs: number, error: () => AetherError): void {
    for (const batch of this.#sent.values()) {
      if (batch.sentMs > beforeMs) break; // in order of sending
      this.refuse(batch, error());
    }
  }

  /** Fails everything, sent or not: leadership or the node is going away. */
  failAll(error: () => AetherError): void {
    const batch = this.take(0);
    assert(batch === undefined || this.#sent.has(batch.sequence), "a taken batch is remembered");
    for (const sent of this.#sent.values()) this.refuse(sent, error());
  }
}

/** Answers whoever still waits for a command of the batch. */
export function answerAll<Outcome>(batch: SentBatch<Outcome>, error: AetherError): void {
  for (let i = 0; i < batch.waiters.length; i++) answer(batch, i, error);
}

/** Answers the call that waits for command `position`, once. */
export function answer<Outcome>(
  batch: SentBatch<Outcome>,
  position: number,
  outcome: Outcome | AetherError,
): void {
  const done = batch.waiters[position];
  if (done === undefined) return;
  batch.waiters[position] = undefined;
  done(outcome);
}
