/** What was seen of one lease: when it surely lived, and which keys may have been bound to it. */
import { countBelow } from "./key-evidence.ts";

export class LeaseEvidence {
  /** Keys that some request puts with the lease. */
  readonly keys = new Set<string>();
  /** Where a request without an answer may have bound a key: the last revision that was found. */
  readonly #boundUnseen = new Map<string, number>();
  /** Revisions at which it lived, ascending once settled; infinity if it was revoked. */
  readonly #lived: number[] = [];
  #grants = 0;
  /** When the answer to its grant came. */
  #grantedAt = Number.POSITIVE_INFINITY;
  #goneAt = Number.POSITIVE_INFINITY;

  /** It is granted, by an answer at a time, or without one: infinity. */
  granted(at: number): void {
    this.#grants++;
    this.#grantedAt = at;
  }

  /** Someone who asked at `called` was told at `at` that it is not there. */
  gone(called: number, at: number): void {
    if (called >= this.#grantedAt) this.#goneAt = Math.min(this.#goneAt, at);
  }

  /** Whether what happens at `time` or later may still find it, or be its end. */
  mayLiveAt(time: number): boolean {
    return this.#isReused || time <= this.#goneAt;
  }

  lived(revision: number): void {
    this.#lived.push(revision);
  }

  /** Only an answered request ended it. */
  revoked(): void {
    this.#lived.push(Number.POSITIVE_INFINITY);
  }

  settle(): void {
    this.#lived.sort((a, b) => a - b);
  }

  /** Whether it may have ended when the store was at `revision`, without an answered request. */
  mayEnd(revision: number): boolean {
    return this.#isReused || (this.#lived.at(-1) ?? 0) <= revision;
  }

  /** The last revision up to this one at which it lived; 0 if none is known. */
  lastAlive(revision: number): number {
    if (this.#isReused) return 0;
    const at = countBelow(this.#lived.length, (i) => (this.#lived[i] as number) <= revision);
    return this.#lived[at - 1] ?? 0;
  }

  mayHaveBound(key: string, revision: number): void {
    this.#boundUnseen.set(key, revision);
  }

  lastBoundUnseen(key: string): number {
    return this.#boundUnseen.get(key) ?? 0;
  }

  /** Its id was granted more than once: nothing is concluded from its uses. */
  get #isReused(): boolean {
    return this.#grants > 1;
  }
}
