/**
 * state.db of one group as its one writer sees it. Lives in the state Worker; synchronous.
 *
 * Invariants
 *   S1  rows, records and the applied index of a batch are in one transaction, so what is found
 *       after a crash is the state after exactly the applied index (etcd issue 13766)
 *   S2  seq and revision only grow; a row never changes, compaction only removes it
 *   S3  what is durable is a prefix of the transactions: the WAL keeps their order (NORMAL)
 *   S4  no row that is visible at a revision ≥ `done` is ever removed (compactSlice)
 *
 * The tail may go in a power cut, and the Raft log replays it: it is cut off only below the
 * applied index that a complete checkpoint has synced (`durable` events).
 */
import type { Database, Statement } from "bun:sqlite";
import { assert } from "../base/assert.ts";
import { openWriter, requireFormat, type Sync, Wal } from "./sqlite.ts";
import { MessageKind, STATE_FORMAT, StateMessageReader } from "./state-format.ts";
import { RevisionSeek, STATE_PROGRAM, STATE_SCHEMA } from "./state-schema.ts";
import { StorageError } from "./storage-error.ts";

export interface StateDatabaseOptions {
  readonly path: string;
  readonly group: number;
  /** `normal`, except in benches and tests. */
  readonly sync: Sync;
}

export interface FoundState {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  readonly durableIndex: number;
}

/** What the writer tells beside answers. */
export type StateEvent =
  | { readonly durable: number } // the applied index that a complete checkpoint has synced
  | { readonly compacted: number }; // compaction at this revision, and those below, is done

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

/** Rows looked at in one slice of compaction: up to twice as many deletions, 1 to 3 ms. */
const COMPACT_SLICE = 1000;

interface Compaction {
  readonly done: number;
  readonly requested: number;
  readonly target: number;
  readonly nextSeq: number;
}

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
  readonly #putRecord: Statement;
  readonly #removeRecord: Statement;
  readonly #putApplied: Statement;
  readonly #putCompaction: Statement;
  readonly #heads: Statement<RowHead, [number]>;
  #appliedIndex = 0;
  #appliedTerm = 0;
  #durableIndex = 0;
  #compaction: Compaction = { done: 0, requested: 0, target: 0, nextSeq: 0 };
  /** A compaction was asked for that is done already: answer with the next ones. */
  #tellCompacted = false;
  #checkpointAsked = false;

  /** Throws StorageError when the file must not be used. */
  static open(options: StateDatabaseOptions, tell: (event: StateEvent) => void): StateDatabase {
    return openWriter(options.path, options.sync, (db) => new StateDatabase(db, options, tell));
  }

  private constructor(
    db: Database,
    options: StateDatabaseOptions,
    tell: (event: StateEvent) => void,
  ) {
    const { path } = options;
    this.#options = options;
    this.#tell = tell;
    this.#db = db;
    requireFormat(db, path, {
      program: STATE_PROGRAM,
      version: STATE_FORMAT,
      schema: STATE_SCHEMA,
    });
    this.#wal = new Wal(db);
    this.#seek = new RevisionSeek(db);
    this.#begin = db.prepare("BEGIN IMMEDIATE");
    this.#commit = db.prepare("COMMIT");
    this.#insertRow = db.prepare("INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    this.#removeRow = db.prepare("DELETE FROM row WHERE seq = ?");
    this.#putRecord = db.prepare("REPLACE INTO record VALUES (?, ?, ?)");
    this.#removeRecord = db.prepare("DELETE FROM record WHERE space = ? AND key = ?");
    this.#putApplied = db.prepare("REPLACE INTO applied VALUES (?, ?, ?)");
    this.#putCompaction = db.prepare("REPLACE INTO compaction VALUES (?, ?, ?, ?, ?)");
    this.#heads = db.prepare(
      `SELECT seq, revision, prev, tombstone FROM row WHERE seq >= ?
       ORDER BY seq LIMIT ${COMPACT_SLICE}`,
    );
    this.#load();
    // Also makes durable what a killed process had written and not synced yet.
    if (this.#wal.checkpoint()) this.#durableIndex = this.#appliedIndex;
    this.found = {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      durableIndex: this.#durableIndex,
    };
  }

  /** Applies the messages, in order, in one transaction; readable when it returns. */
  commit(messages: readonly Uint8Array[]): void {
    this.#begin.run();
    const applied = this.#appliedIndex;
    for (let i = 0; i < messages.length; i++) this.#apply(messages[i] as Uint8Array);
    if (this.#appliedIndex !== applied) {
      this.#putApplied.run(this.#options.group, this.#appliedIndex, this.#appliedTerm);
    }
    this.#commit.run();
    if (this.#tellCompacted) {
      this.#tellCompacted = false;
      this.#tell({ compacted: this.#compaction.done });
    }
  }

  /** One slice of compaction, and a checkpoint if it is due. True if compaction goes on. */
  work(): boolean {
    const more = this.#compactSlice();
    if (this.#checkpointAsked || this.#wal.pending() >= WAL_FRAMES_MAX) this.#checkpoint();
    return more;
  }

  /** Nothing to do for a while. True if a checkpoint is still owed: a reader stood in the way. */
  quiet(): boolean {
    if (!this.#checkpointAsked && this.#wal.pending() < QUIET_FRAMES_MIN) return false;
    return !this.#checkpoint();
  }

  close(): void {
    this.#db.close(true);
  }

  #load(): void {
    const { group, path } = this.#options;
    const other = this.#db.query("SELECT 1 FROM applied WHERE grp <> ?").get(group);
    if (other !== null) {
      throw new StorageError("format", `${path}: it holds another group than ${group}`);
    }
    const applied = this.#db
      .query('SELECT idx AS "index", term FROM applied WHERE grp = ?')
      .get(group) as { index: number; term: number } | null;
    this.#appliedIndex = applied?.index ?? 0;
    this.#appliedTerm = applied?.term ?? 0;
    const compaction = this.#db
      .query("SELECT done, requested, target, next_seq AS nextSeq FROM compaction WHERE grp = ?")
      .get(group) as Compaction | null;
    if (compaction !== null) this.#compaction = compaction;
  }

  #apply(message: Uint8Array): void {
    const reader = new StateMessageReader(message);
    if (reader.kind === MessageKind.batch) this.#applyBatch(reader);
    else if (reader.kind === MessageKind.compact) this.#request(reader.revision);
    else this.#checkpointAsked = true;
  }

  #applyBatch(batch: StateMessageReader): void {
    assert(batch.appliedIndex >= this.#appliedIndex, "the applied index never goes back");
    while (batch.nextRow()) {
      const { seq, rowRevision, sub, prev, jump, depth, tombstone, kv } = batch;
      this.#insertRow.run(seq, rowRevision, sub, prev, jump, depth, tombstone, kv);
    }
    while (batch.nextRecord()) {
      if (batch.deleted) this.#removeRecord.run(batch.space, batch.key);
      else this.#putRecord.run(batch.space, batch.key, batch.value);
    }
    this.#appliedIndex = batch.appliedIndex;
    this.#appliedTerm = batch.appliedTerm;
  }

  #request(revision: number): void {
    const { done, requested } = this.#compaction;
    if (revision <= done) this.#tellCompacted = true;
    else if (revision > requested) this.#save({ ...this.#compaction, requested: revision });
  }

  #save(compaction: Compaction): void {
    const { done, requested, target, nextSeq } = compaction;
    this.#putCompaction.run(this.#options.group, done, requested, target, nextSeq);
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
    const heads = this.#heads.all(nextSeq);
    let next = nextSeq;
    let ended = heads.length < COMPACT_SLICE;
    for (let i = 0; i < heads.length; i++) {
      const { seq, revision, prev, tombstone } = heads[i] as RowHead;
      if (revision > target) {
        ended = true;
        break;
      }
      if (prev !== 0) this.#removeRow.run(prev);
      if (tombstone !== 0 && revision < target) this.#removeRow.run(seq);
      next = seq + 1;
    }
    if (ended) this.#save({ done: target, requested, target: 0, nextSeq: 0 });
    else this.#save({ ...this.#compaction, nextSeq: next });
    this.#commit.run();
    if (ended) this.#tell({ compacted: target });
    return !ended || this.#compaction.requested > target;
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
    const index = this.#appliedIndex;
    if (!this.#wal.checkpoint()) return false;
    if (this.#checkpointAsked || index > this.#durableIndex) this.#tell({ durable: index });
    this.#checkpointAsked = false;
    this.#durableIndex = index;
    return true;
  }
}
