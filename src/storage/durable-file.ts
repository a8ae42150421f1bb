/**
 * Files that are there after a power cut. A file's bytes are synced by its own descriptor, its name
 * by the directory's: a new or renamed file that was synced alone may be gone.
 */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { FILE_MODE } from "./private-file.ts";

/** Syncs the file at `path`, or the names in the directory at `path`. */
export function syncPath(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Writes a small file that is there whole or not at all, by way of `part` beside it. */
export function writeDurably(path: string, part: string, text: string): void {
  const file = openSync(part, "w", FILE_MODE);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(part, path);
  syncPath(dirname(path));
}
