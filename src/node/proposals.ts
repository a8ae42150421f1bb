/**
 * Proposals on their way: the batch that the current turn fills, and the batches that were handed
 * to a leader, here or elsewhere, and wait to be applied here.
 *
 *   filling ─ take() ─▶ waits for a leader ─ placed in term T ─▶ applied ─▶ outcomes
 *                              ▲                    │
 *                              └── again(), when it certainly is in nobody's log: refused, or an
 *                                  entry of a later term than T was applied and this was not
 *
 * Why a later term is enough. A batch that was handed over in term T is appended in T or never
 * (the leader of another term refuses it), and terms only rise along the committed log: past an
 * entry of a later term no entry of T follows. So proposing it again cannot apply it twice, and a
 * change of leader leaves no outcome unknown.
 *
 * A batch is found again by (origin, sequence) inside its entry, wherever the entry was appended;
 * sequences start at a random number, so one from before a restart is never mistaken for ours, and
 * each attempt has its own, so a late refusal of an earlier one means nothing.
 *
 * A call is answered exactly once: with the outcome of its command, or with an error. After an
 * error that says "unknown" (a timeout) the command may still be applied later; its outcome then
 * finds nobody waiting and is dropped.
 */
import { assert } from "../base/assert.ts";
import { asBuffer, ByteWriter } from "../base/bytes.ts";
import type { AetherError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import { type Caller, isSameCaller } from "../state/auth/caller.ts";
import {
  addCaller,
  addCommand,
  batchOrigin,
  batchSequence,
  beginBatch,
  type CommandKind,
  endBatch,
  renumberBatch,
} from "../state/command.ts";

/** A batch is handed on early at this size: one log row stays cheap to write, send and read. */
export const BATCH_BYTES_MAX = 1 * MIB;

/**
 * Bytes of all batches that wait to be applied, and of their calls. Beyond it new proposals are
 * refused: a second of the log's writing, and what a member without a leader holds at most.
 */
export const WAITING_BYTES_MAX = 64 * MIB;

/**
 * So many bytes count as one more call where load is judged (rpc/overload.ts): the least limit,
 * 2000, is then half of WAITING_BYTES_MAX. Who floods with large values is refused early, and the
 * other half is for those with few calls.
 */
const LOAD_BYTES = 16 * KIB;

/** A call beside its command: a closure, what it holds, its place in the batch. */
const CALL_BYTES = 200;

/** Answers one call: its outcome, or why there is none. Called exactly once. */
export type Done<Outcome> = (outcome: Outcome | AetherError) => void;

/** A batch that left: who waits for which of its commands (by position). */
export interface SentBatch<Outcome> {
  readonly sequence: number;
  readonly payload: Uint8Array;
  readonly waiters: (Done<Outcome> | undefined)[];
  /** When its calls came; attempts do not change it. */
  readonly sentMs: number;
  /** The term whose leader was given it; 0: it is in nobody's hands. */
  term: number;
  /** It travels inside a change of the membership, which is not tried again by itself. */
  readonly isChange: boolean;
}

export class Proposals<Outcome> {
  readonly #origin: bigint;
  readonly #writer = new ByteWriter(64 * KIB);
  readonly #sent = new Map<number, SentBatch<Outcome>>();
  #sentBytes = 0;
  #sentCalls = 0;
  #waiters: Done<Outcome>[] = [];
  /** The number of the batch that is being filled: others may get theirs before it is taken. */
  #filling = 0;
  /** On whose behalf the last command in it is. */
  #caller: Caller | undefined = undefined;
  #nextSequence: number;
  /** Calls that were answered with an error instead of an outcome. */
  failedCount = 0;

  /** `firstSequence` must be random over restarts (below 2^48 leaves room to count up). */
  constructor(origin: bigint, firstSequence: number) {
    this.#origin = origin;
    this.#nextSequence = firstSequence;
  }

  /** Commands in the batch that is being filled. */
  get filling(): number {
    return this.#waiters.length;
  }

  /** Batches that were sent and not answered yet. */
  get sentCount(): number {
    return this.#sent.size;
  }

  /** Calls that wait, those of the batch that is being filled included; large ones are several. */
  get load(): number {
    const bytes = this.#sentBytes + this.#writer.length;
    return this.#sentCalls + this.#waiters.length + Math.floor(bytes / LOAD_BYTES);
  }

  /** Too much waits, by so much of the bound: no more may be added. */
  isFull(share = 1): boolean {
    return this.#sentBytes > WAITING_BYTES_MAX * share;
  }

  /**
   * Adds a command on behalf of `caller`, copying its body; true when the batch is full and must be
   * taken now.
   */
  add(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: Done<Outcome>,
    caller?: Caller,
  ): boolean {
    if (this.#waiters.length === 0) {
      this.#filling = this.#nextSequence++;
      this.#caller = undefined;
      beginBatch(this.#writer, this.#origin, this.#filling);
    }
    if (caller !== this.#caller && !isSameCaller(caller, this.#caller)) {
      addCaller(this.#writer, caller);
      this.#caller = caller;
    }
    addCommand(this.#writer, kind, bytes, start, end);
    this.#waiters.push(done);
    return this.#writer.length >= BATCH_BYTES_MAX;
  }

  /** Ends the batch that was being filled and remembers its waiters; undefined if it is empty. */
  take(nowMs: number): SentBatch<Outcome> | undefined {
    const count = this.#waiters.length;
    if (count === 0) return undefined;
    const payload = endBatch(this.#writer, count);
    const waiters = this.#waiters;
    this.#waiters = [];
    const sequence = this.#filling;
    return this.#remember({ sequence, payload, waiters, sentMs: nowMs, term: 0, isChange: false });
  }

  /** A batch of one command that travels inside a change of the membership. */
  change(
    kind: CommandKind,
    body: Uint8Array,
    nowMs: number,
    done: Done<Outcome>,
  ): SentBatch<Outcome> {
    const sequence = this.#nextSequence++;
    const writer = new ByteWriter(KIB); // the other may be in use
    beginBatch(writer, this.#origin, sequence);
    addCommand(writer, kind, body, 0, body.length);
    const payload = endBatch(writer, 1);
    const waiters = [done];
    return this.#remember({ sequence, payload, waiters, sentMs: nowMs, term: 0, isChange: true });
  }

  /** The batch under a new number and in nobody's hands: it certainly is in no log. */
  again(batch: SentBatch<Outcome>): SentBatch<Outcome> {
    assert(!batch.isChange, "a change of the membership is not proposed again by itself");
    this.#forget(batch);
    const sequence = this.#nextSequence++;
    const payload = renumberBatch(asBuffer(batch.payload), sequence);
    return this.#remember({ ...batch, sequence, payload, term: 0 });
  }

  find(sequence: number): SentBatch<Outcome> | undefined {
    return this.#sent.get(sequence);
  }

  /** Those in nobody's hands, oldest first. */
  unplaced(): SentBatch<Outcome>[] {
    const found: SentBatch<Outcome>[] = [];
    for (const batch of this.#sent.values()) if (batch.term === 0) found.push(batch);
    return found;
  }

  /** Those given to a leader of a term before `term`. */
  placedBefore(term: number): SentBatch<Outcome>[] {
    const found: SentBatch<Outcome>[] = [];
    for (const batch of this.#sent.values()) {
      if (batch.term > 0 && batch.term < term) found.push(batch);
    }
    return found;
  }

  /**
   * The waiting batch of an applied entry, forgotten here; undefined if nobody waits for it. A
   * leader that lies could put other commands under our number, whose outcomes are not what the
   * calls wait for: they stay without an answer until their time is up.
   */
  applied(payload: Buffer): SentBatch<Outcome> | undefined {
    if (batchOrigin(payload) !== this.#origin) return undefined;
    const batch = this.#sent.get(batchSequence(payload));
    if (batch === undefined || !payload.equals(batch.payload)) return undefined;
    this.#forget(batch);
    return batch;
  }

  /** Fails one batch: a leader refused it, or nobody waits for it any longer. */
  refuse(batch: SentBatch<Outcome>, error: AetherError): void {
    this.failedCount += batch.waiters.length;
    this.#forget(batch);
    answerAll(batch, error);
  }

  /** Fails those of the batches whose calls came before `beforeMs` for which there is an error. */
  expire(beforeMs: number, error: (batch: SentBatch<Outcome>) => AetherError | undefined): void {
    for (const batch of this.#sent.values()) {
      const failure = batch.sentMs <= beforeMs ? error(batch) : undefined;
      if (failure !== undefined) this.refuse(batch, failure);
    }
  }

  /** Fails everything, sent or not: the node is going away. */
  failAll(error: () => AetherError): void {
    const batch = this.take(0);
    assert(batch === undefined || this.#sent.has(batch.sequence), "a taken batch is remembered");
    for (const sent of this.#sent.values()) this.refuse(sent, error());
  }

  #remember(batch: SentBatch<Outcome>): SentBatch<Outcome> {
    this.#sent.set(batch.sequence, batch);
    this.#sentBytes += costOf(batch);
    this.#sentCalls += batch.waiters.length;
    return batch;
  }

  #forget(batch: SentBatch<Outcome>): void {
    if (!this.#sent.delete(batch.sequence)) return;
    this.#sentBytes -= costOf(batch);
    this.#sentCalls -= batch.waiters.length;
  }
}

function costOf<Outcome>({ payload, waiters }: SentBatch<Outcome>): number {
  return payload.length + waiters.length * CALL_BYTES;
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
