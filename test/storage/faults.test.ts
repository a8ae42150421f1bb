/** Killed processes, failing fsyncs and full disks: what was answered is there, nothing else is. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLogStore } from "../../src/storage/log-store.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { durable, entry, writing } from "./log-store.contract.ts";

const home = mkdtempSync(join(tmpdir(), "aether-faults-"));
let disk: string | undefined;
afterAll(() => {
  if (disk !== undefined) Bun.spawnSync(["umount", "-l", disk]);
  rmSync(home, { recursive: true });
});

const child = join(import.meta.dir, "crash-child.ts");

function onFatal(error: Error): void {
  throw error;
}

/** Rounds of killing: each starts from what the one before left. */
const KILLS = 3;

describe("a process killed while it writes", () => {
  for (let round = 1; round <= KILLS; round++) {
    test(`round ${round}: what was answered is there, and nothing is torn`, async () => {
      const directory = join(home, `kill-${round}`);
      mkdirSync(directory);
      const answered = await runAndKill(directory, 100 * round);
      expect(answered.log).toBeGreaterThan(0);
      expect(answered.state).toBeGreaterThan(0);

      const log = await openLogStore({ path: join(directory, "raft.db"), group: 1, onFatal });
      const { lastIndex, hardState } = log.stored;
      expect(lastIndex).toBeGreaterThanOrEqual(answered.log);
      expect(hardState?.commit).toBe(lastIndex); // one transaction each
      const entries = log.read(1, lastIndex + 1, Number.POSITIVE_INFINITY);
      expect(entries.map(({ payload }) => Buffer.from(payload).toString())).toEqual(
        Array.from({ length: lastIndex }, (_, i) => entry(i + 1).payload.toString()),
      );
      await log.close();

      const state = await openStateStore({
        path: join(directory, "state.db"),
        group: 1,
        onFatal,
        logStart: undefined,
      });
      const { appliedIndex, rows, records } = state.stored;
      expect(appliedIndex).toBeGreaterThanOrEqual(answered.state);
      expect(state.durableIndex()).toBe(appliedIndex); // the start has synced what it found
      expect(Array.from(rows, (row) => row.seq)).toEqual(
        Array.from({ length: 2 * appliedIndex }, (_, i) => i + 1),
      );
      const [record] = records;
      expect(Buffer.from(record?.value ?? []).toString()).toBe(`${appliedIndex}`);
      await state.close();
    });
  }
});

/** Runs the writer until it has told `count` answers of each kind, kills it, returns the last. */
async function runAndKill(
  directory: string,
  count: number,
): Promise<{ log: number; state: number }> {
  const command = [process.execPath, child, "kill", directory];
  const running = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  let text = "";
  for await (const chunk of running.stdout) {
    text += Buffer.from(chunk).toString();
    const enough = (kind: string): boolean => text.split(kind).length > count;
    if (enough("log ") && enough("state ")) running.kill("SIGKILL");
  }
  await running.exited;
  const told = text.slice(0, text.lastIndexOf("\n")).split("\n");
  const last = (kind: string): number =>
    Number(told.findLast((line) => line.startsWith(kind))?.slice(kind.length) ?? 0);
  return { log: last("log "), state: last("state ") };
}

const shim = buildShim();

test.skipIf(shim === undefined)(
  "a failed fsync is fatal: once, and nothing is answered",
  async () => {
    const directory = join(home, "fsync");
    mkdirSync(directory);
    const trigger = join(directory, "trigger");
    const running = Bun.spawn([process.execPath, child, "fsync", directory, trigger], {
      env: { ...process.env, LD_PRELOAD: shim, AETHER_FSYNC_TRIGGER: trigger },
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = (await new Response(running.stdout).text()).trim().split("\n");
    const answers = Array.from({ length: 10 }, (_, i) => `log ${i + 1}`);
    expect(lines.slice(0, 10)).toEqual(answers);
    expect(lines[10]).toStartWith(`fatal 1 ${join(directory, "raft.db")}: write failed`);
    expect(lines[10]).toContain("SQLITE_IOERR_FSYNC");
    expect(lines.slice(11)).toEqual(["closed after 10 answers"]);
    expect(await running.exited).toBe(0);
  },
);

disk = mountSmallDisk();

test.skipIf(disk === undefined)("a full disk is fatal: what was answered stays", async () => {
  const path = join(disk ?? "", "raft.db");
  const fatal = Promise.withResolvers<Error>();
  const log = await openLogStore({ path, group: 1, onFatal: fatal.resolve, recentBytesMax: 0 });
  let answered = 0;
  for (let index = 1; index <= 40; index++) {
    const filler = entry(index, 1, "x".repeat(1 << 20));
    log.write(writing({ entries: [filler] }), () => {
      answered = index;
    });
    if (index === 1) await durable(log, { hardState: { term: 1, vote: 0n, commit: 0 } });
  }
  expect((await fatal.promise).message).toContain("SQLITE_FULL");
  const before = answered;
  expect(before).toBeGreaterThanOrEqual(1);
  expect(before).toBeLessThan(40);
  expect(log.read(1, 40, Number.POSITIVE_INFINITY)).toHaveLength(before);
  await log.close();
  expect(answered).toBe(before);
});

/** The fsync shim, or undefined with the reason printed. */
function buildShim(): string | undefined {
  const library = join(home, "fail-fsync.so");
  const source = join(import.meta.dir, "fail-fsync.c");
  if (process.platform === "linux" && Bun.which("gcc") !== null) {
    Bun.spawnSync(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"]);
  }
  if (existsSync(library)) return library;
  console.log("skipped: a failing fsync needs Linux and gcc");
  return undefined;
}

/** A file system of 12 MiB, or undefined with the reason printed. */
function mountSmallDisk(): string | undefined {
  const directory = join(home, "disk");
  mkdirSync(directory);
  const options = ["-t", "tmpfs", "-o", "size=12m", "tmpfs", directory];
  const root = process.platform === "linux" && process.getuid?.() === 0;
  if (root && Bun.spawnSync(["mount", ...options]).success) return directory;
  console.log("skipped: a full disk needs Linux, root and tmpfs");
  return undefined;
}
