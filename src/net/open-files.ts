/**
 * How many sockets this process may have. At the system's limit accept() fails and, since the
 * listening socket stays readable, the loop spins (measured: half a core), while SQLite and the
 * logs cannot open files either. So a listener refuses connections well before.
 */
import { readFileSync } from "node:fs";

/** What connections may take of the open files; the rest is for stores, peers and logs. */
const SHARE = 0.75;

/** The most connections that leave room for everything else, at most `wanted`. */
export function connectionsWithin(wanted: number, limits = readLimits()): number {
  const open = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return open === undefined ? wanted : Math.min(wanted, Math.floor(Number(open) * SHARE));
}

/** "" where there is no such file (not Linux), and then nothing is known. */
function readLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch {
    return "";
  }
}
