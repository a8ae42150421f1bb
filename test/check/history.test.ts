import { expect, test } from "bun:test";
import { join } from "node:path";
import { AssertionError } from "../../src/base/assert.ts";
import { checkHistory } from "./check.ts";
import { fromLines, merge, Recorder, toLines } from "./history.ts";
import { LIES } from "./lies.ts";
import { simulate } from "./simulation.ts";

test("a recorder notes calls, watches and holds, each under a name of its own", () => {
  let now = 0;
  const recorder = new Recorder("a", () => now);
  const put = recorder.call({ kind: "put", key: "k", value: "1" });
  now = 1;
  put.answered({ kind: "put", revision: 2 });
  const lost = recorder.call({ kind: "range", key: "k" });
  recorder.call({ kind: "revoke", id: "7" }).refused("too_many_requests");
  const watch = recorder.watch({ key: "k", startRevision: 0, prevKv: false, without: [] });
  watch.created(2);
  watch.progress(2);
  recorder.watch({ key: "k", startRevision: 3, prevKv: false, without: [] }, watch).canceled();
  const hold = recorder.hold("l", 5, 0, 100);
  hold.certainUntil = 50;

  const { calls, watches, holds } = recorder.history();
  expect(calls.map(({ id, call, outcome }) => [id, call, outcome.kind])).toEqual([
    ["a#1", 0, "answered"],
    ["a#2", 1, "unknown"],
    ["a#3", 1, "refused"],
  ]);
  expect(watches.map(({ id, resumes, seen }) => [id, resumes, seen.length])).toEqual([
    ["a~1", undefined, 2],
    ["a~2", "a~1", 1],
  ]);
  expect(holds).toMatchObject([{ id: "a!1", token: 5, acquired: 1, certainUntil: 50 }]);
  lost.answered({ kind: "range", revision: 2 });
  expect(() => lost.refused("timeout")).toThrow(AssertionError);
});

test("histories of several clients become one, in the order of sending", () => {
  let now = 0;
  const [a, b] = ["a", "b"].map((name) => new Recorder(name, () => now)) as [Recorder, Recorder];
  a.call({ kind: "range", key: "k" });
  now = 1;
  b.call({ kind: "range", key: "k" });
  now = 2;
  a.call({ kind: "range", key: "k" });
  const { calls } = merge([a.history(), b.history()]);
  expect(calls.map(({ id }) => id)).toEqual(["a#1", "b#1", "a#2"]);
});

const options = {
  clients: 4,
  calls: 100,
  keys: 4,
  unknownPercent: 5,
  mix: "whole",
  watches: 4,
} as const;

test("a history survives being saved", () => {
  const { history } = simulate({ ...options, seed: 1 });
  expect(fromLines(toLines(history))).toEqual(history);
  expect(() => fromLines('{"in":"nothing"}\n')).toThrow("not a line of a history");
});

test("a saved history can be checked again", async () => {
  const recheck = async (name: string, text: string): Promise<string> => {
    const path = join(process.env["TMPDIR"] ?? "/tmp", `aether-${process.pid}-${name}.jsonl`);
    await Bun.write(path, text);
    const run = Bun.spawnSync(["bun", join(import.meta.dir, "recheck.ts"), path]);
    await Bun.file(path).delete();
    return `${run.exitCode} ${run.stdout}`;
  };
  const right = simulate({ ...options, seed: 1 }).history;
  expect(await recheck("right", toLines(right))).toContain("0 104 calls");
  const lie = (LIES["phantom value"] as () => never)();
  const wrong = simulate({ ...options, seed: 1, lie }).history;
  const text = await recheck("wrong", toLines(wrong));
  expect(text).toStartWith("1 104 calls");
  expect(text).toContain("phantom");
});

test("a lie of a watch is told from a lie of an answer", () => {
  const { history } = simulate({ ...options, seed: 2 });
  const watches = history.watches.map((watch) => ({
    ...watch,
    seen: watch.seen.map((one) => {
      return one.kind === "events" ? { ...one, events: one.events.toReversed() } : one;
    }),
  }));
  const complaints = checkHistory({ ...history, watches });
  expect(complaints.some((text) => text.includes("Ordered"))).toBe(true);
  expect(complaints.some((text) => text.startsWith("not-linearizable"))).toBe(false);
});

test("what a watch makes impossible is told beside what it did wrong", () => {
  const recorder = new Recorder("a", () => 1);
  recorder.call({ kind: "put", key: "k", value: "1" }).answered({ kind: "put", revision: 2 });
  const watch = recorder.watch({ key: "k", startRevision: 1, prevKv: false, without: [] });
  watch.created(2);
  watch.events(3, [{ type: "put", kv: { key: "k", modRevision: 3 }, prevKv: null }]);
  const complaints = checkHistory(recorder.history());
  expect(complaints[0]).toBe("a~1: Event: put k@3 was never committed");
  expect(complaints.at(-1)).toStartWith("with the watches, not-linearizable");
});

test("locks are judged too", () => {
  const [a, b] = ["a", "b"].map((name) => new Recorder(name, () => 10)) as [Recorder, Recorder];
  a.hold("l", 5, 1, 20);
  b.hold("l", 5, 1, 20);
  expect(checkHistory(merge([a.history(), b.history()]))).toHaveLength(2);
});
