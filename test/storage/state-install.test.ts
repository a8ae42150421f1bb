/**
 * Crashes while a received state takes the old one's place: whatever was done, the next start finds
 * the old state or the new one, whole, and a log that fits it.
 */
import { afterAll, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../src/base/prng.ts";
import { openLogStore } from "../../src/storage/log-store.ts";
import { layBeside, takePlace } from "../../src/storage/state-copy.ts";
import { HeldFile } from "../../src/storage/state-holds.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { durable, entries, snapshotAt } from "./log-store.contract.ts";
import { fill, found, held, historyTo, plain, shown } from "./state-snapshot.contract.ts";
import { checkpointed, ModelHistory } from "./state-store.contract.ts";

const home = mkdtempSync(join(tmpdir(), "aether-install-"));
afterAll(() => rmSync(home, { recursive: true }));

function onFatal(error: Error): void {
  throw error;
}

const OLD = 10;
const NEW = 60;
const NEW_TERM = 4;

interface Start {
  readonly logStart: number;
  readonly lastIndex: number;
  readonly found: unknown;
}

/** What a start finds in a directory. */
async function start(directory: string): Promise<Start> {
  const log = await openLogStore({ path: join(directory, "raft.db"), group: 1, onFatal });
  const { snapshot, lastIndex } = log.stored;
  await log.close();
  const state = await openStateStore({
    ...{ path: join(directory, "state.db"), group: 1, onFatal, sync: false },
    logStart: snapshot?.index,
  });
  const seen = found(state);
  expect((seen as { rows: unknown }).rows).toEqual(shown(state));
  await state.close();
  return { logStart: snapshot?.index ?? 0, lastIndex, found: seen };
}

/** A directory as a killed process left it: a part of the state only in its WAL. */
async function killedMember(directory: string): Promise<void> {
  const alive = `${directory}-alive`;
  mkdirSync(alive);
  const log = await openLogStore({ path: join(alive, "raft.db"), group: 1, onFatal });
  const hardState = { term: 1, vote: 0n, commit: OLD };
  await durable(log, { hardState, entries: entries(1, OLD + 1) });
  const path = join(alive, "state.db");
  const state = await openStateStore({ path, group: 1, onFatal, logStart: undefined });
  const history = new ModelHistory();
  history.revision = 1000;
  await fill(state, history, 1, OLD - 4);
  await checkpointed(state);
  await fill(state, history, OLD - 3, OLD);
  cpSync(alive, directory, { recursive: true });
  await log.close();
  await state.close();
}

/** A received copy of another member's state. */
async function receivedCopy(path: string): Promise<void> {
  const state = await openStateStore({
    path: `${path}.db`,
    group: 1,
    onFatal,
    logStart: undefined,
  });
  await fill(state, new ModelHistory(), 1, NEW);
  const given = await held(state);
  if (!(given instanceof HeldFile)) throw new Error("it is not a file that is held");
  copyFileSync(given.path, path);
  await state.close();
}

async function restartLog(directory: string): Promise<void> {
  const log = await openLogStore({ path: join(directory, "raft.db"), group: 1, onFatal });
  const hardState = { term: NEW_TERM, vote: 0n, commit: NEW };
  await durable(log, { hardState, snapshot: snapshotAt(NEW, NEW_TERM) });
  await log.close();
}

type Step = () => void | Promise<void>;

function steps(directory: string): { readonly all: readonly Step[]; readonly commit: number } {
  const path = join(directory, "state.db");
  const before = layBeside(join(directory, "received.part"), path);
  const all = [...before, () => restartLog(directory), ...takePlace(path)];
  return { all, commit: before.length };
}

/** Names and files of a directory: what an operation changes and a sync does not. */
function names(directory: string): string {
  const listed = readdirSync(directory).sort();
  return listed.map((name) => `${name} ${statSync(join(directory, name)).ino}`).join();
}

describe("a crash while a state is installed", () => {
  const killed = join(home, "killed");
  const received = join(home, "received");
  let scenes = 0;
  const scene = (): string => {
    const directory = join(home, `scene-${++scenes}`);
    cpSync(killed, directory, { recursive: true });
    copyFileSync(received, join(directory, "received.part"));
    return directory;
  };
  const { all, commit } = steps(home);
  /** By step: it changes names, which a power cut may undo until the next sync. */
  const changes: boolean[] = [];
  let old: Start;
  let fresh: Start;

  /** Does all but `lost` of the first `done` steps, and starts. */
  const crashAfter = async (done: number, lost: readonly number[]): Promise<void> => {
    const directory = scene();
    for (const [i, step] of steps(directory).all.entries()) {
      if (i < done && !lost.includes(i)) await step();
    }
    const expected = done <= commit ? old : fresh;
    expect(await start(directory)).toEqual(expected);
    expect(await start(directory)).toEqual(expected); // and so it stays
    expect(readdirSync(directory).filter((name) => name.endsWith(".next"))).toEqual([]);
  };

  test("the scene: a member that was killed, and a copy for it", async () => {
    await killedMember(killed);
    await receivedCopy(received);
    old = await start(scene());
    expect(old).toMatchObject({ logStart: 0, lastIndex: OLD, found: { appliedIndex: OLD } });
    const directory = scene();
    for (const [i, step] of steps(directory).all.entries()) {
      const before = names(directory);
      await step();
      changes.push(i !== commit && names(directory) !== before);
    }
    fresh = await start(directory);
    expect(fresh).toMatchObject({ logStart: NEW, lastIndex: NEW, found: { appliedIndex: NEW } });
    expect(changes.filter((change) => change)).toHaveLength(4);
  });

  test("killed after any file operation, the old state or the new one is there", async () => {
    for (let done = 0; done <= all.length; done++) await crashAfter(done, []);
  });

  test("and after a power cut, which undoes what was not synced", async () => {
    let cuts = 0;
    for (let done = 1; done <= all.length; done++) {
      let unsynced: number[] = [];
      for (let i = 0; i < done; i++) {
        if (changes[i]) unsynced.push(i);
        else if (i !== commit) unsynced = [];
      }
      for (let lost = 1; lost < 2 ** unsynced.length; lost++) {
        cuts++;
        await crashAfter(
          done,
          unsynced.filter((_, bit) => lost & (1 << bit)),
        );
      }
    }
    expect(cuts).toBe(6); // one a rename, one after the first removal, three after the second
  });
});

describe("a process killed while it installs states", () => {
  const child = join(import.meta.dir, "install-child.ts");
  const prng = new Prng(20260801);
  const directory = join(home, "kill");
  mkdirSync(directory);

  for (let round = 1; round <= 4; round++) {
    test(`round ${round}: its state is one that was, and its log fits it`, async () => {
      const told = await runAndKill(child, directory, 2 + prng.below(30));
      const { logStart, lastIndex, found: seen } = await start(directory);
      const { appliedIndex, rows } = seen as { appliedIndex: number; rows: unknown[] };
      expect(appliedIndex).toBeGreaterThanOrEqual(Math.max(logStart, told));
      expect(appliedIndex).toBeLessThanOrEqual(lastIndex);
      expect(rows).toEqual(plain(historyTo(appliedIndex).rows));
    });
  }
});

/** Kills the child when it has told `count` lines; what its state must hold by then. */
async function runAndKill(child: string, directory: string, count: number): Promise<number> {
  const command = [process.execPath, child, directory];
  const running = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  let text = "";
  for await (const chunk of running.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.split("\n").length > count) running.kill("SIGKILL");
  }
  await running.exited;
  const last = text.split("\n").findLast((line) => /^(log|installed|written) \d+$/.test(line));
  expect(last).toBeDefined();
  return Number(last?.split(" ")[1]);
}
