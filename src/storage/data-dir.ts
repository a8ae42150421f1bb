/**
 * The data directory of one member.
 *
 *   format            "aether 1": what wrote it; a newer number is refused
 *   lock.db           held by the process that uses the directory
 *   lock.pid          who that is, for the message of whoever comes second
 *   raft.db           the Raft log of all groups
 *   group-1/state.db  the state of a group
 *
 * The lock is SQLite's own: an exclusive transaction on a file of its own, open for the life of
 * the process. It is a lock of the kernel (fcntl), so it goes with its holder however that dies,
 * and SQLite keeps two users in one process apart as well. Bun has no flock; a file with a pid and
 * a test for life was rejected, because pids are reused and two can come at once.
 */
import { Database } from "bun:sqlite";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { syncPath, writeDurably } from "./durable-file.ts";
import { createPrivate, DIRECTORY_MODE, openToOthers } from "./private-file.ts";
import { causeText, StorageError } from "./storage-error.ts";

/** Grows when an older program could not use what a newer one left. */
export const DIRECTORY_FORMAT = 1;

const PROGRAM = "aether";
const FORMAT_FILE = "format";
const LOCK_FILE = "lock.db";
const PID_FILE = "lock.pid";
const PART_FILE = "new.part";

/** Where etcd keeps its state, in its data directory. */
const ETCD_FILE = "member/snap/db";

/** What a fresh directory may hold: an empty volume's own, and ours if we died while making it. */
const FRESH = new Set(["lost+found", LOCK_FILE, `${LOCK_FILE}-journal`, PID_FILE, PART_FILE]);

/**
 * Locks this process holds. A connection that nobody refers to is closed by the collector, and its
 * lock with it: the caller may drop a DataDir, and the directory stays ours.
 */
const held = new Set<Database>();

/** A directory that is ours until release() or the end of the process. */
export interface DataDir {
  /** Absolute. */
  readonly path: string;
  readonly logPath: string;
  /** What of it others than the owner may use, as it was found; worth a warning. */
  readonly openToOthers: readonly string[];
  /** The state file of a group; makes the folder it lies in. */
  statePath(group: number): string;
  /** Gives the directory up; every store in it must be closed. */
  release(): void;
}

/**
 * Opens or creates a data directory and locks it, and so with the directory of the log, if that is
 * another. Throws StorageError: "locked" (with the pid that
 * holds it), "format" (newer, or not ours), "unusable" (cannot be made, read or written).
 */
export function openDataDir(given: string, givenForLog: string | undefined = given): DataDir {
  const path = resolve(given);
  const logDirectory = resolve(givenForLog);
  try {
    makeDirectory(path);
    const fresh = requireFresh(path);
    const lock = takeLock(path);
    try {
      if (fresh) writeText(path, FORMAT_FILE, `${PROGRAM} ${DIRECTORY_FORMAT}\n`);
      requireFormat(path);
      writeText(path, PID_FILE, `${process.pid}\n`);
      const locks = logDirectory === path ? [lock] : [lock, takeLogDirectory(logDirectory)];
      return lockedDirectory(path, logDirectory, locks);
    } catch (error) {
      giveUp(lock);
      throw error;
    }
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError("unusable", `${path}: cannot be used: ${causeText(error)}`);
  }
}

/** The log may lie on a disk of its own: the directory there is locked as well. */
function takeLogDirectory(path: string): Database {
  makeDirectory(path);
  return takeLock(path);
}

function lockedDirectory(path: string, logDirectory: string, locks: Database[]): DataDir {
  const directories = new Set([path, logDirectory]);
  return {
    path,
    logPath: join(logDirectory, "raft.db"),
    openToOthers: [...directories].flatMap((each) => openToOthers(each, isGroupFolder)),
    statePath(group) {
      const folder = join(path, `group-${group}`);
      makeDirectory(folder);
      return join(folder, "state.db");
    },
    release() {
      for (const lock of locks) giveUp(lock);
    },
  };
}

function isGroupFolder(name: string): boolean {
  return /^group-\d+$/.test(name);
}

/** Makes the directory where it is missing, and its name durable. */
function makeDirectory(path: string): void {
  const made = mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  if (made !== undefined) syncPath(dirname(path));
}

/** True if nobody has used the directory yet; refuses one that belongs to something else. */
function requireFresh(path: string): boolean {
  const names = readdirSync(path);
  if (names.includes(FORMAT_FILE)) return false;
  const foreign = names.find((name) => !FRESH.has(name));
  if (foreign === undefined) return true;
  const etcdFile = join(path, ETCD_FILE);
  if (existsSync(etcdFile)) throw new StorageError("format", ofEtcd(path, etcdFile));
  const text = `${path}: not a data directory of ${PROGRAM}: it holds ${foreign}`;
  throw new StorageError("format", `${text} and no file named ${FORMAT_FILE}`);
}

/** Whoever replaced the program alone is told how its data come along. */
function ofEtcd(path: string, file: string): string {
  const options = "--name, --initial-cluster and --initial-advertise-peer-urls";
  return [
    `${path}: a data directory of etcd, which is left as it is;`,
    `to go on with its data, stop etcd and make a directory from it:`,
    `aether utl snapshot restore ${file} --skip-hash-check --data-dir NEW`,
    `(and ${options} as the member has them)`,
  ].join(" ");
}

function requireFormat(path: string): void {
  const text = readFileSync(join(path, FORMAT_FILE), "utf8").trim();
  const version = new RegExp(`^${PROGRAM} (\\d+)$`).exec(text)?.[1];
  if (version === undefined) {
    throw new StorageError("format", `${path}: not a data directory of ${PROGRAM}`);
  }
  if (Number(version) > DIRECTORY_FORMAT) {
    const newer = `${path}: format ${version} is newer than this program's ${DIRECTORY_FORMAT}`;
    throw new StorageError("format", `${newer}: start the newer program`);
  }
}

function takeLock(path: string): Database {
  createPrivate(join(path, LOCK_FILE));
  const lock = new Database(join(path, LOCK_FILE), { create: true, readwrite: true });
  try {
    lock.run("BEGIN EXCLUSIVE");
    held.add(lock);
    return lock;
  } catch (error) {
    lock.close(true);
    if ((error as { code?: unknown }).code !== "SQLITE_BUSY") throw error;
    throw new StorageError("locked", `${path}: in use by ${holder(path)}`);
  }
}

function giveUp(lock: Database): void {
  lock.close(true);
  held.delete(lock);
}

function holder(path: string): string {
  try {
    return `process ${readFileSync(join(path, PID_FILE), "utf8").trim()}`;
  } catch {
    return "another process"; // it has the lock and not written its pid yet
  }
}

function writeText(path: string, name: string, text: string): void {
  writeDurably(join(path, name), join(path, PART_FILE), text);
}
