/**
 * Snapshots: a state as etcd's database, what taking one does to writes meanwhile, and back.
 *
 *   bun bench/snapshot.ts [keys=20000] [directory on the disk to measure]
 *
 * Prints JSON lines; with 1000000 keys of 256 bytes it is the benchmark. `bbolt check`, etcdutl and
 * etcd itself accept the file it leaves when KEEP=1 is set (the path is in the first line).
 */
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { encodeKeyValue } from "../src/proto/hot/key-value.ts";
import type { Row, StateBatch } from "../src/state/ports.ts";
import { BboltReader } from "../src/storage/bbolt/reader.ts";
import { exportInWorker } from "../src/storage/etcd/export-worker.ts";
import { importState } from "../src/storage/etcd/import-state.ts";
import { snapshotStatus } from "../src/storage/etcd/inspect.ts";
import { StateDatabase } from "../src/storage/state-database.ts";
import { encodeBatch } from "../src/storage/state-format.ts";
import { openStateStore } from "../src/storage/state-store.ts";
import { damageIn } from "../src/storage/storage-error.ts";

const VALUE = Buffer.alloc(256, 120);
const BATCH_ROWS = 500;
const keyCount = Number(process.argv[2] ?? 20_000);
const home = mkdtempSync(join(process.argv[3] ?? tmpdir(), "aether-bench-"));
const path = join(home, "state.db");
const out = join(home, "snapshot.db");
let seq = 0;

function report(what: string, figures: Record<string, number | string>): void {
  const load = Math.round((loadavg()[0] ?? 0) * 100) / 100;
  console.log(JSON.stringify({ what, keys: keyCount, ...figures, load }));
}

function batch(index: number, count: number): StateBatch {
  const rows: Row[] = [];
  for (let i = 0; i < count; i++) {
    const revision = ++seq + 1;
    const numbers = { createRevision: revision, modRevision: revision, version: 1, lease: 0n };
    const key = `key-${String((seq * 7919) % 100_000_007).padStart(9, "0")}`;
    const kv = encodeKeyValue({ key, value: VALUE, ...numbers });
    const chain = { sub: 0, prev: 0, jump: 0, depth: 1, tombstone: false };
    rows.push({ seq, revision, ...chain, kv });
  }
  return { appliedIndex: index, appliedTerm: 1, rows, records: [] };
}

const onFatal = (error: Error): never => {
  throw error;
};
const store = await openStateStore({ path, group: 1, logStart: undefined, onFatal });
const written = (index: number, count: number): Promise<void> =>
  new Promise((resolve) => store.write(batch(index, count), resolve));
let index = 0;
while (seq < keyCount) await written(++index, BATCH_ROWS);

/** Milliseconds until a batch of 50 rows can be read, one batch after another. */
async function writing(until: Promise<unknown> | undefined): Promise<Record<string, number>> {
  const times: number[] = [];
  let ended = until === undefined ? 200 : Number.POSITIVE_INFINITY;
  void until?.finally(() => {
    ended = 0;
  });
  while (times.length < ended) {
    const startedMs = performance.now();
    await written(++index, 50);
    times.push(performance.now() - startedMs);
  }
  times.sort((a, b) => a - b);
  const at = (p: number): number =>
    Math.round((times[Math.floor(times.length * p)] ?? 0) * 100) / 100;
  return { batches: times.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(0.999) };
}

report("writes before", await writing(undefined));
const startedMs = performance.now();
const cancelled = new Int32Array(new SharedArrayBuffer(4));
const exporting = exportInWorker({ path, group: 1, out, index, cancelled });
report("writes meanwhile", await writing(exporting));
const { bytes } = await exporting;
report("export", { ms: Math.round(performance.now() - startedMs), bytes, file: out });
await store.close();

const file = openSync(out, "r");
const damaged = damageIn(out);
let fromMs = performance.now();
const status = snapshotStatus(new BboltReader(file, bytes, damaged), damaged);
report("status", { ms: Math.round(performance.now() - fromMs), total: status.totalKey });
fromMs = performance.now();
const copy = StateDatabase.open(
  { path: join(home, "copy.db"), group: 1, sync: "normal" },
  () => {},
);
const found = importState(new BboltReader(file, bytes, damaged), {
  ...{ damaged, members: [], appliedIndex: 1, appliedTerm: 1, bumpRevision: 0 },
  store: (each) => {
    copy.commit([encodeBatch(each)]);
    copy.work();
  },
});
copy.close();
closeSync(file);
const rss = Math.round(process.memoryUsage().rss / 1e6);
report("import", { ms: Math.round(performance.now() - fromMs), total: found.keys, rssMb: rss });
if (process.env["KEEP"] !== "1") rmSync(home, { recursive: true, force: true });
