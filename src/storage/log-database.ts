/**
 * raft.db as its one writer sees it: opened and checked, then written in transactions that each
 * carry whatever messages were waiting (group commit). Lives in the log Worker; synchronous.
 *
 * Invariants, checked when the file is opened and kept by every transaction:
 *   D1  segments are contiguous: from one that holds snapshot + 1 to `last`, no gap, no overlap
 *   D2  commit ≤ last: what is committed is in the log or in the snapshot
 *   D3  every row carries the CRC-32 of its content and its group
 *   D4  the hard state names an index that the log reaches: a lost tail is no gap, and may have
 *       been promised. It is the last index after a clean stop; while entries are appended it stays
 *       behind, because a second page in every commit would be dear
 *   D5  a suffix that is replaced goes in the transaction that brings what replaces it, with the
 *       hard state (thesis §3.8: all of it before any message of the term)
 * Segments under the snapshot may be left over: compaction removes them in slices, and a crash
 * only delays that. The one that the snapshot's index falls into stays.
 */
import type { Database, Statement } from "bun:sqlite";
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import { KIB, MIB } from "../base/units.ts";
import type { HardState } from "../raft/types.ts";
import {
  checksumSeed,
  decodeConfiguration,
  GROUP_ID_MAX,
  GROUP_ID_SPAN,
  type HardStateRow,
  hardStateChecksum,
  LOG_FORMAT,
  LogMessageReader,
  type PackedSnapshot,
  SegmentReader,
  segmentChecksum,
  snapshotChecksum,
} from "./log-format.ts";
import { openWriter, requireFormat, type Sync, Wal } from "./sqlite.ts";
import { DAMAGE_ADVICE, isBlob } from "./storage-error.ts";

export interface LogDatabaseOptions {
  readonly path: string;
  /** The Raft group whose log this is, 1 … GROUP_ID_MAX. */
  readonly group: number;
  /** `full`, except in benches and tests. */
  readonly sync: Sync;
}

/** What was found when the file was opened; a configuration is still JSON. */
export interface FoundLog {
  readonly hardState: HardState | undefined;
  readonly snapshot: PackedSnapshot | undefined;
  readonly lastIndex: number;
}

/**
 * Frames in the WAL at which it is checkpointed between two commits. 1000 pages are 4 MiB: the
 * copy takes 0.6 to 5 ms, short beside an election timeout, and one fsync is shared by hundreds
 * of commits.
 */
const WAL_FRAMES_MAX = 1000;

/** A quiet moment is used for a checkpoint if at least this much waits for one. */
const QUIET_FRAMES_MIN = 64;

/** What the WAL is grown to at the first quiet moment: a little more than WAL_FRAMES_MAX needs. */
const WAL_BYTES = 5 * MIB;

/** Segments removed behind a snapshot with one commit: 0.1 ms of work if small, 2 ms if large. */
const TRIM_SLICE = 256;

/** Newest bytes whose checksums are checked at open (about 10 ms); the rest when it is read. */
const CHECK_BYTES_MAX = 16 * MIB;

const SCHEMA = `
  CREATE TABLE segment (
    id INTEGER PRIMARY KEY, -- group * 2^43 + index of the first entry
    last INTEGER NOT NULL, -- index of the last entry
    crc INTEGER NOT NULL,
    entries BLOB NOT NULL
  ) STRICT;
  CREATE TABLE hard_state (
    grp INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    vote TEXT NOT NULL, -- decimal, unsigned: too large for an INTEGER
    commit_index INTEGER NOT NULL,
    last_index INTEGER NOT NULL, -- the log reaches at least as far
    crc INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE snapshot (
    grp INTEGER PRIMARY KEY,
    idx INTEGER NOT NULL,
    term INTEGER NOT NULL,
    configuration TEXT NOT NULL, -- JSON
    crc INTEGER NOT NULL
  ) STRICT;
`;

interface SegmentRow {
  readonly id: number;
  readonly last: number;
  readonly crc: number;
  readonly entries: Uint8Array;
}

export class LogDatabase {
  readonly found: FoundLog;
  readonly #options: LogDatabaseOptions;
  readonly #db: Database;
  readonly #wal: Wal;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #insert: Statement;
  readonly #removeFrom: Statement;
  readonly #removeStale: Statement;
  readonly #before: Statement<SegmentRow, [number]>;
  readonly #putHardState: Statement;
  readonly #putSnapshot: Statement;
  readonly #seed: number;
  readonly #base: number;
  #hardState: HardState | undefined;
  /** The last index that the stored hard state names. */
  #namedLast = 0;
  #snapshotIndex: number;
  #lastIndex: number;
  /** There may be segments that lie wholly under the snapshot. */
  #stale = true;
  #grown = false;

  /** Throws AetherError "corrupt" or StorageError when the file must not be used. */
  static open(options: LogDatabaseOptions): LogDatabase {
    return openWriter(options.path, { sync: options.sync }, (db) => new LogDatabase(db, options));
  }

  private constructor(db: Database, options: LogDatabaseOptions) {
    const { path, group } = options;
    assert(Number.isInteger(group) && group >= 1 && group <= GROUP_ID_MAX, "a group id fits");
    this.#options = options;
    this.#seed = checksumSeed(group);
    this.#base = group * GROUP_ID_SPAN;
    this.#db = db;
    requireFormat(db, path, { program: "aether raft log", version: LOG_FORMAT, schema: SCHEMA });
    this.#wal = new Wal(db);
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#insert = db.prepare("INSERT INTO segment VALUES (?, ?, ?, ?)");
    this.#removeFrom = db.prepare("DELETE FROM segment WHERE id >= ? AND id <= ?");
    this.#removeStale = db.prepare(
      `DELETE FROM segment WHERE id > ?1 AND id <= (SELECT max(id) FROM
       (SELECT id FROM segment
        WHERE id > ?1 AND id <= ?1 + ?2 AND last <= ?2 ORDER BY id LIMIT ?3))`,
    );
    this.#before = db.prepare("SELECT * FROM segment WHERE id < ? ORDER BY id DESC LIMIT 1");
    this.#putHardState = db.prepare("REPLACE INTO hard_state VALUES (?, ?, ?, ?, ?, ?)");
    this.#putSnapshot = db.prepare("REPLACE INTO snapshot VALUES (?, ?, ?, ?, ?)");
    const stored = this.#loadHardState();
    const snapshot = this.#loadSnapshot();
    this.#snapshotIndex = snapshot?.index ?? 0;
    this.#checkGroups();
    const last = this.#checkContinuity();
    this.#lastIndex = last;
    if (stored !== undefined) this.#checkEnd(stored, last);
    this.#checkNewest();
    this.#hardState = stored && hardStateOf(stored);
    this.#namedLast = stored?.last ?? 0;
    this.found = { hardState: this.#hardState, snapshot, lastIndex: last };
    this.#makeDurable();
  }

  /** Applies the messages, in order, in one transaction; durable when it returns. */
  commit(messages: readonly Uint8Array[]): void {
    this.#begin.run();
    const hardState = this.#hardState;
    let segments = 0;
    for (let i = 0; i < messages.length; i++) segments += this.#apply(messages[i] as Uint8Array);
    if (this.#hardState !== hardState || this.#lastIndex < this.#namedLast) this.#saveHardState();
    // Leftover rows go along with commits, twice as fast as new ones come: no fsync of their own.
    if (this.#stale) this.#trim(Math.max(TRIM_SLICE / 4, 2 * segments));
    this.#commit.run();
  }

  /** After a commit: the WAL's bound. When idle: leftover rows. True if more is left. */
  work(idle: boolean): boolean {
    if (idle && this.#stale) {
      this.#begin.run();
      this.#trim(TRIM_SLICE);
      this.#commit.run();
    }
    if (this.#wal.pending() >= WAL_FRAMES_MAX) this.#wal.checkpoint();
    return this.#stale;
  }

  /** No message for a while: do what would delay one. False: nothing is left to do. */
  quiet(): boolean {
    if (!this.#grown) {
      this.#grown = true;
      this.#wal.grow(WAL_BYTES);
    } else if (this.#wal.pending() >= QUIET_FRAMES_MIN) {
      this.#wal.checkpoint();
    }
    return false;
  }

  /** Names the end, checkpoints and closes the file; the last connection removes the WAL. */
  close(): void {
    if (this.#lastIndex > this.#namedLast) this.#saveHardState();
    this.#db.close(true);
  }

  #apply(message: Uint8Array): number {
    const reader = new LogMessageReader(message);
    if (reader.compact) this.#compact(reader.snapshot as PackedSnapshot);
    else if (reader.snapshot !== undefined) this.#restart(reader.snapshot);
    if (reader.hardState !== undefined) this.#hardState = reader.hardState;
    while (reader.nextSegment()) this.#append(reader);
    return reader.count;
  }

  #append(segment: LogMessageReader): void {
    const { first, last } = segment;
    assert(first > this.#snapshotIndex, "an entry under the snapshot is never replaced");
    assert(first <= this.#lastIndex + 1, "an entry follows the last one");
    assert(last < GROUP_ID_SPAN, "an index fits beside its group in a row's id");
    if (first <= this.#lastIndex) this.#removeSuffix(first);
    this.#insert.run(this.#base + first, last, segment.crc, segment.entries);
    this.#lastIndex = last;
  }

  /** Removes entries from `first` on; a segment that holds it among others is cut before it. */
  #removeSuffix(first: number): void {
    this.#removeFrom.run(this.#base + first, this.#base + this.#lastIndex);
    this.#lastIndex = first - 1;
    const row = this.#before.get(this.#base + first);
    if (row === null || row.id <= this.#base || row.last < first) return;
    const bounds = { first: row.id - this.#base, last: row.last };
    this.#checkSegment(row);
    const reader = new SegmentReader(bounds, row.entries);
    while (reader.index < first) reader.skip();
    const kept = row.entries.subarray(0, reader.position);
    const crc = segmentChecksum(this.#seed, { first: bounds.first, last: first - 1 }, kept);
    this.#removeFrom.run(row.id, row.id);
    this.#insert.run(row.id, first - 1, crc, kept);
  }

  /** A log without a hard state (only tests have one) has nobody to say where it ends. */
  #saveHardState(): void {
    if (this.#hardState === undefined) return;
    const { term, commit } = this.#hardState;
    const vote = this.#hardState.vote.toString();
    const last = this.#lastIndex;
    const crc = hardStateChecksum(this.#seed, { term, vote, commit, last });
    this.#putHardState.run(this.#options.group, term, vote, commit, last, crc);
    this.#namedLast = last;
  }

  #saveSnapshot(snapshot: PackedSnapshot): void {
    const { index, term, configuration } = snapshot;
    const crc = snapshotChecksum(this.#seed, snapshot);
    this.#putSnapshot.run(this.#options.group, index, term, configuration, crc);
    this.#snapshotIndex = index;
  }

  #compact(snapshot: PackedSnapshot): void {
    assert(snapshot.index <= this.#lastIndex, "compaction keeps within the log");
    if (snapshot.index <= this.#snapshotIndex) return;
    this.#saveSnapshot(snapshot);
    this.#stale = true;
  }

  /** An installed snapshot: nothing of the old log is true any more, before or after it. */
  #restart(snapshot: PackedSnapshot): void {
    if (this.#lastIndex > snapshot.index) this.#removeSuffix(snapshot.index + 1);
    this.#saveSnapshot(snapshot);
    this.#lastIndex = snapshot.index;
    this.#stale = true;
  }

  #trim(count: number): void {
    const removed = this.#removeStale.run(this.#base, this.#snapshotIndex, count).changes;
    this.#stale = removed === count;
  }

  /**
   * A process that was killed between a write and its fsync leaves rows that can be read and are
   * not on disk yet; to build on them would be to trust what a power cut takes. A complete
   * checkpoint syncs them. Where a reader (a person with sqlite3) prevents it, a commit does.
   */
  #makeDurable(): void {
    if (!this.#wal.checkpoint()) this.#db.run("UPDATE format SET version = version");
  }

  #loadHardState(): HardStateRow | undefined {
    const row = this.#db
      .query(
        `SELECT term, vote, commit_index AS "commit", last_index AS last, crc
         FROM hard_state WHERE grp = ?`,
      )
      .get(this.#options.group) as (HardStateRow & { crc: number }) | null;
    if (row === null) return undefined;
    if (hardStateChecksum(this.#seed, row) !== row.crc) {
      throw this.#damaged("the hard state fails its checksum");
    }
    return row;
  }

  #loadSnapshot(): PackedSnapshot | undefined {
    const row = this.#db
      .query("SELECT idx AS 'index', term, configuration, crc FROM snapshot WHERE grp = ?")
      .get(this.#options.group) as PackedSnapshot & { crc: number };
    if (row === null) return undefined;
    if (snapshotChecksum(this.#seed, row) !== row.crc) {
      throw this.#damaged("the snapshot position fails its checksum");
    }
    decodeConfiguration(row.configuration);
    return { index: row.index, term: row.term, configuration: row.configuration };
  }

  #checkGroups(): void {
    const { group } = this.#options;
    const entry = this.#db
      .query("SELECT 1 FROM segment WHERE id <= ? OR id >= ? LIMIT 1")
      .get(this.#base, this.#base + GROUP_ID_SPAN);
    const other = this.#db
      .query(
        "SELECT grp FROM hard_state WHERE grp <> ? UNION SELECT grp FROM snapshot WHERE grp <> ?",
      )
      .get(group, group);
    if (entry !== null || other !== null) {
      throw this.#damaged(`it holds rows of another group than ${group}`);
    }
  }

  /** The last index, once every entry after the snapshot is known to be there. */
  #checkContinuity(): number {
    const snapshot = this.#snapshotIndex;
    const rows = this.#db
      .query("SELECT id, last FROM segment WHERE id > ?1 AND last > ?2 ORDER BY id")
      .iterate(this.#base, snapshot) as Iterable<{ id: number; last: number }>;
    let last = snapshot;
    for (const row of rows) {
      const first = row.id - this.#base;
      if (typeof row.last !== "number") throw this.#damaged(`entries after ${last} are no entries`);
      const follows = first === last + 1 || (last === snapshot && first <= snapshot);
      if (!follows || row.last < first) {
        throw this.#damaged(`entries are missing: ${last} is followed by ${first} to ${row.last}`);
      }
      last = row.last;
    }
    return last;
  }

  /** `last` is what the entries end with. */
  #checkEnd(stored: HardStateRow, last: number): void {
    if (stored.commit > last) {
      throw this.#damaged(`commit index ${stored.commit} is after the last entry, ${last}`);
    }
    if (stored.last > last) {
      throw this.#damaged(`the last entry is ${last}, and ${stored.last} was written`);
    }
  }

  #checkNewest(): void {
    const rows = this.#db.query("SELECT * FROM segment ORDER BY id DESC").iterate();
    let bytes = 0;
    for (const row of rows as Iterable<SegmentRow>) {
      this.#checkSegment(row);
      bytes += row.entries.length + KIB;
      if (bytes > CHECK_BYTES_MAX) break;
    }
  }

  #checkSegment(row: SegmentRow): void {
    const bounds = { first: row.id - this.#base, last: row.last };
    const { entries } = row;
    if (!isBlob(entries) || segmentChecksum(this.#seed, bounds, entries) !== row.crc) {
      throw this.#damaged(`entries ${bounds.first} to ${bounds.last} fail their checksum`);
    }
  }

  #damaged(what: string): AetherError {
    const { path, group } = this.#options;
    return new AetherError("corrupt", `${path}, group ${group}: ${what}; ${DAMAGE_ADVICE}`);
  }
}

function hardStateOf({ term, vote, commit }: HardStateRow): HardState {
  return { term, vote: BigInt(vote), commit };
}
