/**
 * The state store: rows a second through write(), what writing and compaction do to the main
 * thread and to the time until a batch can be read, point reads of old rows, and loading a store.
 *
 *   bun bench/storage-state.ts [rows=200000] [directory on the disk to measure]
 *
 * Prints one JSON line a row; with 1000000 rows it is the benchmark.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../src/base/prng.ts";
import type { StateStore } from "../src/node/ports.ts";
import type { Row } from "../src/state/ports.ts";
import { openStateStore } from "../src/storage/state-store.ts";

const VALUE_BYTES = 256;
const BATCH_ROWS = 50;
const KEYS = 10_000;
/** Batches in flight, as a busy node would have them. */
const WINDOW = 32;
const rowCount = Number(process.argv[2] ?? 200_000);
const home = mkdtempSync(join(process.argv[3] ?? tmpdir(), "aether-bench-"));
const path = join(home, "state.db");

function report(row: string, figures: Record<string, number>): void {
  const rounded: Record<string, number> = {};
  for (const [name, value] of Object.entries(figures)) rounded[name] = Math.round(value * 10) / 10;
  const load = Math.round((loadavg()[0] ?? 0) * 100) / 100;
  console.log(JSON.stringify({ row, rows: rowCount, ...rounded, load }));
}

function percentiles(micros: number[]): Record<string, number> {
  micros.sort((a, b) => a - b);
  const at = (p: number): number =>
    micros[Math.min(micros.length - 1, Math.floor(micros.length * p))] ?? 0;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

const newest = new Int32Array(KEYS);
const kv = new Uint8Array(VALUE_BYTES + 30).fill(120);
let seq = 0;

function nextBatch(): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < BATCH_ROWS; i++) {
    seq++;
    const key = seq % KEYS;
    const prev = newest[key] as number;
    newest[key] = seq;
    rows.push({ seq, revision: seq, sub: 0, prev, jump: prev, depth: 1, tombstone: false, kv });
  }
  return rows;
}

interface Load {
  readonly postMicros: number[];
  readonly storedMicros: number[];
}

/** Writes batches until `count` rows are stored, WINDOW at a time. */
function write(store: StateStore, count: number): Promise<Load> {
  const postMicros: number[] = [];
  const storedMicros: number[] = [];
  const end = seq + count;
  let inFlight = 0;
  return new Promise((resolve) => {
    const fill = (): void => {
      while (inFlight < WINDOW && seq < end) {
        const rows = nextBatch();
        inFlight++;
        const start = performance.now();
        store.write({ appliedIndex: seq, appliedTerm: 1, rows, records: [] }, () => {
          storedMicros.push((performance.now() - start) * 1000);
          inFlight--;
        });
        postMicros.push((performance.now() - start) * 1000);
      }
      if (inFlight === 0 && seq >= end) resolve({ postMicros, storedMicros });
      else setImmediate(fill);
    };
    fill();
  });
}

function open(): Promise<StateStore> {
  const onFatal = (error: Error): never => {
    throw error;
  };
  return openStateStore({ path, group: 1, onFatal, logStart: undefined });
}

function elapsed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}

let store = await open();
await write(store, 5_000); // warm
const start = performance.now();
const plain = await write(store, rowCount);
report("write", { rowsPerSecond: (rowCount / (performance.now() - start)) * 1000 });
report(`post ${BATCH_ROWS} rows, us`, percentiles(plain.postMicros));
report(`stored ${BATCH_ROWS} rows, us`, percentiles(plain.storedMicros));

const prng = new Prng(1);
const reads: number[] = [];
for (let i = 0; i < 20_000; i++) {
  const at = 1 + prng.below(seq);
  reads.push(elapsed(() => store.read(at)) * 1000);
}
report("read one old row, us", percentiles(reads));
const seeks: number[] = [];
for (let i = 0; i < 2_000; i++) {
  const at = 1 + prng.below(seq);
  seeks.push(elapsed(() => store.seek(at)) * 1000);
}
report("seek a revision, us", percentiles(seeks));

let compactMs = 0;
const compactStart = performance.now();
store.compact(seq, () => {
  compactMs = performance.now() - compactStart;
});
const during = await write(store, Math.floor(rowCount / 4));
report("stored while compacting, us", percentiles(during.storedMicros));
while (compactMs === 0) await Bun.sleep(1);
report("compact", { ms: compactMs, rowsPerSecond: (rowCount / compactMs) * 1000 });
const checkpointStart = performance.now();
await new Promise<void>((resolve) => store.checkpoint(() => resolve()));
report("checkpoint", { ms: performance.now() - checkpointStart });
await write(store, rowCount);
await store.close();

const openStart = performance.now();
store = await open();
report("open", { ms: performance.now() - openStart });
let loaded = 0;
let bytes = 0;
const loadMs = elapsed(() => {
  for (const row of store.stored.rows) {
    loaded++;
    bytes += row.kv.length;
  }
});
report("load", {
  loaded,
  ms: loadMs,
  mib: bytes / 1024 / 1024,
  usPerRow: (loadMs / loaded) * 1000,
});
await store.close();
rmSync(home, { recursive: true });
