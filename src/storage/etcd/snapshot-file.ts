/**
 * A snapshot as a file: a database, and behind it the SHA-256 of it, which the last message of
 * Maintenance.Snapshot carries. A database copied out of a data directory has none.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { MIB } from "../../base/units.ts";
import { BboltReader } from "../bbolt/reader.ts";
import { type Damaged, damageIn } from "../storage-error.ts";

const SHA256_BYTES = 32;

/** A database is whole sectors, so what is left of one tells the hash (etcd: hasChecksum). */
const SECTOR_BYTES = 512;

const BLOCK_BYTES = MIB;

const ADVICE = "take another snapshot";

export interface SnapshotFile {
  readonly reader: BboltReader;
  readonly damaged: Damaged;
  /** Whether there is a hash behind the database. */
  readonly hashed: boolean;
  /** What the hash should be and is, when it is not the same; reads all of the file. */
  mismatch(): { readonly expected: Buffer; readonly got: Buffer } | undefined;
}

/**
 * Opens a snapshot for `use` alone. Rejects with AetherError "corrupt" if it is none, or what the
 * system throws.
 */
export async function openSnapshot<T>(
  path: string,
  use: (snapshot: SnapshotFile) => T | Promise<T>,
): Promise<T> {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const hashed = size % SECTOR_BYTES === SHA256_BYTES;
    const bytes = hashed ? size - SHA256_BYTES : size;
    const damaged = damageIn(path, ADVICE);
    const mismatch: SnapshotFile["mismatch"] = () => {
      const expected = readAt(file, bytes, SHA256_BYTES);
      const got = digestOf(file, bytes);
      return expected.equals(got) ? undefined : { expected, got };
    };
    return await use({ reader: new BboltReader(file, bytes, damaged), damaged, hashed, mismatch });
  } finally {
    closeSync(file);
  }
}

function digestOf(file: number, bytes: number): Buffer {
  const hasher = new Bun.CryptoHasher("sha256");
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    hasher.update(readAt(file, at, Math.min(BLOCK_BYTES, bytes - at)));
  }
  return hasher.digest();
}

function readAt(file: number, at: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  const count = readSync(file, bytes, 0, length, at);
  return bytes.subarray(0, count);
}
