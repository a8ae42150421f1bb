/**
 * What a group measures as it works, for whoever watches it. Calls come once an entry or a write,
 * not once a command, must be cheap and must not throw.
 */

export interface GroupMeter {
  /** Entries of `bytes` in all became durable, `ms` after they were handed to the log. */
  logWritten(bytes: number, ms: number): void;
  /** A batch of applied rows and records was committed, `ms` after it was handed to the store. */
  stateWritten(ms: number): void;
  /**
   * An entry was applied and its callers answered in `ms`. If they called this member, `waitedMs`
   * is how long ago they did. The tally is borrowed.
   */
  applied(tally: CommandTally, ms: number, waitedMs: number | undefined): void;
  leaseGranted(ttlSeconds: number): void;
  leasesExpired(count: number): void;
  /** What a compaction superseded is gone, `ms` after the store was asked to remove it. */
  compacted(ms: number): void;
}

/** For groups that nobody watches. */
export const NO_METER: GroupMeter = {
  logWritten() {},
  stateWritten() {},
  applied() {},
  leaseGranted() {},
  leasesExpired() {},
  compacted() {},
};

/** Kinds of commands are one byte in the log. */
const KINDS = 256;

/** How many commands of each kind an entry held, and how many of them failed. */
export class CommandTally {
  /** Succeeded at 2 × kind + 1, failed at 2 × kind. */
  readonly #counts = new Uint32Array(2 * KINDS);
  /** Places that are not zero. */
  readonly #touched: number[] = [];

  add(kind: number, succeeded: boolean): void {
    const place = 2 * kind + +succeeded;
    if (this.#counts[place] === 0) this.#touched.push(place);
    (this.#counts[place] as number)++;
  }

  /** Visits what was added. */
  forEach(visit: (kind: number, succeeded: boolean, count: number) => void): void {
    for (const place of this.#touched) {
      visit(place >> 1, (place & 1) === 1, this.#counts[place] as number);
    }
  }

  clear(): void {
    for (const place of this.#touched) this.#counts[place] = 0;
    this.#touched.length = 0;
  }
}
