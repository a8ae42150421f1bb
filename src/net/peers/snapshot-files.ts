/**
 * Snapshots in files. A copy that arrives is `<group>-<sha256>.part` in a directory of its own and
 * survives a restart; a power cut may spoil its tail, which the hash of the whole finds out.
 */
import { type FileHandle, mkdir, open, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { AetherError } from "../../base/errors.ts";
import type { SnapshotNews, SnapshotSink, SnapshotSource, SnapshotStore } from "./ports.ts";
import { CHUNK_BYTES } from "./snapshot-limits.ts";

/** A source that holds a file open. */
export interface FileSource extends SnapshotSource {
  close(): Promise<void>;
}

/** Reads the file once for its hash, in small pieces. Nobody may change it before close(). */
export async function fileSource(path: string): Promise<FileSource> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const hasher = new Bun.CryptoHasher("sha256");
    for (let at = 0; at < size; at += CHUNK_BYTES) {
      hasher.update(await readExactly(file, at, Math.min(CHUNK_BYTES, size - at)));
    }
    return {
      size,
      sha256: hasher.digest(),
      read: (offset, length) => readExactly(file, offset, length),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Keeps copies in `directory`, which it makes. `install` gets the path of a copy that is whole,
 * checked and synced; the file is its own, to be renamed or removed.
 */
export function fileSnapshots(
  directory: string,
  install: (news: SnapshotNews, path: string) => Promise<void>,
): SnapshotStore {
  const pathOf = ({ group, sha256 }: SnapshotNews): string =>
    join(directory, `${group}-${Buffer.from(sha256).toString("hex")}.part`);
  return {
    async open(news) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const path = pathOf(news);
      await removeOthers(directory, news.group, path);
      return openSink(path);
    },
    async install(news, sink) {
      await (sink as FileSink).sync();
      await sink.close();
      await install(news, pathOf(news));
    },
  };
}

/** Unfinished copies of the group which nobody will go on with. */
async function removeOthers(directory: string, group: number, path: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const other = join(directory, name);
    const ofGroup = name.startsWith(`${group}-`) && name.endsWith(".part");
    if (ofGroup && other !== path) await unlink(other);
  }
}

async function openSink(path: string): Promise<FileSink> {
  // Creates the file if need be and keeps what it holds; for that there is no flag "r+ or new".
  await (await open(path, "a", 0o600)).close();
  const file = await open(path, "r+");
  const { size } = await file.stat();
  return new FileSink(file, path, size);
}

class FileSink implements SnapshotSink {
  readonly #file: FileHandle;
  readonly #path: string;
  #length: number;

  constructor(file: FileHandle, path: string, length: number) {
    this.#file = file;
    this.#path = path;
    this.#length = length;
  }

  get length(): number {
    return this.#length;
  }

  read(offset: number, length: number): Promise<Uint8Array> {
    return readExactly(this.#file, offset, length);
  }

  async write(bytes: Uint8Array): Promise<void> {
    let done = 0;
    try {
      while (done < bytes.length) {
        const at = this.#length + done;
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, at);
        done += bytesWritten;
      }
    } catch (error) {
      const full = (error as NodeJS.ErrnoException).code === "ENOSPC";
      throw new AetherError(full ? "no_space" : "unhealthy", this.#path, { cause: error });
    }
    this.#length += bytes.length;
  }

  /** Everything written is durable when this resolves. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async discard(): Promise<void> {
    await this.#file.close();
    await unlink(this.#path);
  }
}

async function readExactly(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new AetherError("corrupt", "the copy is shorter than it was");
    done += bytesRead;
  }
  return bytes;
}
