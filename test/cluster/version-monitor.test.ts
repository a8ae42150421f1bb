/** The leader keeps the cluster's version at what is spoken, or where a downgrade leads to. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { VersionMonitor } from "../../src/cluster/version-monitor.ts";
import type { Done } from "../../src/node/proposals.ts";
import { DowngradeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { Outcome } from "../../src/state/results.ts";

class World {
  nowMs = 77_000;
  isLeader = true;
  isReady = true;
  next: string | undefined = undefined;
  outcome: Outcome = { kind: "version", revision: 1 };
  readonly proposed: string[] = [];
  readonly logged: string[] = [];
  readonly monitor: VersionMonitor;

  constructor() {
    const world = this;
    const group = {
      machine: { clusterVersion: { version: "3.7.0", next: () => world.next } },
      get isLeader() {
        return world.isLeader;
      },
      get isReady() {
        return world.isReady;
      },
      propose(kind: number, bytes: Uint8Array, start: number, end: number, done: Done<Outcome>) {
        expect(kind).toBe(CommandKind.clusterVersion);
        world.proposed.push(DowngradeRequest.decode(bytes, start, end).version);
        done(world.outcome);
      },
    };
    const line = (text: string): void => {
      this.logged.push(text);
    };
    const log = { trace: line, debug: line, info: line, warn: line, error: line };
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 };
    this.monitor = new VersionMonitor({ group, clock, log, spoken: "3.7.1" });
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 100) {
      this.nowMs += 100;
      this.monitor.tick();
    }
  }
}

describe("the cluster's version", () => {
  test("is looked at every five seconds, and left alone if it is right", () => {
    const world = new World();
    world.pass(20_000);
    expect([world.proposed, world.logged]).toEqual([[], []]);
    world.next = "3.6.0";
    world.pass(4900);
    expect(world.proposed).toEqual([]);
    world.pass(100);
    expect(world.proposed).toEqual(["3.6.0"]);
    world.pass(5000);
    expect(world.proposed).toEqual(["3.6.0", "3.6.0"]);
  });

  test("is changed by the leader alone, once it has its term", () => {
    const world = new World();
    world.next = "3.6.0";
    world.isLeader = false;
    world.pass(10_000);
    world.isLeader = true;
    world.isReady = false;
    world.pass(10_000);
    expect(world.proposed).toEqual([]);
  });

  test("is tried again if it was not changed", () => {
    const world = new World();
    world.next = "3.6.0";
    world.outcome = new AetherError("timeout");
    world.pass(10_000);
    expect(world.proposed.length).toBe(2);
    expect(world.logged).toEqual([
      "the cluster's version was not changed",
      "the cluster's version was not changed",
    ]);
  });
});
