/**
 * A copy of the state, from its sender's store to its place at the receiver, and something else
 * that happens at each point of that way. Watchers at the receiver never see a gap.
 */
import { describe, expect, test } from "bun:test";
import { CompactionRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { encoded } from "../state/driver.ts";
import { ELECTION_MS } from "./driven-cluster.ts";
import { TICK_MS } from "./driven-group.ts";
import { type Behind, farBehind, untilCopyLeaves, writeMany } from "./far-behind.ts";
import { Watched } from "./watched.ts";

/** Ticks and writes that follow; a copy that was refused or lost is sent again meanwhile. */
const PATIENCE_MS = 4 * ELECTION_MS;

/** Does `disturb` at each point of the copy's way in turn; how many there were. */
function atEachPoint(disturb: (where: Behind) => void, check: (where: Behind) => void): number {
  for (let point = 0; ; point++) {
    const where = farBehind();
    untilCopyLeaves(where);
    where.cluster.network.heal();
    const under = where.cluster.moveSome(point);
    disturb(where);
    where.cluster.pass(PATIENCE_MS);
    check(where);
    where.cluster.expectAgreement();
    for (const { store, up } of where.cluster.members.values()) {
      if (up) expect(store.holdCount).toBe(0);
    }
    if (!under) return point;
  }
}

function restart({ behind }: Behind, kept = 0): void {
  behind.crash(kept);
  behind.start();
}

function expectInstalled({ behind }: Behind): void {
  expect(behind.logDisk.snapshot?.index).toBeGreaterThan(20);
  expect(behind.receives).toBe(false);
}

describe("at each point of a copy's way", () => {
  test("the receiver's power may be cut", () => {
    for (const kept of [0, 1]) {
      const points = atEachPoint((where) => restart(where, kept), expectInstalled);
      expect(points).toBeGreaterThan(6);
    }
  });

  test("the receiver may stop, and start again over what its stores hold", () => {
    atEachPoint((where) => {
      const { behind } = where;
      behind.group.stop();
      behind.log.sync();
      behind.store.store();
      behind.store.sync();
      behind.endLife();
      behind.start();
    }, expectInstalled);
  });

  test("the sender may crash: its successor goes on", () => {
    atEachPoint(
      ({ leader }) => leader.crash(),
      ({ cluster, leader }) => {
        leader.start();
        cluster.pass(2 * ELECTION_MS);
      },
    );
  });

  test("another may be given leadership", () => {
    atEachPoint(({ cluster, leader, behind }) => {
      const next = cluster.others(leader).find((member) => member !== behind);
      if (next === undefined) throw new Error("there are three");
      leader.group.transferLeadership(next.id);
    }, expectInstalled);
  });

  test("time may pass, at all or at the receiver alone", () => {
    atEachPoint(({ behind, cluster }) => {
      for (let ticks = 0; ticks < 3; ticks++) {
        behind.tick();
        cluster.moveSome(1);
      }
      for (let ticks = 0; ticks < 3; ticks++) cluster.tick();
    }, expectInstalled);
  });

  test("more may be written, and the log cut again: also a second copy is taken", () => {
    atEachPoint((where) => {
      const { cluster, leader, behind } = where;
      cluster.isolate(behind);
      cluster.pass(2 * ELECTION_MS);
      writeMany(cluster, leader, 20);
      cluster.network.heal();
    }, expectInstalled);
  });

  test("what the receiver has may be compacted, read and written", () => {
    atEachPoint(({ cluster, leader, behind }) => {
      const { revision } = leader.group.machine;
      const compact = encoded(CompactionRequest, { revision: revision - 3 });
      const calls = [leader.propose(CommandKind.compact, compact), behind.put("during", "1")];
      const read = behind.read();
      behind.group.compactor.whenRemoved(revision - 3, () => {});
      cluster.pass(PATIENCE_MS);
      expect(calls.map(({ code }) => code)).not.toContain("waiting");
      expect(read.code).toBe("ok");
    }, expectInstalled);
  });

  test("the configuration may change, and the receiver knows it afterwards", () => {
    atEachPoint(
      ({ cluster, leader }) => {
        cluster.change(leader, "learn", 9);
      },
      (where) => {
        const { behind, leader } = where;
        expectInstalled(where);
        expect(behind.group.configuration).toEqual(leader.group.configuration);
        expect(behind.group.machine.members().length).toBe(4);
        expect(behind.membershipNews).toBeGreaterThan(0);
      },
    );
  });
});

describe("watchers at a member that takes a copy", () => {
  test("see every revision once and in order, those that read slowly too", () => {
    for (let point = 0, under = true; under; point++) {
      const where = farBehind();
      const { cluster, leader, behind } = where;
      const { machine } = behind.group;
      const watchers = [
        new Watched(behind.group),
        new Watched(behind.group, 1),
        new Watched(behind.group, machine.revision + 10),
        new Watched(behind.group, machine.revision + 1000),
      ];
      const slow = new Watched(behind.group, 1);
      slow.writable = false;
      const before = machine.revision;
      untilCopyLeaves(where);
      cluster.network.heal();
      under = cluster.moveSome(point);
      const late = new Watched(behind.group, before);
      cluster.pass(PATIENCE_MS);
      writeMany(cluster, leader, 2);
      const last = behind.group.machine.revision;
      const starts = [before + 1, 2, before + 10, last + 1, before];
      for (const [i, watcher] of [...watchers, late].entries()) {
        const from = starts[i] as number;
        expect(watcher.ends).toEqual([]);
        expect(watcher.revisions).toEqual(
          Array.from({ length: last + 1 - from }, (_, n) => from + n),
        );
      }
      expect(slow.events).toEqual([]);
      slow.resume();
      cluster.pass(TICK_MS);
      expect(slow.events).toEqual(watchers[1]?.events as string[]);
    }
  });

  test("whose revisions were compacted meanwhile are told so", () => {
    const where = farBehind();
    const { cluster, leader, behind } = where;
    const before = behind.group.machine.revision;
    const watcher = new Watched(behind.group, before + 1);
    const revision = before + 20;
    leader.propose(CommandKind.compact, encoded(CompactionRequest, { revision }));
    writeMany(cluster, leader, 20);
    cluster.network.heal();
    cluster.pass(PATIENCE_MS);
    expect(behind.group.machine.compactRevision).toBe(revision);
    expect([watcher.ends, watcher.events]).toEqual([[`compacted at ${revision}`], []]);
  });
});
