/**
 * Hashes of the state (state/kv-hash.ts), taken in slices between turns, so that a store of
 * millions of keys does not hold up others; and one after the other, so that asking for many does
 * not either.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import type { Group } from "../node/group.ts";
import { KvHash } from "../state/kv-hash.ts";

/** Rows of one slice: about a millisecond when they have to be read from the store. */
const SLICE_ROWS = 500;

/** Questions that wait for their turn; more are refused. */
export const HASHES_WAITING_MAX = 64;

export interface StateHash {
  readonly hash: number;
  /** Everything up to this revision was hashed. */
  readonly revision: number;
  /** The compaction point, -1 if there is none: states are comparable where it is the same. */
  readonly compactRevision: number;
}

export type HashDone = (hash: StateHash | AetherError) => void;

interface Question {
  readonly revision: number;
  readonly isWanted: () => boolean;
  readonly done: HashDone;
}

export class HashQueue {
  readonly #group: Pick<Group, "machine">;
  readonly #turn: Turn;
  readonly #waiting: Question[] = [];
  #current: { readonly question: Question; readonly cursor: KvHash } | undefined;

  constructor({ group, turn }: { readonly group: Pick<Group, "machine">; readonly turn: Turn }) {
    this.#group = group;
    this.#turn = turn;
  }

  /**
   * Hashes up to `revision`, 0 for the newest. Fails with future_revision or compacted, with
   * leader_changed if a snapshot replaces the state meanwhile, with canceled once nobody wants it.
   */
  take(revision: number, isWanted: () => boolean, done: HashDone): void {
    if (this.#waiting.length >= HASHES_WAITING_MAX) {
      done(new AetherError("too_many_requests", "too many hashes are asked for"));
      return;
    }
    this.#waiting.push({ revision, isWanted, done });
    if (this.#current === undefined) this.#next();
  }

  /** Begins with the oldest question that can be answered. */
  #next(): void {
    assert(this.#current === undefined, "hashes are taken one after the other");
    for (;;) {
      const question = this.#waiting.shift();
      if (question === undefined) return;
      try {
        const cursor = new KvHash(this.#group.machine, question.revision);
        this.#current = { question, cursor };
        this.#turn.after(TurnPhase.READ, () => this.#step());
        return;
      } catch (error) {
        if (!(error instanceof AetherError)) throw error;
        question.done(error);
      }
    }
  }

  #step(): void {
    const current = this.#current;
    assert(current !== undefined, "a step belongs to a hash");
    const { question, cursor } = current;
    const answer = sliceOf(cursor, question);
    if (answer === undefined) {
      this.#turn.after(TurnPhase.READ, () => this.#step());
      return;
    }
    cursor.close();
    this.#current = undefined;
    question.done(answer);
    if (this.#current === undefined) this.#next();
  }
}

/** One slice; the answer if it was the last one. */
function sliceOf(cursor: KvHash, question: Question): StateHash | AetherError | undefined {
  if (!question.isWanted()) return new AetherError("canceled");
  try {
    if (!cursor.step(SLICE_ROWS)) return undefined;
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    return error;
  }
  const { hash, revision, compactRevision } = cursor;
  return { hash, revision, compactRevision };
}
