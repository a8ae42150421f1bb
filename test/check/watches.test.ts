/** One small history of a store, and what a watcher of it may and may not say. */
import { describe, expect, test } from "bun:test";
import type { Call, SeenEvent, Watch, WatchSeen } from "./history.ts";
import type { Committed } from "./linearizable.ts";
import type { KeyValue } from "./requests.ts";
import { checkWatches, deliveredThrough } from "./watches.ts";

function kv(key: string, value: string, create: number, mod: number, version: number): KeyValue {
  return { key, value, createRevision: create, modRevision: mod, version, lease: "0" };
}

const A2 = kv("a", "1", 2, 2, 1);
const A3 = kv("a", "2", 2, 3, 2);
const B3 = kv("b", "3", 3, 3, 1);
const A4 = { ...kv("a", "", 0, 4, 0) };

/** a=1 · a=2 and b=3 in one transaction · a deleted. */
const COMMITTED: readonly Committed[] = [
  { revision: 2, changes: [{ kv: A2, before: undefined }] },
  {
    revision: 3,
    changes: [
      { kv: A3, before: A2 },
      { kv: B3, before: undefined },
    ],
  },
  { revision: 4, changes: [{ kv: A4, before: A3 }] },
].map((one) => ({ ...one, cause: "", seenAt: 0, isCertain: true }));

const put2: SeenEvent = { type: "put", kv: A2, prevKv: null };
const put3: SeenEvent = { type: "put", kv: A3, prevKv: A2 };
const put3b: SeenEvent = { type: "put", kv: B3, prevKv: null };
const delete4: SeenEvent = { type: "delete", kv: { key: "a", modRevision: 4 }, prevKv: A3 };

const created: WatchSeen = { kind: "created", at: 0, revision: 1 };
const progress = (revision: number): WatchSeen => ({ kind: "progress", at: 9, revision });
const canceled = (compactRevision: number): WatchSeen => ({
  kind: "canceled",
  at: 9,
  compactRevision,
});
const events = (...all: SeenEvent[]): WatchSeen => {
  return { kind: "events", at: 5, revision: 4, events: all, fragment: false };
};

const ALL = { key: "\0", end: "\0", startRevision: 1, prevKv: true, without: [] } as const;

function watch(seen: readonly WatchSeen[], request: Partial<Watch["request"]> = {}): Watch {
  return { id: "w", client: "c", request: { ...ALL, ...request }, seen: [created, ...seen] };
}

/** The promises that were broken, by name. */
function broken(watches: readonly Watch[], calls: readonly Call[] = []): string[] {
  const complaints = checkWatches({ calls, watches }, COMMITTED);
  return complaints.map((text) => text.split(": ")[1] ?? text);
}

const saw = (...seen: WatchSeen[]): string[] => broken([watch(seen)]);

const compaction = (revision: number): Call => {
  const request = { kind: "compact", revision } as const;
  return { id: "x", client: "x", request, call: 1, outcome: { kind: "unknown" } };
};

describe("a watcher may", () => {
  test("be told everything in one response, or revision by revision", () => {
    expect(saw(events(put2, put3, put3b, delete4), progress(4))).toEqual([]);
    expect(saw(events(put2), events(put3, put3b), progress(3), events(delete4))).toEqual([]);
  });

  test("lag, be told of one key, without deletions, without predecessors, from later on", () => {
    expect(saw(events(put2))).toEqual([]);
    const ofB = { key: "b", end: "c" };
    expect(broken([watch([events(put3b), progress(4)], ofB)])).toEqual([]);
    const puts = { without: ["delete"] as const };
    expect(broken([watch([events(put2), events(put3, put3b), progress(4)], puts)])).toEqual([]);
    const bare = [put3, put3b].map((one) => ({ ...one, prevKv: null }));
    const late = { startRevision: 3, prevKv: false };
    expect(broken([watch([events(...bare)], late)])).toEqual([]);
    expect(broken([watch([progress(1), events(put2)], { startRevision: 0 })])).toEqual([]);
  });

  test("get a revision in fragments", () => {
    const part = { ...events(put3), fragment: true } as WatchSeen;
    expect(saw(events(put2), part, events(put3b), events(delete4))).toEqual([]);
  });

  test("be canceled by a compaction that it needed, and miss a compacted predecessor", () => {
    expect(broken([watch([events(put2), canceled(4)])], [compaction(4)])).toEqual([]);
    const bare = [{ ...put3, prevKv: null }, put3b];
    expect(broken([watch([events(put2), events(...bare)])], [compaction(3)])).toEqual([]);
  });

  test("not know what nobody saw", () => {
    const guess = COMMITTED.map((one) => ({ ...one, isCertain: one.revision !== 4 }));
    const watches = [watch([events(put2), events(put3, put3b), progress(4)])];
    expect(checkWatches({ calls: [], watches }, guess)).toEqual([]);
    expect(broken(watches)).toEqual(["Bookmarkable"]);
    const late = watch([events(put2), events(put3, put3b), progress(4), events(delete4)]);
    expect(checkWatches({ calls: [], watches: [late] }, guess)).toEqual([
      "w: Bookmarkable: delete a@4 after progress at 4",
    ]);
  });
});

describe("a watcher may not", () => {
  test.each([
    ["Reliable", [events(put2), events(delete4)]],
    ["Reliable", [events(put2), events(put3b, delete4)]],
    ["Unique", [events(put2), events(put2)]],
    ["Ordered", [events(put3, put3b), events(put2)]],
    ["Ordered", [events(put2), events(put3b, put3)]],
    ["Atomic", [events(put2, put3), events(put3b)]],
    ["Bookmarkable", [events(put2), progress(3), events(put3, put3b)]],
    ["Bookmarkable", [events(put2), progress(4)]],
    ["Bookmarkable", [events()]],
    ["Event", [events({ ...put2, kv: { ...A2, value: "9" } })]],
    ["Event", [events({ ...put2, kv: { ...A2, createRevision: 1 } })]],
    ["Event", [events(put2, { ...put3, kv: { ...A3, key: "c" } })]],
    ["Event", [events({ ...put2, type: "delete", kv: { key: "a", modRevision: 2 } })]],
    ["Event", [{ ...events(put2, put3, put3b), revision: 2 } as WatchSeen]],
    ["PrevKV", [events(put2), events({ ...put3, prevKv: null }, put3b)]],
    ["PrevKV", [events({ ...put2, prevKv: A2 })]],
    ["PrevKV", [events(put2), events({ ...put3, prevKv: A3 }, put3b)]],
    ["Compacted", [events(put2), canceled(2)]],
    ["Unique", [created]],
  ] as const)("break %s: %j", (promise, seen) => {
    expect(broken([watch(seen)], [compaction(2)])).toContain(promise);
  });

  test("be told what it did not ask for", () => {
    expect(broken([watch([events(put3, put3b)], { key: "b", end: "c" })])).toContain("Filter");
    const puts = { without: ["delete"] as const, startRevision: 4 };
    expect(broken([watch([events(delete4)], puts)])).toContain("Filter");
    expect(broken([watch([events(put2)], { startRevision: 3 })])).toContain("Resumable");
    expect(broken([watch([events(put2)], { prevKv: false })])).toEqual([]);
    expect(broken([watch([events(put3, put3b)], { prevKv: false, startRevision: 3 })])).toEqual([
      "PrevKV",
    ]);
  });

  test("be canceled for a compaction that nobody asked for, or told more afterwards", () => {
    expect(broken([watch([events(put2), canceled(4)])])).toEqual(["Compacted"]);
    expect(broken([watch([canceled(4), events(put2)])], [compaction(4)])).toContain("Compacted");
  });

  test("go on for another and leave something out", () => {
    const first = watch([events(put2)]);
    const second = (startRevision: number): Watch => {
      return { ...watch([], { startRevision }), id: "v", resumes: "w" };
    };
    expect(broken([first, second(3)])).toEqual([]);
    expect(broken([first, second(4)])).toEqual(["Resumable"]);
  });
});

test("what a watcher was surely told", () => {
  const part = { ...events(put3), fragment: true } as WatchSeen;
  expect(deliveredThrough(watch([]))).toBe(0);
  expect(deliveredThrough(watch([], { startRevision: 0 }))).toBe(1);
  expect(deliveredThrough(watch([events(put2)]))).toBe(2);
  expect(deliveredThrough(watch([events(put2), part]))).toBe(2);
  expect(deliveredThrough(watch([events(put2), progress(4)]))).toBe(4);
});
