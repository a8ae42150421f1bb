/**
 * A disk that fails or is full: the server ends and says why, acknowledges nothing that is not on
 * disk, and serves what it had when the disk is well again.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GrpcJsClient } from "../support/grpc-js.ts";
import { canPreload, failingDisk } from "../support/preload.ts";
import { type ServerProcess, startAether, until } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import { check } from "./history.ts";
import { Notes, readAll, Watching, Worker } from "./load.ts";

const WORKERS = 16;
/** EX_IOERR of sysexits.h. */
const EXIT_IO_ERROR = 74;

const TEST_MS_MAX = 30_000;

const preloads = await canPreload();
if (!preloads) console.log("skipped: a failing disk needs a C compiler");
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log("skipped: a full disk needs the root user");

/** Load until the server ends by itself; returns its exit status. */
async function loadUntilEnd(
  server: ServerProcess,
  notes: Notes,
  onLoaded: () => void,
): Promise<number> {
  const client = new GrpcJsClient(server.endpoint);
  const workers = Array.from({ length: WORKERS }, (_, i) => new Worker(i, notes, 9));
  const running = workers.map((worker) => worker.run(client));
  await until("requests are acknowledged", () => {
    if (server.pid === undefined) throw new Error(`ended too early: ${server.log}`);
    return notes.acknowledged >= 500;
  });
  onLoaded();
  const status = await server.ended();
  await Promise.all(running);
  client.close();
  return status;
}

/** What a healthy server on the same directory has, against what was acknowledged. */
async function complaintsOf(server: ServerProcess, notes: Notes): Promise<string[]> {
  const client = new GrpcJsClient(server.endpoint);
  const last = await readAll(client, notes);
  notes.snapshots.push(last);
  const watching = new Watching(notes);
  watching.resume(client);
  await watching.reach(last.revision);
  const { leases } = await client.unary("etcdserverpb.Lease/LeaseLeases");
  client.close();
  return check(notes.history(new Set(leases.map(({ ID }) => ID))));
}

test.skipIf(!preloads)(
  "a failed fsync ends the server, and nothing is acknowledged after it",
  async () => {
    const library = await failingDisk();
    const directory = mkdtempSync(join(tmpdir(), "aether-test-disk-"));
    const failFile = join(directory, "fail");
    const dataDir = join(directory, "data");
    const notes = new Notes();
    {
      const env = { LD_PRELOAD: library, FAIL_FILE: failFile };
      await using failing = await startAether({ dataDir, env });
      const status = await loadUntilEnd(failing, notes, () => writeFileSync(failFile, ""));
      expect(status).toBe(EXIT_IO_ERROR);
      expect(failing.log).toContain("a failed write is not retried");
      expect(failing.log).toMatch(/aether: .*raft\.db|aether: .*state\.db/);
    }
    // The library lost every write since, so an acknowledgement too many would be missing here.
    await using healthy = await startAether({ dataDir });
    expect(await complaintsOf(healthy, notes)).toEqual([]);
    expect(notes.acknowledged).toBeGreaterThanOrEqual(500);
    rmSync(directory, { recursive: true });
    rmSync(dirname(library), { recursive: true });
  },
  TEST_MS_MAX,
);

test.skipIf(!isRoot)(
  "a full disk ends the server, and with space it serves what was acknowledged",
  async () => {
    const mountPoint = mkdtempSync(join(tmpdir(), "aether-test-full-"));
    const mounted = await runToEnd(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", mountPoint]);
    expect(mounted.stderr).toBe("");
    try {
      const dataDir = join(mountPoint, "data");
      const notes = new Notes();
      await using server = await startAether({ dataDir });
      const status = await loadUntilEnd(server, notes, () => {
        fill(join(mountPoint, "filler"));
      });
      expect(status).toBe(EXIT_IO_ERROR);
      expect(server.log).toMatch(/aether: .*(full|space)/);
      const grown = await runToEnd(["mount", "-o", "remount,size=128m", mountPoint]);
      expect(grown.stderr).toBe("");
      await server.restart();
      expect(await complaintsOf(server, notes)).toEqual([]);
    } finally {
      await runToEnd(["umount", "-l", mountPoint]);
      rmSync(mountPoint, { recursive: true });
    }
  },
  TEST_MS_MAX,
);

/** Takes all the space that is left, down to the last block. */
function fill(path: string): void {
  for (const bytes of [65_536, 4096]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(bytes), { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }
}
