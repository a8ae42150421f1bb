/** The consistency check: what is asked, what is concluded, who leads. */
import { describe, expect, test } from "bun:test";
import { AlarmAction } from "../../src/proto/gen/etcdserverpb.ts";
import { configurationOf, EMPTY_CONFIGURATION } from "../../src/raft/membership/configuration.ts";
import { WHOLE_CLUSTER } from "../../src/state/alarms.ts";
import {
  failure,
  INTERVAL_MS,
  id,
  RETRY_MS,
  RIGHT,
  SELF,
  SOON_MS,
  TICK_MS,
  World,
  wrong,
} from "./driven-consistency.ts";

describe("a round", () => {
  test("begins soon after the election, and then at every interval", () => {
    const world = new World();
    world.pass(SOON_MS);
    expect(world.rounds).toBe(0);
    world.pass(TICK_MS);
    expect(world.rounds).toBe(1);
    world.pass(INTERVAL_MS - TICK_MS);
    expect(world.rounds).toBe(1);
    world.pass(2 * TICK_MS);
    expect(world.rounds).toBe(2);
    expect(world.alarmed).toEqual([]);
  });

  test("asks every other member, learners too, for the revision that was hashed here", () => {
    const world = new World({ voters: 3, learners: 1 }).firstRound();
    expect(world.asked.map(({ to, revision }) => [to, revision])).toEqual(
      [2, 3, 4].map((n) => [id(n), RIGHT.revision]),
    );
  });

  test("is one at a time, however long it takes", () => {
    const world = new World({ intervalMs: 1000 });
    world.holdsAnswers = true;
    world.pass(10_000);
    expect([world.rounds, world.asked.length]).toEqual([1, 2]);
    for (const { done } of world.asked) done(RIGHT);
    world.pass(1000);
    expect(world.rounds).toBe(1);
    world.pass(TICK_MS);
    expect(world.rounds).toBe(2);
  });

  test("is nobody's but a leader's that is ready", () => {
    const world = new World();
    world.group.isLeader = false;
    world.firstRound();
    world.group.isLeader = true;
    world.group.isReady = false;
    world.firstRound();
    expect(world.rounds).toBe(0);
  });

  test("is never begun where the interval is 0, or nobody else is there", () => {
    for (const world of [new World({ intervalMs: 0 }), new World({ voters: 1 })]) {
      world.pass(2 * SOON_MS);
      expect(world.rounds).toBe(0);
    }
  });

  test("is due soon after a compaction where that is asked for, and once for each", () => {
    const world = new World({ intervalMs: 0, compactedIntervalMs: 60_000 });
    world.pass(60_000);
    expect(world.rounds).toBe(0);
    world.pass(TICK_MS);
    expect(world.rounds).toBe(1);
    world.pass(600_000);
    expect(world.rounds).toBe(1);
    world.own = { ...RIGHT, revision: 70, compactRevision: 60 };
    for (const n of [2, 3]) world.answers.set(id(n), world.own);
    world.group.machine.compactRevision = 60;
    world.pass(50_000);
    expect(world.rounds).toBe(1);
    world.pass(10_000);
    expect(world.rounds).toBe(2);
    world.pass(600_000);
    expect(world.rounds).toBe(2);
  });

  test("waits while the configuration is a joint one", () => {
    const world = new World();
    const { configuration } = world.group;
    const joint = { ...EMPTY_CONFIGURATION, voters: [id(1)], votersOutgoing: [id(1), id(2)] };
    world.group.configuration = joint;
    world.firstRound();
    expect(world.rounds).toBe(0);
    world.group.configuration = configuration;
    world.pass(RETRY_MS);
    expect(world.rounds).toBe(1);
  });

  test("that cannot hash its own state is tried again", () => {
    const world = new World();
    world.own = failure("too_many_requests");
    world.firstRound();
    world.own = RIGHT;
    world.pass(RETRY_MS);
    expect([world.rounds, world.asked.length]).toEqual([2, 2]);
  });
});

describe("a majority that agrees", () => {
  test("finds nothing wrong with those who agree", () => {
    expect(new World().firstRound().alarmed).toEqual([]);
  });

  test("names the one that differs, at once and once", () => {
    const world = new World();
    world.answers.set(id(3), wrong());
    world.firstRound();
    expect(world.alarmed).toEqual([3n]);
    world.pass(2 * INTERVAL_MS);
    expect(world.group.proposed).toEqual([3n]);
    // It is not asked again either: what it holds is known.
    expect(world.asked.filter(({ to }) => to === id(3))).toHaveLength(1);
  });

  test("names all that differ, in whatever way, and learners", () => {
    const world = new World({ voters: 5, learners: 1 });
    world.answers.set(id(2), wrong(1));
    world.answers.set(id(4), wrong(2));
    world.answers.set(id(6), wrong(3));
    world.firstRound();
    expect(world.alarmed).toEqual([2n, 4n, 6n]);
  });

  test("needs no member that cannot be reached, and says which was not compared", () => {
    const world = new World({ voters: 5 });
    world.answers.set(id(2), failure("unhealthy"));
    world.answers.set(id(3), failure("timeout"));
    world.firstRound();
    expect(world.alarmed).toEqual([]);
    expect(world.text).toContain("not compared");
    world.answers.set(id(2), wrong());
    world.pass(INTERVAL_MS + TICK_MS);
    expect(world.alarmed).toEqual([2n]);
  });

  test("is one of the voters: learners make none", () => {
    const world = new World({ voters: 2, learners: 3 });
    world.answers.set(id(2), wrong());
    world.firstRound();
    expect(world.alarmed).toEqual([]);
  });

  test("counts whoever has an alarm already as one that does not agree", () => {
    const world = new World();
    world.answers.set(id(3), wrong());
    world.firstRound();
    world.asked.splice(0);
    world.answers.set(id(2), wrong());
    world.pass(INTERVAL_MS);
    expect(world.asked.map(({ to }) => to)).toEqual([id(2)]);
    world.pass(2 * RETRY_MS);
    expect(world.alarmed).toEqual([WHOLE_CLUSTER, 3n]);
  });

  test("an alarm that was cleared without cause is raised again", () => {
    const world = new World();
    world.answers.set(id(3), wrong());
    world.firstRound();
    world.group.raise(3n, AlarmAction.DEACTIVATE);
    world.pass(INTERVAL_MS);
    expect(world.group.proposed).toEqual([3n, 3n]);
  });

  test("an alarm that could not be raised is raised in another round, soon", () => {
    const world = new World();
    world.answers.set(id(3), wrong());
    world.group.proposalError = failure("timeout");
    world.firstRound();
    world.group.proposalError = undefined;
    world.pass(RETRY_MS);
    expect([world.group.proposed, world.alarmed]).toEqual([[3n, 3n], [3n]]);
    expect(world.text).toContain("not raised");
  });
});

describe("no majority", () => {
  test("stops all writes, when it is so three times in a row", () => {
    for (const voters of [2, 4]) {
      const world = new World({ voters });
      for (let n = voters / 2 + 1; n <= voters; n++) world.answers.set(id(n), wrong());
      world.firstRound();
      world.pass(RETRY_MS);
      expect([world.rounds, world.alarmed]).toEqual([2, []]);
      world.pass(RETRY_MS);
      expect([world.rounds, world.alarmed]).toEqual([3, [WHOLE_CLUSTER]]);
      world.pass(INTERVAL_MS - RETRY_MS);
      expect(world.rounds).toBe(3);
      world.pass(4 * RETRY_MS);
      expect([world.rounds, world.group.proposed]).toEqual([6, [WHOLE_CLUSTER]]);
    }
  });

  test("stops nothing if one that was away comes back and decides it", () => {
    const world = new World();
    world.answers.set(id(2), wrong());
    world.answers.set(id(3), failure("unhealthy"));
    world.firstRound().pass(RETRY_MS);
    world.answers.delete(id(3));
    world.pass(RETRY_MS);
    expect([world.rounds, world.alarmed]).toEqual([3, [2n]]);
  });

  test("has to be there in rounds that follow each other", () => {
    const world = new World({ voters: 2 });
    world.answers.set(id(2), wrong());
    world.firstRound().pass(RETRY_MS);
    world.answers.delete(id(2));
    world.pass(RETRY_MS);
    world.answers.set(id(2), wrong());
    world.pass(INTERVAL_MS + RETRY_MS);
    expect(world.alarmed).toEqual([]);
    world.pass(RETRY_MS);
    expect(world.alarmed).toEqual([WHOLE_CLUSTER]);
  });

  test("goes on looking, and names the wrong one once there is a majority", () => {
    const world = new World();
    world.answers.set(id(2), wrong());
    world.answers.set(id(3), failure("unhealthy"));
    world.firstRound().pass(2 * RETRY_MS);
    world.answers.delete(id(3));
    world.pass(INTERVAL_MS);
    expect(world.alarmed).toEqual([WHOLE_CLUSTER, 2n]);
  });
});

describe("a leader that is wrong", () => {
  test("says so of itself alone, and hands leadership over to the best of the others", () => {
    const world = new World({ voters: 5 });
    world.own = wrong();
    world.answers.set(id(5), wrong(7));
    world.firstRound();
    expect(world.alarmed).toEqual([1n]);
    world.pass(TICK_MS);
    expect(world.group.transfers).toEqual([id(5)]);
    expect(world.rounds).toBe(1);
  });

  test("hands over to nobody that is corrupt, away or a learner, and asks not too often", () => {
    const world = new World({ voters: 5, learners: 1 });
    for (const n of [1n, 5n]) world.group.raise(n);
    world.group.away.add(id(4));
    world.pass(TICK_MS);
    expect(world.group.transfers).toEqual([id(3)]);
    world.pass(RETRY_MS - TICK_MS);
    expect(world.group.transfers).toEqual([id(3)]);
    world.group.away.clear();
    world.pass(TICK_MS);
    expect(world.group.transfers).toEqual([id(3), id(4)]);
    expect(world.rounds).toBe(0);
  });

  test("does so at once when it is elected again, and leads on if there is nobody else", () => {
    const world = new World();
    world.group.raise(1n);
    for (const n of [2, 3]) world.group.away.add(id(n));
    world.pass(1000);
    expect(world.group.transfers).toEqual([]);
    expect(world.text).toContain("nobody to hand leadership over to");
    world.group.isLeader = false;
    world.group.away.clear();
    world.pass(TICK_MS);
    expect(world.group.transfers).toEqual([]);
    world.group.isLeader = true;
    world.group.term++;
    world.pass(TICK_MS);
    expect(world.group.transfers).toEqual([id(3)]);
  });

  test("stays the leader where the alarm is another's, or everybody's", () => {
    const world = new World();
    for (const n of [WHOLE_CLUSTER, 2n]) world.group.raise(n);
    world.firstRound();
    expect(world.group.transfers).toEqual([]);
  });
});

describe("compactions in between", () => {
  const behind = { ...RIGHT, hash: 5, compactRevision: RIGHT.compactRevision - 5 };
  const ahead = { ...RIGHT, hash: 5, compactRevision: RIGHT.compactRevision + 5 };

  test("prove nothing: states are compared again", () => {
    for (const answer of [ahead, failure("compacted")]) {
      const world = new World();
      world.holdsAnswers = true;
      world.firstRound();
      world.group.machine.compactRevision = RIGHT.revision + 1;
      for (const { to, done } of world.asked) done(to === id(2) ? answer : RIGHT);
      world.holdsAnswers = false;
      expect(world.alarmed).toEqual([]);
      world.own = { ...RIGHT, compactRevision: RIGHT.revision + 1 };
      for (const n of [2, 3]) world.answers.set(id(n), world.own);
      world.pass(RETRY_MS + TICK_MS);
      expect([world.rounds, world.alarmed]).toEqual([2, []]);
      world.pass(INTERVAL_MS - TICK_MS);
      expect(world.rounds).toBe(2);
    }
  });

  test("are left to the next interval after five rounds", () => {
    const world = new World();
    world.group.machine.compactRevision = ahead.compactRevision;
    world.answers.set(id(2), ahead);
    world.pass(SOON_MS + 20 * RETRY_MS);
    expect([world.rounds, world.alarmed]).toEqual([5, []]);
  });

  test("that only one of them has are a difference: our state is newer than each answer", () => {
    for (const answer of [ahead, behind, failure("compacted")]) {
      const world = new World();
      world.answers.set(id(2), answer);
      world.firstRound();
      expect(world.alarmed).toEqual([2n]);
    }
  });

  test("a state that lacks the revision differs", () => {
    const world = new World();
    world.answers.set(id(2), { ...RIGHT, revision: RIGHT.revision - 1 });
    world.firstRound();
    expect(world.alarmed).toEqual([2n]);
    const alone = new World();
    alone.own = { ...RIGHT, hash: 9, revision: RIGHT.revision + 1 };
    alone.firstRound();
    expect(alone.alarmed).toEqual([1n]);
  });
});

describe("leadership lost in the middle", () => {
  test("ends the round wherever it was, without a word", () => {
    for (const where of ["own", "answers", "read"] as const) {
      const world = new World();
      world.answers.set(id(3), wrong());
      world.holdsOwn = where === "own";
      world.holdsAnswers = where === "answers";
      world.group.holdsReads = where === "read";
      world.firstRound();
      world.group.term++; // deposed and elected again between two ticks
      expect(world.hashing.map(({ isWanted }) => isWanted())).not.toContain(true);
      for (const { done } of world.hashing.splice(0)) done(RIGHT);
      for (const { to, done } of world.asked.splice(0)) {
        if (where === "answers") done(world.answers.get(to) ?? RIGHT);
      }
      for (const done of world.group.reads.splice(0)) done(undefined);
      expect([where, world.alarmed, world.lines]).toEqual([where, [], []]);
      expect(world.asked).toEqual([]);
      world.holdsOwn = false;
      world.holdsAnswers = false;
      world.group.holdsReads = false;
      world.firstRound();
      expect([where, world.rounds, world.alarmed]).toEqual([where, 2, [3n]]);
    }
  });

  test("answers that come to a follower, or to the next round, count for nothing", () => {
    const world = new World();
    world.holdsAnswers = true;
    world.firstRound();
    const late = world.asked.splice(0);
    world.group.isLeader = false;
    world.pass(TICK_MS);
    world.group.isLeader = true;
    world.firstRound();
    for (const { done } of late) done(wrong());
    for (const { done } of late) done(wrong());
    expect(world.alarmed).toEqual([]);
    for (const { done } of world.asked) done(RIGHT);
    expect(world.alarmed).toEqual([]);
  });

  test("a read that is not confirmed ends it, and the next round is soon", () => {
    const world = new World();
    world.answers.set(id(3), wrong());
    world.group.holdsReads = true;
    world.firstRound();
    world.group.holdsReads = false;
    for (const done of world.group.reads.splice(0)) done(failure("timeout"));
    expect(world.alarmed).toEqual([]);
    world.pass(RETRY_MS + TICK_MS);
    expect(world.alarmed).toEqual([3n]);
  });

  test("a stop ends it too", () => {
    const world = new World();
    world.holdsOwn = true;
    world.firstRound();
    world.consistency.stop();
    expect(world.hashing[0]?.isWanted()).toBe(false);
    world.hashing[0]?.done(RIGHT);
    world.pass(2 * INTERVAL_MS);
    expect([world.rounds, world.asked.length]).toEqual([1, 0]);
  });
});

describe("members that come and go, and states that are replaced", () => {
  test("a snapshot installed in the middle: the one that was replaced was not compared", () => {
    const world = new World();
    world.answers.set(id(2), failure("leader_changed"));
    world.firstRound();
    expect(world.alarmed).toEqual([]);
    expect(world.text).toContain("m2 (2)");
    world.pass(INTERVAL_MS);
    expect(world.rounds).toBe(2);
  });

  test("who is removed while it is asked counts no more", () => {
    const world = new World({ voters: 4 });
    world.holdsAnswers = true;
    world.firstRound();
    world.group.configuration = configurationOf([id(1), id(2), id(3)]);
    for (const { to, done } of world.asked) done(to === id(2) ? RIGHT : wrong());
    expect(world.alarmed).toEqual([3n]);
  });

  test("nobody may be left to be asked when the own hash is there", () => {
    const world = new World({ voters: 2 });
    world.holdsOwn = true;
    world.firstRound();
    world.group.configuration = configurationOf([SELF]);
    for (const { done } of world.hashing.splice(0)) done(RIGHT);
    world.holdsOwn = false;
    world.group.configuration = configurationOf([SELF, id(2)]);
    world.pass(INTERVAL_MS);
    expect(world.rounds).toBe(2);
  });
});

describe("an alarm", () => {
  test("is told at every member, once, with the way out", () => {
    const world = new World();
    world.group.isLeader = false;
    world.group.raise(3n);
    world.pass(1000);
    expect(world.lines).toHaveLength(1);
    expect(world.text).toContain("member m3 (3) holds another state");
    expect(world.text).toContain("member remove 3, then");
    expect(world.text).toContain("member add m3 --peer-urls=http://m3:1,");
    world.group.raise(1n);
    world.pass(1000);
    expect(world.lines).toHaveLength(2);
    expect(world.lines[1]).toContain("this member holds another state");
    world.group.raise(WHOLE_CLUSTER);
    world.pass(1000);
    expect(world.lines[2]).toContain("no majority agrees");
  });

  test("is told again when it comes back", () => {
    const world = new World();
    world.group.isLeader = false;
    for (const action of [AlarmAction.ACTIVATE, AlarmAction.DEACTIVATE, AlarmAction.ACTIVATE]) {
      world.group.raise(3n, action);
      world.pass(TICK_MS);
    }
    expect(world.lines).toHaveLength(2);
  });
});
