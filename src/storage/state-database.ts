/**
 * state.db of one group as its one writer sees it. Lives in the state Worker; synchronous.
 *
 * Invariants
 *   S1  rows, records and the applied index of a batch are in one transaction, so what is found
 *       after a crash is the state after exactly the applied index (etcd issue 13766)
 *   S2  seq and revision only grow; a row never changes, compaction only removes it
 *   S3  what is durable is a prefix of the transactions: the WAL keeps their order (NORMAL)
 *   S4  no row that is visible at a revision ≥ `done` is ever removed (compactSlice)
 *   S5  the counts beside the applied index are those of the rows and records
 *   S6  while the state is held, nothing is written to the file: only its WAL grows
 *
 * The tail may go in a power cut, and the Raft log replays it: it is cut off only below the
 * applied index that a complete checkpoint has synced (`durable` events).
 */
import type { Database, Statement } from "bun:sqlite";
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import { FreePages } from "./free-pages.ts";
import { openWriter, requireFormat, type Sync, WAL_FRAME_BYTES, Wal } from "./sqlite.ts";
import { MessageKind, StateMessageReader } from "./state-format.ts";
import {
  type Applied,
  Bookkeeping,
  type Compaction,
  RevisionSeek,
  readApplied,
  readCompaction,
  STATE_FORMAT,
} from "./state-schema.ts";
import { damageIn } from "./storage-error.ts";

export interface StateDatabaseOptions {
  readonly path: string;
  readonly group: number;
  /** `normal`, except in benches and tests. */
  readonly sync: Sync;
  /** Bytes of the WAL at which a held state is asked back; HELD_WAL_BYTES_MAX except in tests. */
  readonly heldWalBytesMax?: number;
  readonly compaction?: CompactionPace;
}

/** How fast superseded rows are removed; without one, in slices of 1000 with no rest. */
export interface CompactionPace {
  /** Rows looked at in one slice. */
  readonly sliceRows: number;
  /** Rest after each slice. */
  readonly restMs: number;
}

export interface FoundState {
  readonly applied: Applied;
  readonly durableIndex: number;
}

/** What the writer tells beside answers. */
export type StateEvent =
  | { readonly durable: number } // the applied index that a complete checkpoint has synced
  | { readonly compacted: number } // compaction at this revision, and those below, is done
  | { readonly held: Applied } // the file is this state and stays it
  | { readonly heldTooLong: true } // the WAL is full: let go of it
  | { readonly defragmented: number }; // answers so many, the oldest, who asked for free space

/**
 * Frames in the WAL at which it is checkpointed: 8 MiB. The copy delays this Worker's next batch
 * by 10 to 30 ms, which nobody waits for, and shares the disk with the log's fsyncs no longer.
 */
const WAL_FRAMES_MAX = 2000;

/**
 * A quiet moment is used for a checkpoint if at least this much waits for one. Less is left: its
 * two fsyncs would compete with the log's, and nobody needs them before the log is cut.
 */
const QUIET_FRAMES_MIN = 256;

/**
 * What may be written beside a held state: it is then asked back, and who copies it begins anew
 * with a newer one. 1 GiB is ten seconds of the fastest writing seen and a day of a quiet cluster;
 * a copy of 1 GiB takes 16 s at half of 1 Gbit/s.
 */
const HELD_WAL_BYTES_MAX = 1024 * MIB;

/** A slice is up to twice as many deletions as rows: 1 to 3 ms. */
const PACE: CompactionPace = { sliceRows: 1000, restMs: 0 };

interface RowHead {
  readonly seq: number;
  readonly revision: number;
  readonly prev: number;
  readonly tombstone: number;
}

export class StateDatabase {
  readonly found: FoundState;
  readonly #options: StateDatabaseOptions;
  readonly #tell: (event: StateEvent) => void;
  readonly #db: Database;
  readonly #wal: Wal;
  readonly #seek: RevisionSeek;
  readonly #begin: Statement;
  readonly #commit: Statement;
  readonly #insertRow: Statement;
  readonly #removeRow: Statement;
  readonly #addRecord: Statement;
  readonly #removeRecord: Statement;
  readonly #heads: Statement<RowHead, [number, number]>;
  readonly #pace: CompactionPace;
  readonly #freePages: FreePages;
  readonly #books: Bookkeeping;
  #applied: Applied;
  #durableIndex = 0;
  #compaction: Compaction;
  /** A compaction was asked for that is done already: answer with the next ones. */
  #tellCompacted = false;
  #checkpointAsked = false;
  #hold: "none" | "asked" | "held" | "asked back" = "none";
  /** The next slice of compaction comes no earlier. */
  #restsUntilMs = 0;
  /** Who waits until free pages are given back; `#shrunk`: until a checkpoint cuts the file. */
  #defragmenting = 0;
  #shrunk = false;

  /** Throws AetherError "corrupt" or StorageError when the file must not be used. */
  static open(options: StateDatabaseOptions, tell: (event: StateEvent) => void): StateDatabase {
    const { path, sync } = options;
    return openWriter(path, { sync, shrinks: true }, (db) => new StateDatabase(db, options, tell));
  }

  private constructor(
    db: Database,
    options: StateDatabaseOptions,
    tell: (event: StateEvent) => void,
  ) {
    const { path, group } = options;
    this.#options = options;
    this.#tell = tell;
    this.#db = db;
    requireFormat(db, path, STATE_FORMAT);
    this.#wal = new Wal(db);
    this.#seek = new RevisionSeek(db);
    this.#books = new Bookkeeping(db, group);
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#insertRow = db.prepare("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    this.#removeRow = db.prepare("DELETE FROM row WHERE seq = ?");
    this.#addRecord = db.prepare("INSERT INTO record VALUES (?, ?, ?, ?)");
    this.#removeRecord = db.prepare("DELETE FROM record WHERE space = ? AND key = ?");
    this.#heads = db.prepare(
      `SELECT seq, revision, prev, tombstone FROM row WHERE seq >= ?
       ORDER BY seq LIMIT ?`,
    );
    this.#pace = options.compaction ?? PACE;
    this.#freePages = new FreePages(db);
    const damaged = damageIn(path);
    this.#applied = readApplied(db, group, damaged);
    this.#compaction = readCompaction(db, group, damaged);
    // Also makes durable what a killed process had written and not synced yet.
    if (this.#wal.checkpoint()) this.#durableIndex = this.#applied.index;
    this.found = { applied: this.#applied, durableIndex: this.#durableIndex };
  }

  /** Applies the messages, in order, in one transaction; readable when it returns. */
  commit(messages: readonly Uint8Array[]): void {
    this.#begin.run();
    const before = this.#applied;
    for (let i = 0; i < messages.length; i++) this.#apply(messages[i] as Uint8Array);
    if (this.#applied !== before) this.#books.saveApplied(this.#applied);
    this.#commit.run();
    if (this.#tellCompacted) {
      this.#tellCompacted = false;
      this.#tell({ compacted: this.#compaction.done });
    }
  }

  /**
   * One slice of compaction or of giving pages back, and a checkpoint if it is due. True if there
   * is more to do, a number if that rests for so many milliseconds.
   */
  work(): boolean | number {
    const more = this.#housekeep();
    const frames = this.#wal.pending();
    if (this.#hold === "held") this.#boundHeld(frames);
    else if (this.#owed || frames >= WAL_FRAMES_MAX) this.#checkpoint();
    return more;
  }

  /** Nothing to do for a while. True if a checkpoint is still owed: a reader stood in the way. */
  quiet(): boolean {
    if (!this.#owed && this.#wal.pending() < QUIET_FRAMES_MIN) return false;
    return !this.#checkpoint();
  }

  close(): void {
    this.#db.close(true);
  }

  /** Somebody waits for a checkpoint, and it may be made. */
  get #owed(): boolean {
    if (this.#hold === "asked") return true;
    return this.#hold === "none" && (this.#checkpointAsked || this.#shrunk);
  }

  #housekeep(): boolean | number {
    const restMs = this.#restsUntilMs - performance.now();
    if (restMs > 0 && this.#defragmenting === 0) return restMs;
    if (this.#compactSlice()) return this.#rest();
    if (this.#hold !== "none") return false; // pages are moved when it is let go of
    if (this.#freePages.slice()) return true;
    this.#shrunk = this.#defragmenting > 0;
    return false;
  }

  #rest(): boolean | number {
    const { restMs } = this.#pace;
    if (restMs === 0 || this.#defragmenting > 0) return true; // somebody waits for the space
    this.#restsUntilMs = performance.now() + restMs;
    return restMs;
  }

  #apply(message: Uint8Array): void {
    const reader = new StateMessageReader(message);
    switch (reader.kind) {
      case MessageKind.batch:
        this.#applyBatch(reader);
        break;
      case MessageKind.compact:
        this.#request(reader.number);
        break;
      case MessageKind.checkpoint:
        this.#checkpointAsked = true;
        break;
      case MessageKind.hold:
        assert(this.#hold === "none", "a state is held once, for all who hold it");
        this.#hold = "asked";
        break;
      case MessageKind.defragment:
        this.#defragmenting++;
        this.#freePages.giveBackAll();
        break;
      default:
        assert(reader.kind === MessageKind.release, "a message of a known kind");
        this.#hold = "none";
    }
  }

  #applyBatch(batch: StateMessageReader): void {
    let { rows, records } = this.#applied;
    assert(batch.appliedIndex >= this.#applied.index, "the applied index never goes back");
    while (batch.nextRow()) {
      const { seq, rowRevision, sub, prev, jump, depth, tombstone, crc, kv } = batch;
      this.#insertRow.run(seq, rowRevision, sub, prev, jump, depth, tombstone, crc, kv);
      rows++;
    }
    while (batch.nextRecord()) {
      records -= this.#removeRecord.run(batch.space, batch.key).changes;
      if (batch.deleted) continue;
      this.#addRecord.run(batch.space, batch.key, batch.crc, batch.value);
      records++;
    }
    this.#applied = { index: batch.appliedIndex, term: batch.appliedTerm, rows, records };
  }

  #request(revision: number): void {
    const { done, requested } = this.#compaction;
    if (revision <= done) this.#tellCompacted = true;
    else if (revision > requested) this.#save({ ...this.#compaction, requested: revision });
  }

  #save(compaction: Compaction): void {
    this.#books.saveCompaction(compaction);
    this.#compaction = compaction;
  }

  /**
   * Removes what is superseded at the target, in one transaction with how far it got. Looks at
   * the rows with done ≤ revision ≤ target, in order of seq, and removes
   *   - the row each of them supersedes (prev): at the target nobody sees it any more. What lies
   *     behind that one went when it was looked at itself, in this pass or an earlier one;
   *   - each tombstone below the target. One at the target stays, as etcd keeps it since 3.5.16,
   *     for watchers that start there; the next pass starts at `done` and takes it.
   * Rows up to the target have all been written before the compaction is asked for.
   */
  #compactSlice(): boolean {
    if (this.#compaction.target === 0 && !this.#startPass()) return false;
    const { target, nextSeq, requested } = this.#compaction;
    this.#begin.run();
    const { sliceRows } = this.#pace;
    const heads = this.#heads.all(nextSeq, sliceRows);
    let next = nextSeq;
    let ended = heads.length < sliceRows;
    let { rows } = this.#applied;
    for (let i = 0; i < heads.length; i++) {
      const { seq, revision, prev, tombstone } = heads[i] as RowHead;
      if (revision > target) {
        ended = true;
        break;
      }
      if (prev !== 0) rows -= this.#removeRow.run(prev).changes;
      if (tombstone !== 0 && revision < target) rows -= this.#removeRow.run(seq).changes;
      next = seq + 1;
    }
    if (ended) this.#save({ done: target, requested, target: 0, nextSeq: 0 });
    else this.#save({ ...this.#compaction, nextSeq: next });
    this.#applied = { ...this.#applied, rows };
    this.#books.saveApplied(this.#applied);
    this.#commit.run();
    if (ended) {
      this.#freePages.afterCompaction();
      this.#tell({ compacted: target });
    }
    return true; // there is another pass, or room to give back
  }

  /** Compactions that wait are one pass to the highest of them. */
  #startPass(): boolean {
    const { done, requested } = this.#compaction;
    if (requested <= done) return false;
    const nextSeq = this.#seek.seek(done) ?? Number.MAX_SAFE_INTEGER;
    this.#compaction = { done, requested, target: requested, nextSeq };
    return true;
  }

  /** False if a reader kept it from being complete: tried again later. */
  #checkpoint(): boolean {
    if (this.#hold === "held" || this.#hold === "asked back") return true; // when it is let go of
    const { index } = this.#applied;
    if (!this.#wal.checkpoint()) return false;
    if (this.#checkpointAsked || index > this.#durableIndex) this.#tell({ durable: index });
    this.#checkpointAsked = false;
    this.#durableIndex = index;
    if (this.#shrunk) {
      this.#tell({ defragmented: this.#defragmenting });
      this.#defragmenting = 0;
      this.#shrunk = false;
    }
    if (this.#hold === "asked") {
      this.#hold = "held";
      this.#tell({ held: this.#applied });
    }
    return true;
  }

  /** The WAL's bound while the state is held. Not broken here: somebody may be reading the file. */
  #boundHeld(frames: number): void {
    if (frames * WAL_FRAME_BYTES < (this.#options.heldWalBytesMax ?? HELD_WAL_BYTES_MAX)) return;
    this.#hold = "asked back";
    this.#tell({ heldTooLong: true });
  }
}
