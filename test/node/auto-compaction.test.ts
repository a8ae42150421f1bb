/** Automatic compaction in simulated time: what etcd's v3compactor does in the same hours. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AutoCompaction, type Retention } from "../../src/node/auto-compaction.ts";
import type { Done } from "../../src/node/proposals.ts";
import { CompactionRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { Outcome } from "../../src/state/results.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

class World {
  nowMs = 5_000_000;
  revision = 1;
  isLeader = true;
  /** [minute, revision] of each compaction that was asked for. */
  readonly asked: [number, number][] = [];
  answer: (done: Done<Outcome>) => void = (done) => done({} as Outcome);
  readonly warnings: unknown[] = [];
  readonly #compaction: AutoCompaction;
  readonly #startMs = this.nowMs;
  readonly #stepMs: number;

  /** `stepMs`: how time passes, and a revision with it. */
  constructor(retention: Retention, stepMs: number) {
    this.#stepMs = stepMs;
    const world = this;
    const group = {
      get machine() {
        return { revision: world.revision };
      },
      get isLeader() {
        return world.isLeader;
      },
      propose(kind: number, bytes: Uint8Array, start: number, end: number, done: Done<Outcome>) {
        expect(kind).toBe(CommandKind.compact);
        const { revision, physical } = CompactionRequest.decode(bytes, start, end);
        expect(physical).toBe(false);
        world.asked.push([(world.nowMs - world.#startMs) / MINUTE, revision]);
        world.answer(done);
      },
    };
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 };
    const ignored = (): void => {};
    const log = { trace: ignored, debug: ignored, info: ignored, error: ignored };
    const warn = (_: string, fields?: object): void => {
      this.warnings.push(fields);
    };
    this.#compaction = new AutoCompaction(retention, { group, clock, log: { ...log, warn } });
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.revision++;
      this.nowMs += this.#stepMs;
      this.#compaction.tick();
      this.#compaction.tick(); // ticks come far oftener than anything is due
    }
  }
}

describe("by period", () => {
  test("keeps two hours: first after two of them, then every hour", () => {
    const world = new World({ periodMs: 2 * HOUR }, 6 * MINUTE);
    world.run(19);
    expect(world.asked).toEqual([]);
    world.run(1);
    expect(world.asked).toEqual([[120, 1]]);
    world.run(30);
    expect(world.asked.slice(1)).toEqual([
      [180, 10],
      [240, 20],
      [300, 30],
    ]);
  });

  test("keeps five minutes: first after five of them, then every five", () => {
    const world = new World({ periodMs: 5 * MINUTE }, 0.5 * MINUTE);
    world.run(31);
    expect(world.asked).toEqual([
      [5, 1],
      [10, 10],
      [15, 20],
    ]);
  });

  test("an hour and a half is looked at by tenths of an hour", () => {
    const world = new World({ periodMs: 1.5 * HOUR }, 6 * MINUTE);
    world.run(25);
    expect(world.asked).toEqual([
      [90, 1],
      [150, 10],
    ]);
  });

  test("a follower takes notes, and compacts as soon as it leads", () => {
    const world = new World({ periodMs: HOUR }, 6 * MINUTE);
    world.isLeader = false;
    world.run(30);
    expect(world.asked).toEqual([]);
    world.isLeader = true;
    world.run(1);
    expect(world.asked).toEqual([[186, 21]]);
    world.run(9);
    expect(world.asked.length).toBe(1);
    world.run(1);
    expect(world.asked.length).toBe(2);
  });

  test("nothing is compacted twice while nobody writes", () => {
    const world = new World({ periodMs: 10 * MINUTE }, MINUTE);
    world.run(10);
    const { revision } = world;
    Object.defineProperty(world, "revision", { get: () => revision, set: () => {} });
    world.run(200);
    expect(world.asked.map(([, at]) => at)).toEqual([1, 10, 11]);
  });

  test("what failed is tried again a tenth later; what was compacted by others is done", () => {
    const world = new World({ periodMs: 10 * MINUTE }, MINUTE);
    world.answer = (done) => done(new AetherError("timeout"));
    world.run(12);
    expect(world.asked.map(([minute]) => minute)).toEqual([10, 11, 12]);
    expect(world.warnings.length).toBe(3);
    world.answer = (done) => done(new AetherError("compacted"));
    world.run(10);
    expect(world.asked.length).toBe(4);
    expect(world.warnings.length).toBe(3);
  });

  test("one is under way at a time", () => {
    const world = new World({ periodMs: 10 * MINUTE }, MINUTE);
    world.answer = () => {};
    world.run(30);
    expect(world.asked.length).toBe(1);
  });

  test("time that was slept over is one look, not many", () => {
    const world = new World({ periodMs: 10 * MINUTE }, MINUTE);
    world.nowMs += 5 * HOUR;
    world.run(1);
    expect(world.asked).toEqual([[301, 1]]);
    world.run(11);
    expect(world.asked.slice(1)).toEqual([[312, 2]]);
  });
});

describe("by revisions", () => {
  test("looks every five minutes and keeps so many", () => {
    const world = new World({ revisions: 10 }, MINUTE);
    world.run(9);
    expect(world.asked).toEqual([]); // there are not so many yet
    world.run(11);
    expect(world.asked).toEqual([
      [10, 1],
      [15, 6],
      [20, 11],
    ]);
  });

  test("only at the leader, and nothing twice", () => {
    const world = new World({ revisions: 1 }, 5 * MINUTE);
    world.isLeader = false;
    world.run(5);
    world.isLeader = true;
    world.run(1);
    expect(world.asked).toEqual([[30, 6]]);
    const { revision } = world;
    Object.defineProperty(world, "revision", { get: () => revision, set: () => {} });
    world.run(5);
    expect(world.asked.length).toBe(1);
  });
});
