/**
 * Snapshots on their way to clients, as files beside the data: one is made at a time, since making
 * one is bound by the disk, and a few may wait and be sent. A file loses its name as soon as it is
 * whole, so that it goes with whoever has it open, however that ends; what a crash left in between
 * is removed at the next start.
 */
import { mkdirSync, rmSync, unlinkSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import type { SnapshotSpool, SnapshotSpools } from "../rpc/snapshot.ts";
import type { Exported } from "../storage/etcd/export-state.ts";
import { exportInWorker } from "../storage/etcd/export-worker.ts";

/** Made or sent at once: each is as large as the state. */
export const SNAPSHOTS_MAX = 4;

const DIRECTORY = "snapshot-spool";

export interface SpoolParts {
  readonly dataDir: string;
  /** state.db. */
  readonly path: string;
  readonly group: number;
  /** The index that is applied now. */
  readonly appliedIndex: () => number;
  readonly log: Log;
}

type Done = (made: SnapshotSpool | AetherError) => void;

interface Wanted {
  readonly index: number;
  readonly cancelled: Int32Array<SharedArrayBuffer>;
  readonly done: Done;
}

export class FileSpools implements SnapshotSpools {
  readonly #parts: SpoolParts;
  readonly #directory: string;
  readonly #waiting: Wanted[] = [];
  /** Made, waiting to be made, or being sent. */
  #count = 0;
  #making = false;
  #nextFile = 0;

  /** Removes what an earlier process left. Throws what the system does. */
  constructor(parts: SpoolParts) {
    this.#parts = parts;
    this.#directory = join(parts.dataDir, DIRECTORY);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  take(done: Done): () => void {
    if (this.#count >= SNAPSHOTS_MAX) {
      const text = `${SNAPSHOTS_MAX} snapshots are being taken: try again when one has ended`;
      done(new AetherError("too_many_snapshots", text));
      return () => {};
    }
    this.#count++;
    const cancelled = new Int32Array(new SharedArrayBuffer(4));
    this.#waiting.push({ index: this.#parts.appliedIndex(), cancelled, done });
    if (!this.#making) void this.#makeAll();
    return () => Atomics.store(cancelled, 0, 1);
  }

  async #makeAll(): Promise<void> {
    this.#making = true;
    for (let wanted = this.#waiting.shift(); wanted !== undefined; wanted = this.#waiting.shift()) {
      const made = await this.#make(wanted);
      if (made instanceof AetherError) this.#count--;
      if (Atomics.load(wanted.cancelled, 0) === 0) wanted.done(made);
      else if (!(made instanceof AetherError)) made.close();
    }
    this.#making = false;
  }

  async #make({ index, cancelled }: Wanted): Promise<SnapshotSpool | AetherError> {
    if (Atomics.load(cancelled, 0) !== 0) return new AetherError("canceled");
    const { path, group, log } = this.#parts;
    const startedMs = performance.now();
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      const out = join(this.#directory, `${++this.#nextFile}.db`);
      const exported = await exportInWorker({ path, group, out, index, cancelled });
      const file = await open(out, "r");
      unlinkSync(out);
      const tookMs = Math.round(performance.now() - startedMs);
      log.info("made a snapshot", { ...exported, tookMs });
      return this.#spoolOf(file, exported);
    } catch (error) {
      if (error instanceof AetherError && error.code === "canceled") return error;
      const why = error instanceof Error ? error.message : String(error);
      log.warn("no snapshot was made", { why });
      if (error instanceof AetherError) return error;
      return new AetherError("unhealthy", why, { cause: error });
    }
  }

  #spoolOf(file: FileHandle, { bytes, version }: Exported): SnapshotSpool {
    let reading: Promise<unknown> = Promise.resolve();
    let closed = false;
    return {
      bytes,
      version,
      read: (at, length) => {
        const read = readFrom(file, at, Math.min(length, bytes - at));
        reading = read.catch(() => {}); // its own reader is told
        return read;
      },
      close: () => {
        if (closed) return;
        closed = true;
        this.#count--;
        void reading.then(() => file.close());
      },
    };
  }
}

async function readFrom(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(length);
  try {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(bytes, done, length - done, at + done);
      if (bytesRead === 0) throw new AetherError("unhealthy", "the snapshot's file became shorter");
      done += bytesRead;
    }
    return bytes;
  } catch (cause) {
    if (cause instanceof AetherError) throw cause;
    throw new AetherError("unhealthy", "the snapshot's file cannot be read", { cause });
  }
}
