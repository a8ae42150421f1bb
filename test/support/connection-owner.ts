/**
 * Whose connection it is: the kernel knows which process holds the other end of a loopback
 * connection. So one proxy per member can tell its peers apart, whatever protocol they speak.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"] as const;

/**
 * The one of `pids` that holds the loopback connection from `fromPort` to `toPort`; undefined when
 * none does (any more).
 */
export function ownerOf(
  fromPort: number,
  toPort: number,
  pids: readonly number[],
): number | undefined {
  const inode = inodeOf(fromPort, toPort);
  return inode === undefined ? undefined : pids.find((pid) => holds(pid, `socket:[${inode}]`));
}

/** Columns: number, local address, remote address, state, …; the tenth is the inode. */
function inodeOf(fromPort: number, toPort: number): string | undefined {
  const [from, to] = [fromPort, toPort].map(
    (port) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`,
  ) as [string, string];
  for (const table of TABLES) {
    for (const line of readFileSync(table, "latin1").split("\n")) {
      const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
      if (local?.endsWith(from) && remote?.endsWith(to)) return inode;
    }
  }
  return undefined;
}

function holds(pid: number, socket: string): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => linkOf(`${directory}/${fd}`) === socket);
  } catch {
    return false; // the process has just ended
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // closed meanwhile
  }
}
