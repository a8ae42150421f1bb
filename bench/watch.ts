/**
 * The watch hub alone: publish beside watchers of other keys, one put to many watchers of one
 * key, catch-up. Rounds are interleaved; the median is printed, with a hash of what was delivered,
 * as one JSON line. Small numbers by default (a smoke test): `bun bench/watch.ts 10` is ten times
 * as much work.
 */
import { cpus, loadavg } from "node:os";
import { Prng } from "../src/base/prng.ts";
import { WatchHub } from "../src/watch/hub.ts";
import type { WatchCreate, WatchResponse, WatchRow, WatchSink } from "../src/watch/ports.ts";
import { MemorySource } from "../test/watch/memory-source.ts";

const SCALE = Number(process.argv[2] ?? 1);
const ROUNDS = 5;
const WATCHERS = 10_000;
const STREAMS = 100;
const VALUE = "v".repeat(256);

/** Copies what it is sent into a ring, as a connection would, and counts. */
class CopyingSink implements WatchSink {
  readonly writable = true;
  readonly #ring = Buffer.alloc(1 << 16);
  #at = 0;
  events = 0;
  bytes = 0;

  send(response: WatchResponse): void {
    if (response.kind !== "events") return;
    for (const event of response.batch.events) {
      if (this.#at + event.length > this.#ring.length) this.#at = 0;
      this.#ring.set(event, this.#at);
      this.#at += event.length;
      this.bytes += event.length;
    }
    this.events += response.batch.events.length;
  }
}

function request(key: string, more: Partial<WatchCreate> = {}): WatchCreate {
  const none = { rangeEnd: "", startRevision: 0, progressNotify: false, watchId: 0 };
  return { key, ...none, noPut: false, noDelete: false, prevKv: false, fragment: false, ...more };
}

interface Setup {
  readonly source: MemorySource;
  readonly hub: WatchHub;
  readonly sinks: CopyingSink[];
}

function setup(watchers: number, requestOf: (index: number) => WatchCreate): Setup {
  const source = new MemorySource();
  const hub = new WatchHub(source, { random: new Prng(1) });
  const sinks = Array.from({ length: STREAMS }, () => new CopyingSink());
  const streams = sinks.map((sink) => hub.openStream(sink));
  for (let index = 0; index < watchers; index++) {
    streams[index % STREAMS]?.create(requestOf(index));
  }
  return { source, hub, sinks };
}

/** Nanoseconds a unit; `count` units are done by `work`. */
function timed(count: number, work: () => void): number {
  const start = Bun.nanoseconds();
  work();
  return (Bun.nanoseconds() - start) / count;
}

function rowsOf(source: MemorySource, count: number, key: (index: number) => string): WatchRow[] {
  const rows: WatchRow[] = [];
  for (let index = 0; index < count; index++) {
    rows.push(...source.apply([{ key: key(index), value: VALUE }]));
  }
  return rows;
}

/** Publishes one revision at a time; the rows were applied before, outside of the clock. */
function publishEach(
  { source, hub }: Setup,
  count: number,
  key: (index: number) => string,
): number {
  const rows = rowsOf(source, count, key);
  return timed(count, () => {
    for (const row of rows) hub.publish([row]);
  });
}

const elsewhere = {
  none: setup(0, () => request("")),
  keys: setup(WATCHERS, (index) => request(`other/${index}`)),
  ranges: setup(WATCHERS, (index) => request(`other/${index}`, { rangeEnd: `other/${index}0` })),
};
const sameKey = setup(WATCHERS, () => request("k"));
const samePrefix = setup(WATCHERS, () => request("k", { rangeEnd: "l", prevKv: true }));
const late = setup(0, () => request(""));
late.hub.publish(rowsOf(late.source, 20_000 * SCALE, (index) => `k${index % 100}`));

function catchUp(watchers: number): number {
  const { hub, source } = late;
  const sink = new CopyingSink();
  const stream = hub.openStream(sink);
  const all = { rangeEnd: "l", startRevision: 1 };
  for (let index = 0; index < watchers; index++) stream.create(request("k", all));
  const nsPerRow = timed((source.revision - 1) * watchers, () => {
    while (hub.hasWork) hub.step();
  });
  stream.close();
  return nsPerRow;
}

function longestStep(): number {
  const { hub } = late;
  const stream = hub.openStream(new CopyingSink());
  stream.create(request("k", { rangeEnd: "l", startRevision: 1 }));
  let longest = 0;
  while (hub.hasWork)
    longest = Math.max(
      longest,
      timed(1, () => hub.step()),
    );
  stream.close();
  return longest;
}

const rows: Record<string, () => number> = {
  "publish, no watcher (ns a put)": () =>
    publishEach(elsewhere.none, 20_000 * SCALE, (index) => `k${index % 1000}`),
  "publish, 10,000 watchers of other keys (ns a put)": () =>
    publishEach(elsewhere.keys, 20_000 * SCALE, (index) => `k${index % 1000}`),
  "publish, 10,000 other ranges (ns a put)": () =>
    publishEach(elsewhere.ranges, 20_000 * SCALE, (index) => `k${index % 1000}`),
  "one put to 10,000 watchers of its key (ns a put)": () =>
    publishEach(sameKey, 20 * SCALE, () => "k"),
  "one put to 10,000 watchers of its prefix, prev_kv (ns a put)": () =>
    publishEach(samePrefix, 20 * SCALE, () => "k"),
  "catch-up, one watcher (ns an event)": () => catchUp(1),
  "catch-up, 100 watchers together (ns an event)": () => catchUp(100),
  "catch-up, longest step (ns)": longestStep,
};

const samples = new Map<string, number[]>();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, run] of Object.entries(rows)) {
    const taken = samples.get(name) ?? [];
    taken.push(run());
    samples.set(name, taken);
  }
}
const medians: Record<string, number> = {};
for (const [name, taken] of samples) {
  taken.sort((a, b) => a - b);
  medians[name] = Math.round(taken[taken.length >> 1] as number);
}
const delivered = [sameKey, samePrefix].flatMap(({ sinks }) =>
  sinks.map((sink) => `${sink.events}:${sink.bytes}`),
);
console.log(
  JSON.stringify({
    bench: "watch",
    scale: SCALE,
    medians,
    hash: Bun.hash(delivered.join()).toString(16),
    machine: `${cpus().length} x ${cpus()[0]?.model}`,
    load: loadavg()[0],
  }),
);
