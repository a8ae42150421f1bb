/**
 * Files and directories for the member's own user alone. In them is everything that clients keep
 * here, with the hashes of passwords and the tokens that are good right now; whatever the umask is,
 * nobody else on the machine is to read that (etcd: directories 0700, files 0600).
 */
import { closeSync, openSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** What others than the owner may do. */
const OTHERS = 0o077;

/**
 * Makes an empty file for SQLite to fill, which would make one that everybody may read (0644); the
 * -wal and -shm beside it get the modes of the file. One that is there is left as it is.
 */
export function createPrivate(path: string): void {
  closeSync(openSync(path, "a", FILE_MODE));
}

/** The directory, what is in it, and in `inner` directories of it: what others may use of that. */
export function openToOthers(directory: string, isInner: (name: string) => boolean): string[] {
  const open = isOpen(directory) ? [directory] : [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isFile() && isOpen(path)) open.push(path);
    else if (entry.isDirectory() && isInner(entry.name)) {
      open.push(...openToOthers(path, () => false));
    }
  }
  return open;
}

/** False for what has just gone: a file that another process had in there for a moment. */
function isOpen(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & OTHERS) !== 0;
}
