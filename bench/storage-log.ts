/**
 * The Raft log store, by the table "Raft log store" of the performance notes: append 1/10/100
 * entries of 300 bytes, read 100 and 1000, save the hard state, compact 100; each with and
 * without fsync. Two views of a write:
 *   engine  inside the Worker's thread: encode, one transaction, commit (what it costs)
 *   store   through the Worker: from write() to onDurable, one at a time (what a caller waits)
 *
 *   bun bench/storage-log.ts [rounds=400] [directory on the disk to measure]
 *
 * Prints one JSON line a row; p50, p90, p99 and max are microseconds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore, LogWrite } from "../src/node/ports.ts";
import type { Entry, SnapshotMeta } from "../src/raft/types.ts";
import { LogDatabase } from "../src/storage/log-database.ts";
import { checksumSeed, encodeCompact, encodeWrite } from "../src/storage/log-format.ts";
import { openLogStore } from "../src/storage/log-store.ts";

const ENTRY_BYTES = 300;
const GROUP = 1;
const rounds = Number(process.argv[2] ?? 400);
const directory = process.argv[3] ?? tmpdir();

function entriesFrom(first: number, count: number): Entry[] {
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const payload = new Uint8Array(ENTRY_BYTES).fill(first + i);
    entries.push({ index: first + i, term: 1, kind: "normal", payload });
  }
  return entries;
}

function write(entries: Entry[], commit?: number): LogWrite {
  const hardState = commit === undefined ? undefined : { term: 1, vote: 1n, commit };
  return { hardState, entries, snapshot: undefined };
}

function snapshotAt(index: number): SnapshotMeta {
  const none = { voters: [], votersOutgoing: [], learners: [], learnersNext: [] };
  return { index, term: 1, configuration: { ...none, autoLeave: false } };
}

/** Medians without fsync that the design notes ask to be ahead of, in microseconds. */
const TO_BEAT: Readonly<Record<string, number>> = {
  "append 1": 23,
  "append 10": 48,
  "append 100": 90,
  "read 100": 13.3,
  "read 1000": 140,
  "hard state": 18.6,
  "compact 100": 37,
};

function report(row: string, view: string, sync: boolean, micros: number[]): void {
  micros.sort((a, b) => a - b);
  const at = (p: number): number =>
    Math.round((micros[Math.min(micros.length - 1, Math.floor(micros.length * p))] ?? 0) * 10) / 10;
  const figures = { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  const load = Math.round((loadavg()[0] ?? 0) * 100) / 100;
  const compared = !sync && (view === "engine" || view === "memory");
  const toBeat = compared ? TO_BEAT[row] : undefined;
  const ahead = toBeat === undefined ? undefined : figures.p50 <= toBeat;
  console.log(
    JSON.stringify({ row, view, fsync: sync, n: micros.length, ...figures, toBeat, ahead, load }),
  );
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) * 1000;
}

function benchEngine(sync: boolean): void {
  const home = mkdtempSync(join(directory, "aether-bench-"));
  const seed = checksumSeed(GROUP);
  const path = join(home, "raft.db");
  const db = LogDatabase.open({ path, group: GROUP, sync: sync ? "full" : "off" });
  db.quiet(); // grows the WAL, as the first quiet moment does
  let last = 0;
  const run = (row: string, count: number, work: () => void): void => {
    const micros: number[] = [];
    for (let i = 0; i < count; i++) micros.push(timed(work));
    report(row, "engine", sync, micros);
  };
  for (const count of [1, 10, 100]) {
    const payloads = entriesFrom(1, count);
    run(`append ${count}`, rounds, () => {
      const entries = payloads.map((entry, i) => ({ ...entry, index: last + 1 + i }));
      db.commit([encodeWrite(write(entries), seed)]);
      db.work(false);
      last += count;
    });
  }
  run("hard state", rounds, () => {
    db.commit([encodeWrite(write([], last), seed)]);
    db.work(false);
  });
  let compacted = 0;
  run("compact 100", Math.min(rounds, Math.floor(last / 100) - 1), () => {
    compacted += 100;
    db.commit([encodeCompact(snapshotAt(compacted))]);
    while (db.work(true));
  });
  db.close();
  rmSync(home, { recursive: true });
}

async function benchStore(sync: boolean): Promise<void> {
  const home = mkdtempSync(join(directory, "aether-bench-"));
  const onFatal = (error: Error): never => {
    throw error;
  };
  const path = join(home, "raft.db");
  const store = await openLogStore({ path, group: GROUP, sync, onFatal });
  for (let i = 0; i < 200; i++) await durable(store, write([], 0));
  await Bun.sleep(50); // a quiet moment, in which the WAL is grown
  let last = 0;
  for (const count of [1, 10, 100]) {
    const micros: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const entries = entriesFrom(last + 1, count);
      micros.push(await durable(store, write(entries)));
      last += count;
    }
    report(`append ${count}`, "store", sync, micros);
  }
  const micros: number[] = [];
  for (let i = 0; i < rounds; i++) micros.push(await durable(store, write([], last)));
  report("hard state", "store", sync, micros);
  await store.close();
  const cold = { path, group: GROUP, sync, onFatal };
  for (const recentBytesMax of [0, 1 << 24]) await benchReads({ ...cold, recentBytesMax }, last);
  rmSync(home, { recursive: true });
}

async function benchReads(
  options: Parameters<typeof openLogStore>[0],
  last: number,
): Promise<void> {
  const store = await openLogStore(options);
  const more = entriesFrom(last + 1, 2000);
  await durable(store, write(more));
  const view = options.recentBytesMax === 0 ? "disk" : "memory";
  for (const count of [100, 1000]) {
    const micros: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const from = last + 1 + ((i * 37) % (2000 - count));
      micros.push(timed(() => store.read(from, from + count, Number.POSITIVE_INFINITY)));
    }
    report(`read ${count}`, view, options.sync ?? true, micros);
  }
  await store.close();
}

/** Microseconds from write() to its onDurable. */
function durable(store: LogStore, what: LogWrite): Promise<number> {
  return new Promise((resolve) => {
    const start = performance.now();
    store.write(what, () => resolve((performance.now() - start) * 1000));
  });
}

for (const sync of [false, true]) {
  benchEngine(sync);
  await benchStore(sync);
}
