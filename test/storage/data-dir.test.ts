/** The data directory: made, locked against a second process, refused when it is not ours. */
import { afterAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataDir } from "../../src/storage/data-dir.ts";
import { StorageError } from "../../src/storage/storage-error.ts";

const home = mkdtempSync(join(tmpdir(), "aether-data-"));
afterAll(() => rmSync(home, { recursive: true }));

function refusal(path: string): StorageError {
  try {
    openDataDir(path).release();
  } catch (error) {
    if (error instanceof StorageError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("it is made for its owner alone, with a place for each group", () => {
  const path = join(home, "deep", "new");
  const directory = openDataDir(path);
  expect(directory.path).toBe(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(directory.openToOthers).toEqual([]);
  expect(directory.logPath).toBe(join(path, "raft.db"));
  expect(directory.statePath(1)).toBe(join(path, "group-1", "state.db"));
  expect(statSync(join(path, "group-1")).isDirectory()).toBe(true);
  directory.release();
  openDataDir(path).release();
});

test("a second user is refused, by name; a released directory is free", () => {
  const path = join(home, "twice");
  const first = openDataDir(path);
  const error = refusal(path);
  expect(error.kind).toBe("locked");
  expect(error.message).toBe(`${path}: in use by process ${process.pid}`);
  first.release();
  openDataDir(path).release();
});

test("two processes never hold it at once, and a killed one lets it go", async () => {
  const path = join(home, "killed");
  const module = JSON.stringify(join(import.meta.dir, "../../src/storage/data-dir.ts"));
  const script = `
    import { openDataDir } from ${module};
    try { openDataDir(${JSON.stringify(path)}); } catch (error) {
      console.log(error.message);
      process.exit(1);
    }
    Bun.gc(true); // nobody refers to it, and it is ours all the same
    console.log("open");
    setInterval(() => {}, 1000);`;
  const command = [process.execPath, "-e", script];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
  try {
    const line = await child.stdout.getReader().read();
    expect(Buffer.from(line.value ?? []).toString()).toBe("open\n");
    expect(refusal(path).message).toBe(`${path}: in use by process ${child.pid}`);
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  const ours = openDataDir(path);
  const late = Bun.spawnSync(command, { stderr: "ignore", timeout: 4000 });
  expect(late.stdout.toString()).toBe(`${path}: in use by process ${process.pid}\n`);
  ours.release();
});

test("a newer format, a foreign directory and a file are refused", () => {
  const newer = join(home, "newer");
  openDataDir(newer).release();
  writeFileSync(join(newer, "format"), "aether 2\n");
  expect(refusal(newer).message).toContain("format 2 is newer than this program's 1");
  writeFileSync(join(newer, "format"), "garbage");
  expect(refusal(newer).kind).toBe("format");

  const foreign = join(home, "foreign");
  mkdirSync(join(foreign, "member"), { recursive: true });
  expect(refusal(foreign).message).toContain("it holds member and no file named format");

  mkdirSync(join(foreign, "member/snap"), { recursive: true });
  writeFileSync(join(foreign, "member/snap/db"), "");
  const advice = `aether utl snapshot restore ${foreign}/member/snap/db --skip-hash-check`;
  expect(refusal(foreign).message).toContain(advice);

  const file = join(home, "file");
  writeFileSync(file, "");
  expect(refusal(file).kind).toBe("unusable");
});

test("an empty volume is taken", () => {
  const path = join(home, "volume");
  mkdirSync(join(path, "lost+found"), { recursive: true, mode: 0o700 });
  openDataDir(path).release();
});

describe("whatever the umask is", () => {
  /** In a process of its own: the umask is the whole process's. */
  const modesAfter = (path: string): Record<string, number> => {
    const source = (file: string): string =>
      JSON.stringify(join(import.meta.dir, "../../src/storage", file));
    const script = `
      import { openDataDir } from ${source("data-dir.ts")};
      import { writeIdentity } from ${source("identity.ts")};
      import { openLogStore } from ${source("log-store.ts")};
      import { openStateStore } from ${source("state-store.ts")};
      process.umask(0);
      const directory = openDataDir(${JSON.stringify(path)});
      const shared = { group: 1, onFatal: console.error, logStart: undefined };
      writeIdentity(directory.path, { clusterId: 1n, memberId: 2n, name: "a", begun: true });
      const log = await openLogStore({ ...shared, path: directory.logPath });
      const state = await openStateStore({ ...shared, path: directory.statePath(1) });
      process.kill(process.pid, "SIGKILL"); // with -wal, -shm and the rest in their places`;
    Bun.spawnSync([process.execPath, "-e", script], { stderr: "inherit" });
    const names = readdirSync(path, { recursive: true }) as string[];
    return Object.fromEntries(names.map((name) => [name, statSync(join(path, name)).mode & 0o777]));
  };

  test("files are for their owner alone", () => {
    const modes = modesAfter(join(home, "umask"));
    for (const name of ["raft.db", "raft.db-wal", "group-1/state.db", "group-1/state.db-shm"]) {
      expect({ name, mode: modes[name] }).toEqual({ name, mode: 0o600 });
    }
    const wide = Object.entries(modes).filter(([name, mode]) => {
      return mode !== (name === "group-1" ? 0o700 : 0o600);
    });
    expect(wide).toEqual([]);
  });
});

test("what is open to others is told: directories, and files in them", () => {
  const path = join(home, "wide");
  const first = openDataDir(path);
  first.statePath(1);
  first.release();
  writeFileSync(join(path, "group-1", "state.db"), "", { mode: 0o600 });
  for (const name of ["", "format", "group-1", "group-1/state.db"]) {
    const wide = join(path, name);
    const { mode } = statSync(wide);
    chmodSync(wide, mode | 0o040);
    const directory = openDataDir(path);
    expect(directory.openToOthers).toEqual([wide]);
    directory.release();
    chmodSync(wide, mode & 0o700);
  }
});

test("the directory of the log is looked at as well", () => {
  const logDirectory = join(home, "wide-log");
  mkdirSync(logDirectory, { mode: 0o755 });
  const directory = openDataDir(join(home, "narrow"), logDirectory);
  expect(directory.openToOthers).toEqual([logDirectory]);
  directory.release();
});
