import { expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { STEP_BUDGET, WatchHub } from "../../src/watch/hub.ts";
import type { WatchCreate, WatchResponse, WatchSink } from "../../src/watch/ports.ts";
import type { WatchStream } from "../../src/watch/stream.ts";
import { MemorySource } from "./memory-source.ts";
import { decodeEvent } from "./messages.ts";

const plain: WatchCreate = {
  key: "a",
  rangeEnd: "",
  startRevision: 0,
  progressNotify: false,
  noPut: false,
  noDelete: false,
  prevKv: false,
  watchId: 0,
  fragment: false,
};

class ListSink implements WatchSink {
  writable = true;
  readonly responses: WatchResponse[] = [];
  onSend: () => void = () => undefined;

  send(response: WatchResponse): void {
    this.responses.push(response);
    this.onSend();
  }

  get batches() {
    return this.responses.flatMap((one) => (one.kind === "events" ? [one.batch] : []));
  }
}

function start(): { source: MemorySource; hub: WatchHub; put: (key: string) => void } {
  const source = new MemorySource();
  const hub = new WatchHub(source, { random: new Prng(1) });
  return { source, hub, put: (key) => hub.publish(source.apply([{ key, value: "v" }])) };
}

function watch(
  hub: WatchHub,
  request: Partial<WatchCreate>,
): { sink: ListSink; stream: WatchStream } {
  const sink = new ListSink();
  const stream = hub.openStream(sink);
  stream.create({ ...plain, ...request });
  return { sink, stream };
}

test("a catch-up response holds at most 1000 distinct revisions, whatever the budget", () => {
  const { hub, put } = start();
  for (let index = 0; index < 2500; index++) put("a");
  const { sink } = watch(hub, { startRevision: 1 });
  while (hub.hasWork) hub.step({ watchers: 512, rows: 100_000, bytes: 1 << 30 });
  const counts = sink.batches.map((batch) => batch.revisionCount);
  expect(Math.max(...counts)).toBeLessThanOrEqual(1000);
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2500);
});

test("a live response holds at most 1000 distinct revisions", () => {
  const { hub, source } = start();
  const { sink } = watch(hub, {});
  const rows = Array.from({ length: 2500 }, () => source.apply([{ key: "a", value: "v" }])).flat();
  hub.publish(rows);
  expect(sink.batches.map((batch) => batch.revisionCount)).toEqual([1000, 1000, 500]);
});

test("10,000 watchers of one key share one encoded event and one batch", () => {
  const { hub, put } = start();
  const sinks = Array.from({ length: 100 }, () => new ListSink());
  for (const sink of sinks) {
    const stream = hub.openStream(sink);
    for (let index = 0; index < 100; index++) stream.create(plain);
  }
  put("a");
  const batches = sinks.flatMap((sink) => sink.batches);
  expect(batches.length).toBe(10_000);
  expect(new Set(batches).size).toBe(1);
  expect(new Set(batches.flatMap((batch) => batch.events)).size).toBe(1);
});

test("watchers of different ranges share the encoded event; prev_kv is a second encoding", () => {
  const { hub, put } = start();
  put("a");
  const sinks = [{}, { rangeEnd: "b" }, { rangeEnd: "\0" }, { prevKv: true }].map(
    (request) => watch(hub, request).sink,
  );
  const other = watch(hub, { prevKv: true, rangeEnd: "b" }).sink;
  put("a");
  const events = sinks.map((sink) => sink.batches[0]?.events[0]);
  expect(new Set(events).size).toBe(2);
  expect(other.batches[0]?.events[0]).toBe(events[3] as Uint8Array);
});

test("a slow watcher keeps nothing in memory: no response is queued meanwhile", () => {
  const { hub, put } = start();
  const { sink, stream } = watch(hub, {});
  sink.writable = false;
  for (let index = 0; index < 1000; index++) put("a");
  expect(hub.hasWork).toBe(false);
  expect(sink.batches).toEqual([]);
  const { slowWatchers, pendingRevisions } = hub.counters();
  expect([slowWatchers, pendingRevisions]).toEqual([1, 1000]);
  sink.writable = true;
  stream.onWritable();
  hub.step();
  hub.step();
  hub.verify();
  expect(hub.counters().pendingRevisions).toBe(0);
  expect(sink.batches.flatMap((batch) => batch.events).length).toBe(1000);
});

test("work waits only while a stream takes it: an unwritable stream leaves no work behind", () => {
  const { hub, put } = start();
  put("a");
  const { sink } = watch(hub, { startRevision: 1 });
  sink.writable = false;
  expect(hub.hasWork).toBe(true);
  hub.step();
  expect(hub.hasWork).toBe(false);
  hub.verify();
});

test("one step is bounded by watchers and by rows, but never splits a revision", () => {
  const { hub, source } = start();
  const changes = Array.from({ length: 50 }, (_, index) => ({ key: `a${index}`, value: "v" }));
  hub.publish(source.apply(changes));
  hub.publish(source.apply(changes));
  const sinks = Array.from(
    { length: 5 },
    () => watch(hub, { rangeEnd: "b", startRevision: 1 }).sink,
  );
  const arrived = (): number[] =>
    sinks.map((sink) => sink.batches.flatMap((one) => one.events).length);
  hub.step({ ...STEP_BUDGET, watchers: 2, rows: 10 });
  expect(arrived()).toEqual([50, 50, 0, 0, 0]);
  hub.step({ ...STEP_BUDGET, watchers: 2, rows: 51 });
  expect(arrived()).toEqual([50, 50, 100, 100, 0]);
  hub.step({ ...STEP_BUDGET, bytes: 1 });
  expect(arrived()).toEqual([50, 50, 100, 100, 50]); // from the one furthest behind
});

test("a sink may close its stream while it is sent to: live, catching up, and at a mark", () => {
  const { hub, put } = start();
  put("a");
  const streams = [{}, {}, { startRevision: 1 }, { progressNotify: true, key: "z" }].map(
    (request) => {
      const opened = watch(hub, request);
      opened.stream.create({ ...plain, ...request });
      opened.sink.responses.length = 0;
      opened.sink.onSend = () => opened.stream.close();
      return opened;
    },
  );
  put("a");
  hub.step();
  hub.tick(0);
  hub.tick(11 * 60 * 1000);
  hub.verify();
  expect(streams.map(({ sink }) => sink.responses.length)).toEqual([1, 1, 1, 1]);
  expect(hub.counters()).toMatchObject({ streams: 0, watchers: 0, slowWatchers: 0 });
});

test("a stream that closes while its created response is sent is gone", () => {
  const { hub } = start();
  const sink = new ListSink();
  const stream = hub.openStream(sink);
  sink.onSend = () => stream.close();
  stream.create({ ...plain, progressNotify: true });
  stream.create(plain);
  hub.verify();
  expect(sink.responses.length).toBe(1);
  expect(hub.counters()).toMatchObject({ streams: 0, watchers: 0 });
});

test("a sink that calls the hub back while it is sent to is our mistake", () => {
  const { hub, put } = start();
  const { sink, stream } = watch(hub, {});
  sink.onSend = () => stream.create(plain);
  expect(() => put("a")).toThrow("only close its stream");
});

test("publishing with a gap, or what was not applied, is our mistake", () => {
  const { hub, source } = start();
  watch(hub, {});
  source.apply([{ key: "a", value: "v" }]);
  const rows = source.apply([{ key: "a", value: "v" }]);
  expect(() => hub.publish(rows)).toThrow("every revision is published");
  const other = start();
  watch(other.hub, {});
  expect(() => other.hub.publish(rows)).toThrow("was applied");
});

test("progress marks of streams opened together are spread by up to a tenth", () => {
  const source = new MemorySource();
  const hub = new WatchHub(source, { random: new Prng(3), progressIntervalMs: 1000 });
  const sinks = Array.from({ length: 200 }, () => watch(hub, { progressNotify: true }).sink);
  hub.tick(5_000_000);
  const marked = (): number => sinks.filter((sink) => sink.responses.length > 1).length;
  hub.tick(5_000_999);
  expect(marked()).toBe(0);
  hub.tick(5_001_050);
  expect(marked()).toBeGreaterThan(50);
  expect(marked()).toBeLessThan(150);
  hub.tick(5_001_100);
  expect(marked()).toBe(200);
});

test("progress marks come as often as etcd lets them, by default every ten minutes", () => {
  for (const [asked, intervalMs] of [
    [1, 100],
    [99, 100],
    [101, 101],
    [0, 600_000],
    [-5, 600_000],
  ] as const) {
    const hub = new WatchHub(new MemorySource(), {
      ...{ random: new Prng(1), progressIntervalMs: asked },
    });
    const { sink } = watch(hub, { progressNotify: true });
    hub.tick(1000);
    hub.tick(1000 + intervalMs - 1);
    expect([asked, sink.responses.length]).toEqual([asked, 1]);
    hub.tick(1000 + 1.1 * intervalMs);
    expect([asked, sink.responses.length]).toEqual([asked, 2]);
  }
});

test("a compacted watcher keeps its id until it is cancelled, but holds up no marks", () => {
  const { source, hub, put } = start();
  for (let index = 0; index < 5; index++) put("a");
  const { sink, stream } = watch(hub, { startRevision: 1, watchId: 7 });
  source.compact(4);
  hub.step();
  const [, gone] = sink.responses;
  expect(gone).toMatchObject({ kind: "canceled", watchId: 7, compactRevision: 4, revision: 0 });
  stream.create({ ...plain, watchId: 7 });
  expect(sink.responses.at(-1)).toMatchObject({ watchId: -1, reason: expect.any(String) });
  stream.create({ ...plain, watchId: 8 });
  stream.requestProgress();
  expect(sink.responses.at(-1)).toMatchObject({ kind: "progress", watchId: -1, revision: 6 });
  stream.cancel(7);
  expect(sink.responses.at(-1)).toMatchObject({ kind: "canceled", watchId: 7, revision: 6 });
  stream.create({ ...plain, watchId: 7 });
  expect(sink.responses.at(-1)).toMatchObject({ kind: "created", watchId: 7, reason: undefined });
  hub.verify();
});

test("counters count streams, watchers and sent events", () => {
  const { hub, put } = start();
  const { stream } = watch(hub, {});
  stream.create({ ...plain, key: "b" });
  watch(hub, {});
  put("a");
  expect(hub.counters()).toEqual({
    streams: 2,
    watchers: 3,
    slowWatchers: 0,
    pendingRevisions: 0,
    eventsSent: 2,
  });
});

test("a snapshot brings another source: catch-up and predecessors come from it", () => {
  const { hub, put } = start();
  const { sink } = watch(hub, { prevKv: true });
  put("a");
  const other = new MemorySource();
  for (let index = 0; index < 3; index++) other.apply([{ key: "a", value: `w${index}` }]);
  hub.restored(other);
  hub.verify();
  while (hub.hasWork) hub.step();
  const rows = other.apply([{ key: "a", value: "last" }]);
  hub.publish(rows);
  const events = sink.batches.flatMap((batch) => batch.events).map(decodeEvent);
  expect(events.map(({ kv }) => kv.value)).toEqual(["v", "w1", "w2", "last"]);
  expect(events.map(({ prevKv }) => prevKv?.value)).toEqual([undefined, "w0", "w1", "w2"]);
});
