/**
 * Where log lines go: the standard streams, by the runtime's own buffered writers, and files, by
 * one write a line. A file's write ends in the system's cache, so a line never waits for a disk.
 * Whoever read a stream and has gone, or a file that takes no more, does not stop the node.
 */

import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  openSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { streams, zlib } from "../base/builtin.ts";

/** Files of one log: how large one grows, and what becomes of the older ones. */
export interface Rotation {
  readonly bytesMax: number;
  /** Files older than this are removed; 0: never. */
  readonly ageDaysMax: number;
  /** Rotated files that are kept; 0: all. */
  readonly backupsMax: number;
  /** Names bear the local time. */
  readonly localTime: boolean;
  readonly compress: boolean;
}

export type WriteLine = (line: string) => void;

const DAY_MS = 24 * 3600 * 1000;
/** Only the member's own user may read what clients' requests left here (as etcd's files). */
const FILE_MODE = 0o600;

/** A writer to `stdout`, `stderr` or a file. Throws the system's error if the file cannot be. */
export function openOutput(name: string, rotation: Rotation | undefined): WriteLine {
  if (name === "stdout") return streamWriter(process.stdout);
  if (name === "stderr") return streamWriter(process.stderr);
  const file = new LogFile(name, rotation);
  return (line) => file.write(line);
}

/** One writer a stream: its error is heard once. */
const writers = new Map<NodeJS.WriteStream, WriteLine>();

function streamWriter(stream: NodeJS.WriteStream): WriteLine {
  const known = writers.get(stream);
  if (known !== undefined) return known;
  let hasReader = true;
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    hasReader = false;
  });
  const write: WriteLine = (line) => {
    if (hasReader) stream.write(line);
  };
  writers.set(stream, write);
  return write;
}

class LogFile {
  readonly #path: string;
  readonly #rotation: Rotation | undefined;
  #descriptor: number;
  #bytes: number;
  /** Since when the file takes no more; said once on standard error. */
  #failed = false;

  constructor(path: string, rotation: Rotation | undefined) {
    this.#path = path;
    this.#rotation = rotation;
    this.#descriptor = openSync(path, "a", FILE_MODE);
    this.#bytes = statSync(path).size;
  }

  write(line: string): void {
    try {
      const bytes = Buffer.byteLength(line);
      const { bytesMax } = this.#rotation ?? { bytesMax: Number.POSITIVE_INFINITY };
      if (this.#bytes > 0 && this.#bytes + bytes > bytesMax) this.#rotate();
      writeSync(this.#descriptor, line);
      this.#bytes += bytes;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) process.stderr.write(`${this.#path}: no log lines: ${String(error)}\n`);
      this.#failed = true;
    }
  }

  #rotate(): void {
    const rotation = this.#rotation as Rotation;
    const backup = backupPath(this.#path, new Date(), rotation.localTime);
    closeSync(this.#descriptor);
    renameSync(this.#path, backup);
    this.#descriptor = openSync(this.#path, "a", FILE_MODE);
    this.#bytes = 0;
    removeOld(this.#path, rotation);
    if (rotation.compress) void compress(backup);
  }
}

/**
 * `etcd.log` becomes `etcd-2026-01-31T10-00-00.000.log`, as lumberjack (etcd's rotation) has it; a
 * later millisecond if that one's name is taken.
 */
function backupPath(path: string, now: Date, localTime: boolean): string {
  const shiftMs = localTime ? now.getTimezoneOffset() * 60_000 : 0;
  const { stem, extension } = partsOf(path);
  for (let ms = now.getTime() - shiftMs; ; ms++) {
    const time = new Date(ms).toISOString().replaceAll(":", "-").slice(0, -1);
    const backup = join(dirname(path), `${stem}-${time}${extension}`);
    if (!existsSync(backup) && !existsSync(`${backup}.gz`)) return backup;
  }
}

function partsOf(path: string): { stem: string; extension: string } {
  const extension = extname(path);
  return { stem: basename(path, extension), extension };
}

function removeOld(path: string, { backupsMax, ageDaysMax }: Rotation): void {
  const { stem, extension } = partsOf(path);
  const isBackup = (name: string): boolean => {
    const plain = name.replace(/\.gz$/, "");
    if (!plain.startsWith(`${stem}-`) || !plain.endsWith(extension)) return false;
    const time = plain.slice(stem.length + 1, plain.length - extension.length);
    return /^\d{4}-\d\d-\d\dT[\d.-]+$/.test(time);
  };
  const folder = dirname(path);
  const newestFirst = readdirSync(folder).filter(isBackup).sort().reverse();
  const oldestMs = ageDaysMax === 0 ? 0 : Date.now() - ageDaysMax * DAY_MS;
  for (const [place, name] of newestFirst.entries()) {
    const backup = join(folder, name);
    const isOneTooMany = backupsMax > 0 && place >= backupsMax;
    if (isOneTooMany || statSync(backup).mtimeMs < oldestMs) unlinkSync(backup);
  }
}

/** The packed file takes the place of the other once it is whole. */
async function compress(path: string): Promise<void> {
  try {
    const packed = createWriteStream(`${path}.gz`, { mode: FILE_MODE });
    await streams().promises.pipeline(createReadStream(path), zlib().createGzip(), packed);
    unlinkSync(path);
  } catch (error) {
    process.stderr.write(`${path}: not compressed: ${String(error)}\n`);
  }
}
