/**
 * A leader that is lost at each point of writes that are under way at every member: each call is
 * answered once, each write happens once, and nobody is told that it did not happen when it did.
 */
import { describe, expect, test } from "bun:test";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { decodeKv } from "../state/driver.ts";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import { type Call, TICK_MS } from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";

interface Write {
  readonly key: string;
  readonly at: DrivenMember;
  readonly call: Call;
}

/** Two writes at each member, in turns of their own. */
function writeEverywhere(cluster: DrivenCluster): Write[] {
  const writes: Write[] = [];
  for (const round of [1, 2]) {
    for (const at of cluster.members.values()) {
      const key = `m${at.number}r${round}`;
      writes.push({ key, at, call: at.put(key, "x") });
      at.endTurns();
    }
  }
  return writes;
}

/** How often each key was written. */
function versions(member: DrivenMember): Map<string, number> {
  const all = RangeRequest.create({ key: "\0", rangeEnd: "\0" });
  const kvs = member.group.machine.range(all).kvs.map(decodeKv);
  return new Map(kvs.map(({ key, version }) => [String(key), version]));
}

/** Runs `lose` at each point in turn, until the writes come to an end before it. */
function atEachPoint(
  lose: (cluster: DrivenCluster, leader: DrivenMember) => void,
  check: (cluster: DrivenCluster, leader: DrivenMember, writes: readonly Write[]) => void,
): number {
  for (let point = 0; ; point++) {
    const { cluster, leader } = DrivenCluster.leading();
    const writes = writeEverywhere(cluster);
    const under = cluster.moveSome(point);
    lose(cluster, leader);
    cluster.elect(leader);
    cluster.pass(ELECTION_MS);
    check(cluster, leader, writes);
    cluster.expectAgreement();
    if (!under) return point;
  }
}

function expectOnce(cluster: DrivenCluster, writes: readonly Write[]): void {
  const [member] = [...cluster.members.values()].filter(({ up }) => up) as [DrivenMember];
  const seen = versions(member);
  for (const { key, call } of writes) {
    if (call.code === "ok") expect([key, seen.get(key)]).toEqual([key, 1]);
    else expect([key, seen.get(key) ?? 1]).toEqual([key, 1]);
  }
}

describe("a leader that is lost while members write", () => {
  test("by a crash: what the others ask for happens, once", () => {
    const points = atEachPoint(
      (_, leader) => leader.crash(),
      (cluster, leader, writes) => {
        for (const { key, at, call } of writes) {
          if (at !== leader) expect([key, call.code]).toEqual([key, "ok"]);
        }
        leader.start();
        cluster.pass(2 * ELECTION_MS);
        expectOnce(cluster, writes);
      },
    );
    expect(points).toBeGreaterThan(20);
  });

  test("by a partition: what it was asked for happens too, when it is back", () => {
    const points = atEachPoint(
      (cluster, leader) => cluster.isolate(leader),
      (cluster, leader, writes) => {
        const stranded = writes.filter(({ call }) => call.code !== "ok");
        for (const { key, at, call } of stranded) {
          expect([key, at.number, call.code]).toEqual([key, leader.number, "waiting"]);
        }
        cluster.network.heal();
        cluster.pass(ELECTION_MS);
        for (const { key, call } of writes) expect([key, call.code]).toEqual([key, "ok"]);
        expectOnce(cluster, writes);
      },
    );
    expect(points).toBeGreaterThan(20);
  });

  test("by a pause: it takes nothing with it, and its own calls end once", () => {
    atEachPoint(
      (_, leader) => {
        leader.paused = true;
      },
      (cluster, leader, writes) => {
        leader.paused = false;
        cluster.pass(ELECTION_MS);
        for (const { key, call } of writes) expect([key, call.code]).toEqual([key, "ok"]);
        expectOnce(cluster, writes);
      },
    );
  });

  test("by handing over: nobody waits longer than that takes", () => {
    const points = atEachPoint(
      (cluster, leader) => {
        leader.group.handOver(() => {});
        cluster.pass(3 * TICK_MS);
      },
      (cluster, _, writes) => {
        for (const { key, call } of writes) expect([key, call.code]).toEqual([key, "ok"]);
        expectOnce(cluster, writes);
      },
    );
    expect(points).toBeGreaterThan(20);
  });

  test("by its stop: what it is asked is answered, what the others ask happens", () => {
    atEachPoint(
      (_, leader) => {
        leader.group.stop();
        leader.endLife();
      },
      (cluster, leader, writes) => {
        for (const { key, at, call } of writes) {
          if (at !== leader) expect([key, call.code]).toEqual([key, "ok"]);
          else expect(["ok", "stopped"]).toContain(call.code);
        }
        expectOnce(cluster, writes);
      },
    );
  });
});

describe("a follower that stops while members write", () => {
  test("answers what it was asked, at each point, and the others go on", () => {
    for (let point = 0, under = true; under; point++) {
      const { cluster, leader } = DrivenCluster.leading();
      const writes = writeEverywhere(cluster);
      const follower = cluster.others(leader)[0] as DrivenMember;
      under = cluster.moveSome(point);
      follower.group.stop();
      follower.endLife();
      cluster.pass(TICK_MS);
      for (const { key, at, call } of writes) {
        if (at !== follower) expect([key, call.code]).toEqual([key, "ok"]);
        else expect(["ok", "stopped"]).toContain(call.code);
      }
      expectOnce(cluster, writes);
      follower.crash();
      follower.start();
      cluster.pass(ELECTION_MS);
      cluster.expectAgreement();
    }
  });
});
