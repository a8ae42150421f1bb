/**
 * How every SQLite file of ours is opened, and its write-ahead log (WAL) kept.
 *
 * One connection writes, in a Worker; the main thread has a second, read-only one. The writer
 * checkpoints by itself, in PASSIVE mode, when it chooses to: SQLite's automatic checkpoint would
 * run inside the commit that crosses a bound and delay whoever waits for it.
 *
 * The WAL is recycled, not cut: writing over blocks a file already has needs no allocation, so an
 * fsync has less to do than on a growing file. Only what a held state or a reader made of it, more
 * than WAL_BYTES_KEPT, is given back when it is started over.
 */
import { constants, Database, type Statement } from "bun:sqlite";
import { KIB, MIB } from "../base/units.ts";
import { createPrivate } from "./private-file.ts";
import { DAMAGE_ADVICE, StorageError } from "./storage-error.ts";

/**
 * How a commit is synced: `full` fsyncs the WAL at each commit, `normal` only at a checkpoint
 * (a power cut may take the tail, never the order), `off` never (benches and tests).
 */
export type Sync = "full" | "normal" | "off";

/**
 * The first release without the WAL-reset bug (sqlite.org/wal.html): a checkpoint and a commit of
 * two connections at one moment could lose pages.
 */
const SQLITE_VERSION_MIN = [3, 51, 3] as const;

/** Pages a writer keeps: it works at the right edge of its tables, and trims at the left one. */
const WRITER_CACHE_BYTES = 8 * 1024 * KIB;

/** Pages a reader keeps; a commit of the writer empties this cache, so a large one is a waste. */
const READER_CACHE_BYTES = 2 * 1024 * KIB;

/** Far more than a WAL has between two checkpoints in usual times (8 MiB of state.db's). */
const WAL_BYTES_KEPT = 64 * MIB;

/** How long a connection waits for a lock that another holds for moments (open, recovery). */
const BUSY_MS_MAX = 5_000;

/** Throws StorageError "unusable" unless the SQLite we run on is new enough to be trusted. */
export function requireSqliteVersion(version: string): void {
  const parts = version.split(".").map(Number);
  for (let i = 0; i < SQLITE_VERSION_MIN.length; i++) {
    const have = parts[i] ?? 0;
    const need = SQLITE_VERSION_MIN[i] as number;
    if (have > need) return;
    if (have < need) {
      const least = SQLITE_VERSION_MIN.join(".");
      throw new StorageError("unusable", `SQLite ${version} is too old: ${least} or newer`);
    }
  }
}

export interface WriterOptions {
  readonly sync: Sync;
  /** A new file can give free pages back (`incremental_vacuum`); the pages tell who owns them. */
  readonly shrinks?: boolean;
}

/**
 * Opens (and creates, for its owner alone) a file for its one writer and makes what `use` makes of
 * it. Throws what SQLite or `use` throws, with the file closed again.
 */
export function openWriter<T>(
  path: string,
  { sync, shrinks = false }: WriterOptions,
  use: (db: Database) => T,
): T {
  createPrivate(path);
  const db = new Database(path, { create: true, readwrite: true, strict: true });
  try {
    if (shrinks) db.run("PRAGMA auto_vacuum = INCREMENTAL"); // before the first page is written
    prepareWriter(db, sync);
    return use(db);
  } catch (error) {
    db.close(true); // with its statements: a plain close() would leave the file open for them
    throw error;
  }
}

function prepareWriter(db: Database, sync: Sync): void {
  const version = db.query("SELECT sqlite_version() AS v").get() as { v: string };
  requireSqliteVersion(version.v);
  db.run(`PRAGMA busy_timeout = ${BUSY_MS_MAX}`);
  db.run("PRAGMA journal_mode = WAL");
  db.run("PRAGMA wal_autocheckpoint = 0");
  db.run(`PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
  db.run(`PRAGMA synchronous = ${sync}`);
  db.run(`PRAGMA cache_size = ${-WRITER_CACHE_BYTES / KIB}`);
  db.run("PRAGMA temp_store = MEMORY");
  db.run("PRAGMA mmap_size = 0");
  db.run("PRAGMA secure_delete = OFF");
  db.run("PRAGMA cell_size_check = ON");
}

/** Opens a file that its writer has already made, read-only. Throws what SQLite throws. */
export function openReader(path: string): Database {
  const db = new Database(path, { readonly: true, strict: true });
  db.run(`PRAGMA busy_timeout = ${BUSY_MS_MAX}`);
  db.run(`PRAGMA cache_size = ${-READER_CACHE_BYTES / KIB}`);
  db.run("PRAGMA mmap_size = 0");
  return db;
}

/**
 * Opens a file that nobody writes, read-only and without its -wal and -shm: nothing is made beside
 * it. Throws what SQLite throws.
 */
export function openStill(path: string): Database {
  const flags = constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI;
  return new Database(`${Bun.pathToFileURL(path).href}?immutable=1`, flags);
}

/** What a file of ours is: whose, in which version, with which tables. */
export interface Format {
  readonly program: string;
  readonly version: number;
  readonly schema: string;
}

/**
 * Creates the tables of `format` in a new file, or checks that the file is the program's and of
 * its format. Throws StorageError "format".
 */
export function requireFormat(db: Database, path: string, format: Format): void {
  // A new file has its first page alone. More of them without a table is a damaged one.
  const { tables, pages } = db
    .query(
      `SELECT (SELECT count(*) FROM sqlite_schema) AS tables, page_count AS pages
       FROM pragma_page_count`,
    )
    .get() as { tables: number; pages: number };
  if (tables > 0 || pages > 1) {
    checkFormat(db, path, format);
    return;
  }
  db.transaction(() => {
    db.run("CREATE TABLE format (program TEXT NOT NULL, version INTEGER NOT NULL) STRICT");
    db.run("INSERT INTO format VALUES (?, ?)", [format.program, format.version]);
    db.run(format.schema);
  }).immediate();
}

/** Throws StorageError "format" unless the file is the program's and of its format. */
export function checkFormat(db: Database, path: string, { program, version }: Format): void {
  const found = formatOf(db);
  if (found === undefined || found.program !== program) {
    const text = `${path}: not a file of ${program}`;
    throw new StorageError("format", `${text}; if it was one, ${DAMAGE_ADVICE}`);
  }
  if (found.version > version) {
    const text = `${path}: format ${found.version} is newer than this program's ${version}`;
    throw new StorageError("format", `${text}: start the newer program`);
  }
  if (found.version < version) {
    const text = `${path}: format ${found.version} is from before the first release`;
    throw new StorageError("format", `${text}; ${DAMAGE_ADVICE}`);
  }
}

interface Table {
  readonly name: string;
  readonly type: string;
  readonly sql: string | null;
}

/**
 * What makes a file differ from one that openWriter() and requireFormat() would have made: tables,
 * and how pages and text are laid out; undefined if nothing does. A file from elsewhere might have
 * triggers, which would run with our writes, or conditions that refuse them.
 */
export function strangenessOf(db: Database, format: Format): string | undefined {
  const expected = new Map<string, string>();
  const model = new Database(":memory:");
  try {
    requireFormat(model, "a new file", format);
    for (const table of tablesOf(model)) expected.set(table.name, plainSql(table));
  } finally {
    model.close(true);
  }
  for (const table of tablesOf(db)) {
    if (expected.get(table.name) !== plainSql(table)) return `${table.type} "${table.name}"`;
    expected.delete(table.name);
  }
  for (const name of expected.keys()) return `no table "${name}"`;
  const rows = db.query("SELECT count(*) AS count FROM format").get() as { count: number };
  if (rows.count !== 1) return `${rows.count} formats`;
  const pages = db
    .query("SELECT auto_vacuum AS shrinks, encoding FROM pragma_auto_vacuum, pragma_encoding")
    .get();
  const { shrinks, encoding } = pages as { shrinks: number; encoding: string };
  if (shrinks !== AUTO_VACUUM_INCREMENTAL) return "pages that cannot be given back";
  return encoding === "UTF-8" ? undefined : `text in ${encoding}`;
}

const AUTO_VACUUM_INCREMENTAL = 2;

function tablesOf(db: Database): Table[] {
  return db.query("SELECT name, type, sql FROM sqlite_schema").all() as Table[];
}

/** Without comments and line breaks, in which programs may differ; ours holds no quotes. */
function plainSql({ type, sql }: Table): string {
  const plain = (sql ?? "").replace(/--[^\n]*/g, " ").replace(/\s+/g, " ");
  return `${type} ${plain}`;
}

function formatOf(db: Database): { program: string; version: number } | undefined {
  const table = db.query("SELECT 1 FROM sqlite_schema WHERE name = 'format'").get();
  if (table === null) return undefined;
  const row = db.query("SELECT program, version FROM format").get();
  return (row as { program: string; version: number } | null) ?? undefined;
}

/** A page of 4096 bytes and its frame header. */
export const WAL_FRAME_BYTES = 4096 + 24;

interface CheckpointRow {
  readonly busy: number;
  readonly log: number;
  readonly checkpointed: number;
}

/** The write-ahead log of a writer's connection. */
export class Wal {
  readonly #look: Statement<CheckpointRow, []>;
  readonly #checkpoint: Statement<CheckpointRow, []>;
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
    this.#look = db.prepare("PRAGMA wal_checkpoint(NOOP)");
    this.#checkpoint = db.prepare("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** Frames (pages) in the WAL that no checkpoint has copied yet; about a microsecond. */
  pending(): number {
    const row = this.#look.get() as CheckpointRow;
    return row.log - row.checkpointed;
  }

  /**
   * Copies the WAL into the file. True if all of it is there: then every transaction committed
   * before this call is on disk, because SQLite syncs the WAL before it copies, and the file after
   * a complete copy (wal.c, walCheckpoint; sqlite3_wal_checkpoint_v2, PASSIVE). The next commit
   * starts the WAL over. False if a reader stood in the way: try again later.
   */
  checkpoint(): boolean {
    const row = this.#checkpoint.get() as CheckpointRow;
    return row.busy === 0 && row.log === row.checkpointed;
  }

  /**
   * Gives the WAL `bytes` of disk once, by writing that much and taking it away again; the file
   * keeps the pages free for its rows. Two transactions: pages that one transaction both fills
   * and frees are never written.
   */
  grow(bytes: number): void {
    const db = this.#db;
    db.run("DROP TABLE IF EXISTS growth"); // a crash between the two leaves it
    db.run("BEGIN IMMEDIATE");
    db.run("CREATE TABLE growth (filler BLOB) STRICT");
    db.run("INSERT INTO growth VALUES (zeroblob(?))", [bytes]);
    db.run("COMMIT");
    db.run("DROP TABLE growth");
    this.checkpoint();
  }
}
