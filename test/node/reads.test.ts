import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { READS_WAITING_MAX, Reads } from "../../src/node/reads.ts";

const timeout = (): AetherError => new AetherError("timeout");

class Bench {
  readonly reads = new Reads();
  readonly seen: string[] = [];

  ask(name: string): boolean {
    return this.reads.ask((error) => this.seen.push(`${name} ${error?.code ?? "ok"}`));
  }

  issue(nowMs = 0): number {
    return this.reads.issue(nowMs) ?? -1;
  }
}

describe("reads", () => {
  test("of a turn share a round, those of the next have their own", () => {
    const bench = new Bench();
    expect([bench.ask("a"), bench.ask("b")]).toEqual([true, false]);
    const first = bench.issue();
    expect(bench.issue()).toBe(-1);
    expect(bench.ask("c")).toBe(true);
    const second = bench.issue();
    expect(second).not.toBe(first);
    expect(bench.reads.waiting).toBe(3);
    bench.reads.granted(second, 5, 5);
    expect(bench.seen).toEqual(["c ok"]);
    bench.reads.granted(first, 5, 5);
    expect(bench.seen).toEqual(["c ok", "a ok", "b ok"]);
  });

  test("run when their index is applied and not before", () => {
    const bench = new Bench();
    bench.ask("a");
    bench.reads.granted(bench.issue(), 9, 7);
    bench.reads.applied(8);
    expect(bench.seen).toEqual([]);
    bench.reads.applied(9);
    bench.reads.applied(10);
    expect(bench.seen).toEqual(["a ok"]);
  });

  test("are not run by what is applied before they are granted", () => {
    const bench = new Bench();
    bench.ask("a");
    bench.issue();
    bench.reads.applied(1000);
    expect(bench.seen).toEqual([]);
  });

  test("time out by their age; a grant or refusal that comes later finds nobody", () => {
    const bench = new Bench();
    bench.ask("old");
    const old = bench.issue(100);
    bench.ask("granted");
    const granted = bench.issue(150);
    bench.reads.granted(granted, 9, 7);
    bench.ask("young");
    bench.issue(200);
    bench.reads.expire(150, timeout);
    expect(bench.seen).toEqual(["old timeout", "granted timeout"]);
    bench.reads.granted(old, 1, 1);
    bench.reads.refused(old, timeout());
    bench.reads.applied(9);
    expect(bench.seen.length).toBe(2);
    expect(bench.reads.waiting).toBe(1);
  });

  test("are counted until they are answered, through every attempt, and bounded", () => {
    const { reads } = new Bench();
    const counts: number[] = [];
    for (let i = 0; i < READS_WAITING_MAX; i++) {
      expect(reads.full).toBe(false);
      reads.ask(() => counts.push(reads.waiting));
    }
    expect(reads.full).toBe(true);
    reads.postponed(reads.issue(5) ?? -1);
    expect(reads.full).toBe(true);
    reads.expirePostponed(5, timeout);
    expect([counts.length, counts.at(-1), reads.waiting]).toEqual([READS_WAITING_MAX, 0, 0]);
  });

  test("that nobody confirms are asked again under another number, all of them", () => {
    const bench = new Bench();
    bench.ask("a");
    const first = bench.issue(10);
    bench.ask("b");
    const second = bench.issue(20);
    bench.ask("c");
    const third = bench.issue(30);
    bench.reads.postponed(second);
    bench.reads.postponed(first);
    bench.reads.postponed(first); // said twice
    const again = bench.reads.reissue();
    expect(new Set([first, second, third, ...again]).size).toBe(5);
    expect(bench.reads.reissue()).toEqual([]);
    bench.reads.granted(first, 1, 1); // meant for the attempt that was given up
    bench.reads.granted(second, 1, 1);
    expect(bench.seen).toEqual([]);
    for (const id of again) bench.reads.granted(id, 1, 1);
    expect(bench.seen).toEqual(["b ok", "a ok"]);
  });

  test("without a leader fail by the age of their first attempt; those asked wait on", () => {
    const bench = new Bench();
    bench.ask("old");
    bench.reads.postponed(bench.issue(10));
    bench.ask("young");
    bench.reads.postponed(bench.issue(20));
    bench.ask("asked");
    bench.issue(5);
    bench.reads.expirePostponed(10, timeout);
    expect(bench.seen).toEqual(["old timeout"]);
    bench.reads.expirePostponed(19, timeout);
    expect(bench.reads.waiting).toBe(2);
    const [again] = bench.reads.reissue();
    bench.reads.postponed(again ?? -1);
    bench.reads.expire(20, timeout);
    expect(bench.seen).toEqual(["old timeout", "asked timeout", "young timeout"]);
    expect(bench.reads.waiting).toBe(0);
  });

  test("all fail when told so, also those of this turn", () => {
    const bench = new Bench();
    bench.ask("sent");
    bench.issue();
    bench.ask("asked");
    bench.reads.failAll(() => new AetherError("stopped"));
    expect(bench.seen).toEqual(["sent stopped", "asked stopped"]);
    expect(bench.reads.waiting).toBe(0);
  });

  test("asked by a read that runs wait for a round of their own", () => {
    const bench = new Bench();
    bench.reads.ask(() => bench.ask("inner"));
    bench.reads.granted(bench.issue(), 1, 1);
    expect(bench.seen).toEqual([]);
    bench.reads.granted(bench.issue(), 1, 1);
    expect(bench.seen).toEqual(["inner ok"]);
  });
});
