/**
 * Reads raft.db on the main thread through a connection of its own: entries that the Worker has
 * committed, each checked against its checksum before anyone sees it.
 */
import type { Database, Statement } from "bun:sqlite";
import { AetherError } from "../base/errors.ts";
import type { Entry } from "../raft/types.ts";
import { checksumSeed, GROUP_ID_SPAN, SegmentReader, segmentChecksum } from "./log-format.ts";
import { openReader } from "./sqlite.ts";
import { DAMAGE_ADVICE, isBlob } from "./storage-error.ts";

interface SegmentRow {
  readonly id: number;
  readonly last: number;
  readonly crc: number;
  readonly entries: Uint8Array;
}

export class LogReader {
  readonly #path: string;
  readonly #group: number;
  readonly #seed: number;
  readonly #base: number;
  readonly #db: Database;
  readonly #range: Statement<SegmentRow, [number, number]>;

  constructor(path: string, group: number) {
    this.#path = path;
    this.#group = group;
    this.#seed = checksumSeed(group);
    this.#base = group * GROUP_ID_SPAN;
    this.#db = openReader(path);
    // Starts at the segment that holds the first entry asked for, or is where it should be.
    this.#range = this.#db.prepare(
      `SELECT * FROM segment WHERE id < ?2 AND id >=
       (SELECT max(id) FROM segment WHERE id <= ?1) ORDER BY id`,
    );
  }

  /**
   * Appends the entries with from ≤ index < to to `out` until `bytesMax` payload bytes are
   * reached, at least one if `out` is empty. Returns the bytes that are left, 0 when reached.
   * Throws AetherError "corrupt" for a missing or damaged row.
   */
  read(from: number, to: number, bytesMax: number, out: Entry[]): number {
    let expected = from;
    let bytesLeft = bytesMax;
    // Leaving the loop early ends the statement, and with it the read transaction.
    for (const row of this.#range.iterate(this.#base + from, this.#base + to)) {
      const segment = this.#open(row, expected);
      while (segment.index < expected) segment.skip();
      while (expected < to && expected <= row.last) {
        bytesLeft -= segment.payloadBytes();
        if (bytesLeft < 0 && out.length > 0) return 0;
        out.push(segment.next() as Entry);
        expected++;
      }
    }
    if (expected < to) throw this.#damaged(expected, to - 1, "are missing");
    return Math.max(bytesLeft, 0);
  }

  /** The term of an entry that the log holds. Throws as read() does. */
  term(index: number): number {
    const out: Entry[] = [];
    this.read(index, index + 1, 0, out);
    return (out[0] as Entry).term;
  }

  close(): void {
    this.#db.close(true);
  }

  #open(row: SegmentRow, expected: number): SegmentReader {
    const bounds = { first: row.id - this.#base, last: row.last };
    if (bounds.first > expected || bounds.last < expected) {
      throw this.#damaged(expected, bounds.first - 1, "are missing");
    }
    const { entries } = row;
    if (!isBlob(entries) || segmentChecksum(this.#seed, bounds, entries) !== row.crc) {
      throw this.#damaged(bounds.first, bounds.last, "fail their checksum");
    }
    return new SegmentReader(bounds, entries);
  }

  #damaged(first: number, last: number, what: string): AetherError {
    const where = `${this.#path}, group ${this.#group}`;
    const text = `${where}: entries ${first} to ${last} ${what}; ${DAMAGE_ADVICE}`;
    return new AetherError("corrupt", text);
  }
}
