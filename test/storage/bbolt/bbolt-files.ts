/** Files of bbolt's format for tests: written by ours, read back as plain texts. */
import { closeSync, fstatSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AetherError } from "../../../src/base/errors.ts";
import { BboltReader, type Entry } from "../../../src/storage/bbolt/reader.ts";
import { type BucketWriter, writeBbolt } from "../../../src/storage/bbolt/writer.ts";
import { damageIn } from "../../../src/storage/storage-error.ts";

/** Writes a file called `name` in `directory`; its bytes. */
export function written(
  directory: string,
  name: string,
  fill: (root: BucketWriter) => void,
): Buffer {
  const path = join(directory, name);
  const file = openSync(path, "w+", 0o600);
  try {
    writeBbolt(file, fill);
  } finally {
    closeSync(file);
  }
  return readFileSync(path);
}

/** Runs `use` on a reader of `bytes`. */
export function reading<T>(
  directory: string,
  bytes: Uint8Array,
  use: (reader: BboltReader) => T,
): T {
  const path = join(directory, "read.db");
  writeFileSync(path, bytes);
  const file = openSync(path, "r");
  try {
    return use(new BboltReader(file, fstatSync(file).size, damageIn("read.db", "set it aside")));
  } finally {
    closeSync(file);
  }
}

/** Everything in a file as "bucket/key=value" lines, after a check of all its pages. */
export function listed(directory: string, bytes: Uint8Array): string[] {
  return reading(directory, bytes, (reader) => {
    const lines: string[] = [];
    reader.check((bucket: Entry, entry: Entry) => {
      const value = entry.isBucket ? "bucket" : Buffer.from(entry.value).toString("latin1");
      lines.push(`${text(bucket.key)}/${text(entry.key)}=${value}`);
    });
    return lines;
  });
}

/** What reading a file all through is refused with; undefined if it is taken. */
export function refusal(directory: string, bytes: Uint8Array): string | undefined {
  try {
    listed(directory, bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    return error.detail;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
