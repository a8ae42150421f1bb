/** What follows from applied entries: who is told of what, and when. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Applier, type ApplierParts } from "../../src/node/applier.ts";
import { NO_METER } from "../../src/node/meter.ts";
import { AlarmAction, AlarmRequest, Member } from "../../src/proto/gen/etcdserverpb.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Entry } from "../../src/raft/types.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { OutcomeSink } from "../../src/state/machine.ts";
import type { Outcome } from "../../src/state/results.ts";
import { encoded } from "../state/driver.ts";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import { DrivenGroup, MEMBER } from "./driven-group.ts";

/** An applier whose machine comes to the outcomes that the test gives it, and who hears of them. */
class Bench {
  readonly told: string[] = [];
  outcomes: Outcome[] = [];
  readonly applier: Applier;
  readonly #machine = {
    appliedIndex: 10,
    appliedTerm: 3,
    apply: (index: number, term: number, _: Buffer, sink: OutcomeSink) => {
      for (const [at, outcome] of this.outcomes.entries()) sink(at, outcome, CommandKind.put);
      this.#machine.advance(index, term);
    },
    advance: (index: number, term: number): void => {
      this.#machine.appliedIndex = index;
      this.#machine.appliedTerm = term;
    },
    takeRows: () => [],
  };

  constructor() {
    const tell = (what: string) => (of: unknown) => {
      this.told.push(`${what} ${String(of)}`);
    };
    const parts = {
      raft: { configuration: configurationOf([MEMBER]), appliedTo: tell("raft") },
      current: { machine: this.#machine },
      hub: { publish: () => this.told.push("hub") },
      requests: { applied: () => undefined, termPassed: tell("term"), ran: tell("ran") },
      expiry: { granted: tell("granted"), ended: tell("ended") },
      stateWriter: { applied: () => this.told.push("rows"), flush: () => this.told.push("flush") },
      compactor: { requested: () => this.told.push("compact") },
      clock: { monotonicMs: () => 0 },
      meter: NO_METER,
    };
    this.applier = new Applier(parts as unknown as ApplierParts);
  }

  /** Applies one entry with these outcomes; whether members or alarms may be others. */
  apply(term: number, ...outcomes: Outcome[]): boolean {
    this.told.length = 0;
    this.outcomes = outcomes;
    const index = this.#machine.appliedIndex + 1;
    return this.applier.apply([entryOf(index, term)]);
  }
}

function entryOf(index: number, term: number): Entry {
  return { index, term, kind: "normal", payload: new Uint8Array(32) };
}

const revision = 7;

describe("an applied entry", () => {
  test("is told of in order: to Raft, to the watchers, to the store, to those who read", () => {
    const bench = new Bench();
    expect(bench.apply(3)).toBe(false);
    expect(bench.told).toEqual(["raft 11", "hub", "rows", "ran 11"]);
  });

  test("of a new term ends what was given to earlier leaders, once", () => {
    const bench = new Bench();
    bench.apply(4);
    expect(bench.told[0]).toBe("term 4");
    bench.apply(4);
    expect(bench.told).not.toContain("term 4");
  });

  test("with a compaction lets the store remove rows, after the watchers have seen them", () => {
    const bench = new Bench();
    bench.apply(3, { kind: "compact", revision, compactRevision: 5 });
    expect(bench.told).toEqual(["raft 11", "hub", "rows", "flush", "compact", "ran 11"]);
    bench.apply(3);
    expect(bench.told).not.toContain("compact");
  });

  test("tells the clock of leases that began or ended, and of nothing that failed", () => {
    const bench = new Bench();
    bench.apply(
      3,
      { kind: "leaseGrant", revision, id: 1n, ttlSeconds: 5 },
      new AetherError("lease_exists"),
      { kind: "leaseRevoke", revision, id: 2n },
      { kind: "leaseExpire", revision, ids: [3n, 4n] },
    );
    const leases = bench.told.filter((what) => /granted|ended/.test(what));
    expect(leases).toEqual(["granted 1", "ended 2", "ended 3", "ended 4"]);
  });

  test("with a member or an alarm says so, for that entry alone", () => {
    const bench = new Bench();
    expect(bench.apply(3, { kind: "member", revision, member: undefined })).toBe(true);
    expect(bench.apply(3)).toBe(false);
    expect(bench.apply(3, { kind: "alarm", revision, alarms: [] })).toBe(true);
    expect(bench.apply(3, new AetherError("member_exists"))).toBe(false);
  });
});

describe("news of the membership", () => {
  test("comes with members, alarms and configurations, also that a joint phase ended", () => {
    const { cluster, leader } = DrivenCluster.leading();
    const news = (act: () => void): number => {
      const before = leader.membershipNews;
      act();
      cluster.pass(ELECTION_MS);
      return leader.membershipNews - before;
    };
    expect(news(() => leader.put("a", "1"))).toBe(0);
    const self = { ID: leader.id, name: "one", clientURLs: ["http://c:2379"] };
    expect(news(() => leader.propose(CommandKind.memberPublish, encoded(Member, self)))).toBe(1);
    const alarm = { action: AlarmAction.ACTIVATE, memberID: leader.id, alarm: 1 };
    expect(news(() => leader.propose(CommandKind.alarm, encoded(AlarmRequest, alarm)))).toBe(1);
    expect(news(() => cluster.change(leader, "learn", 9))).toBe(1);
    const others = cluster.others(leader).filter(({ number }) => number !== 9);
    const steps = others.map(({ id }) => ({ action: "add-learner", id }) as const);
    const joint = news(() => {
      leader.group.proposeChange(
        { steps },
        CommandKind.memberPublish,
        encoded(Member, self),
        () => {},
      );
    });
    expect(leader.group.configuration.learners.length).toBe(3);
    expect(joint).toBe(2); // into the joint configuration, and out of it by itself
  });
});

describe("rows", () => {
  test("are handed to the store with the tick, not with each entry", () => {
    const driven = DrivenGroup.leading();
    expect(driven.stateDisk.current.appliedIndex).toBe(0);
    driven.put("a", "1");
    driven.put("a", "2");
    driven.settle();
    expect(driven.stateDisk.current.appliedIndex).toBe(0);
    driven.compact(2);
    driven.settle();
    const { appliedIndex } = driven.stateDisk.current;
    expect(appliedIndex).toBe(driven.group.appliedIndex);
    driven.put("a", "3");
    driven.settle();
    expect(driven.stateDisk.current.appliedIndex).toBe(appliedIndex);
    driven.tick();
    driven.settle();
    expect(driven.stateDisk.current.appliedIndex).toBe(driven.group.appliedIndex);
  });
});
