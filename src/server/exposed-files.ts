/** What others on the machine may use and should not: told at the start, and left as it is. */
import type { Log } from "../base/ports.ts";
import type { DataDir } from "../storage/data-dir.ts";

/** Warns of a data directory, or files in it, that others than the owner may use. */
export function warnOfOpenData({ path, openToOthers }: DataDir, log: Log): void {
  const [first, ...rest] = openToOthers;
  if (first === undefined) return;
  const found = { open: first, ...(rest.length === 0 ? {} : { andOthers: rest.length }) };
  const advice = `chmod -R go= ${path}`;
  log.warn("others may use what is in the data directory", { ...found, advice });
}
