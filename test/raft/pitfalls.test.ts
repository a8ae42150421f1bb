/**
 * The pitfalls of Raft that have cost others data, numbered as in our collection; each that
 * concerns the core has its test here. 6d, 8 (leases of keys), 12 (apply once) and what concerns
 * the driver of 10, 11, 14, 15 and 16 (fsync) are in test/node/pitfalls.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import { founding } from "../../src/raft/restore.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import { Cluster, member } from "./cluster.ts";
import { DiskLog } from "./disk-log.ts";
import { tell } from "./story.ts";

const ONE = member(1);

function normal(index: number, term: number): Entry {
  return { index, term, kind: "normal", payload: Buffer.from(`${index}/${term}`) };
}

function opened(disk: DiskLog, appliedIndex = 1): Raft {
  return new Raft({ id: ONE, random: new Prng(1) }, disk.restored(appliedIndex), disk);
}

function diskOf(voters: readonly number[], entries: readonly Entry[] = [], term = 1): DiskLog {
  const disk = new DiskLog();
  const { snapshot } = founding(configurationOf(voters.map(member)));
  disk.write({ hardState: { term, vote: 0n, commit: 1 }, snapshot, entries });
  return disk;
}

describe("1: commit only entries of the own term by counting", () => {
  test("an old entry on every member is committed only with the no-op after it", () => {
    tell(
      `nodes 3; disk 1 term=2 log=2,2; disk 2 term=2 log=2,2; disk 3 term=2 log=2,2
       campaign 1; drain 1; deliver vote; drain 2; drain 3; deliver vote-response; turn 1
       inject append-response 2>1 term=3 index=3; inject append-response 3>1 term=3 index=3; show 1
       inject append-response 2>1 term=3 index=4; show 1`,
      `1 leader term=3 commit=1 last=4/3 (1 2 3)
       1 leader term=3 commit=4 last=4/3 applied=1 (1 2 3)`,
    );
  });
});

describe("2: term and vote are durable before any reply of the term", () => {
  test("no answer leaves while the write is under way", () => {
    const disk = diskOf([1, 2, 3]);
    const raft = opened(disk);
    const from = member(2);
    const ask = { from, to: ONE, term: 2, lastIndex: 1, lastTerm: 1, force: false } as const;
    raft.step({ type: "vote", ...ask });
    const ready = raft.ready();
    expect(ready.persist.hardState).toEqual({ term: 2, vote: from, commit: 1 });
    expect(ready.persist.mustSync).toBe(true);
    expect(ready.sendNow).toEqual([]);
    expect(ready.sendAfterSync.length).toBe(1);
  });

  test("term, vote, cut and new entries are one write", () => {
    const disk = diskOf([1, 2, 3], [normal(2, 1), normal(3, 1)]);
    const raft = opened(disk);
    const [from, commit] = [member(2), 1];
    const after = { prevIndex: 2, prevTerm: 1, commit, entries: [normal(3, 5)] };
    raft.step({ type: "append", from, to: ONE, term: 5, ...after });
    const { persist } = raft.ready();
    expect(persist.hardState).toEqual({ term: 5, vote: 0n, commit: 1 });
    expect(persist.entries.map(({ index, term }) => `${index}/${term}`)).toEqual(["3/5"]);
  });

  test("a crash between leaves one vote, not two", () => {
    tell(
      `nodes 3; hold 3 writes; campaign 1; drain 1; deliver vote 1>3; drain 3; network
       crash 3; restart 3; lose vote; campaign 2; drain 2; deliver vote 2>3; drain 3; network`,
      `1>2 vote term=2 last=1/1
       2>1 vote term=2 last=1/1
       3>2 vote-response term=2 granted`,
    );
  });
});

describe("3: the end of a write counts only for what that write wrote", () => {
  test("an entry overwritten and written back is durable after its last write (ABA)", () => {
    const disk = diskOf([1, 2, 3]);
    const raft = opened(disk);
    const append = (from: number, term: number, prev: [number, number], entry: Entry): void =>
      raft.step({
        type: "append",
        from: member(from),
        to: ONE,
        term,
        prevIndex: prev[0],
        prevTerm: prev[1],
        commit: 1,
        entries: [entry],
      });
    append(2, 2, [1, 1], normal(2, 2));
    const first = raft.ready().persist;
    append(3, 3, [1, 1], normal(2, 3));
    const second = raft.ready().persist;
    append(2, 4, [1, 1], normal(2, 2));
    const third = raft.ready().persist;
    expect([first.ack.index, first.ack.term]).toEqual([third.ack.index, third.ack.term]);
    raft.written(first.ack);
    expect(raft.durable).toBe(1);
    raft.written(second.ack);
    expect(raft.durable).toBe(1);
    raft.written(third.ack);
    expect(raft.durable).toBe(2);
    raft.verify();
  });

  test("a snapshot that replaces the log makes the writes under way prove nothing", () => {
    const raft = opened(diskOf([1, 2, 3]));
    const from = member(2);
    const entries = [normal(2, 2), normal(3, 2), normal(4, 2), normal(5, 2)];
    const after = { prevIndex: 1, prevTerm: 1, commit: 1, entries };
    raft.step({ type: "append", from, to: ONE, term: 2, ...after });
    const long = raft.ready().persist;
    const meta = { index: 3, term: 3, configuration: configurationOf([1, 2, 3].map(member)) };
    raft.step({ type: "snapshot", from: member(3), to: ONE, term: 3, meta });
    const short = raft.ready().persist;
    raft.written(long.ack);
    expect(raft.durable).toBe(3);
    expect(raft.lastIndex).toBe(3);
    raft.written(short.ack);
    raft.verify();
  });

  test("entries are handed out only when they are durable here", () => {
    tell(
      `nodes 3; campaign 1; settle; hold 3 writes; propose 1 a; settle; tick 1 x2; show 3
       release 3; settle; show 3`,
      `3 follower term=2 of=1 commit=3 last=3/2 applied=2 (1 2 3)
       3 follower term=2 of=1 commit=3 last=3/2 (1 2 3)`,
    );
  });
});

describe("4: appends cut the log only where it differs", () => {
  test("a late, shorter append leaves what came after it", () => {
    tell(
      `nodes 3; campaign 1; settle; cut 3; propose 1 a b; drain 1; deliver append 1>2; drain 2
       inject append 1>2 term=2 prevIndex=2 prevTerm=2 entries=3/2
       inject append 1>2 term=2 prevIndex=2 prevTerm=2
       show 2`,
      "2 follower term=2 of=1 commit=2 last=4/2 (1 2 3)",
    );
  });

  test("an append from before the compacted prefix is answered, not a crash", () => {
    tell(
      `nodes 3; campaign 1; settle; propose 1 a b c; settle; compact 2 to 4
       inject append 1>2 term=2 prevIndex=2 prevTerm=2 entries=3/2,4/2,5/2; drain 2; network
       inject append 1>2 term=2 prevIndex=0 prevTerm=0 entries=1/1; drain 2; show 2`,
      `2>1 append-response term=2 index=5
       2 follower term=2 of=1 commit=5 last=5/2 (1 2 3)`,
    );
  });
});

describe("4: what is committed is never cut off", () => {
  test("an append that contradicts it is answered with how far we are, and not looked at", () => {
    tell(
      `nodes 3; campaign 1; settle; propose 1 a b; settle
       inject append 2>3 term=9 prevIndex=2 prevTerm=2 entries=3/9; drain 3; network; show 3`,
      `3>2 append-response term=9 index=4
       3 follower term=9 of=2 commit=4 last=4/2 (1 2 3)`,
    );
  });
});

describe("5: one change of the membership at a time, and it counts when applied", () => {
  test("a new leader proposes none before it has committed in its term", () => {
    tell(
      `nodes 3; campaign 1; settle; cut 1; join 4
       campaign 2; drain 2; deliver vote; drain 3; deliver vote-response; drain 2; change 2 +4`,
      "change 2 +4: unhealthy: an earlier entry or change is not applied yet",
    );
  });

  test("nobody campaigns on a committed change it has not applied", () => {
    tell(
      `nodes 3; campaign 1; settle; hold 2 apply; join 4; change 1 +4; settle; crash 1; campaign 2
       release 2; campaign 2; show 2`,
      `2 does not campaign
       2 candidate term=3 commit=3 last=3/2 (1 2 3 4)`,
    );
  });

  test("a change that two members applied differently far moves no quorum twice", () => {
    // 1 appends (1 2 3 4) and is cut off; 2 takes 3 away. The bug needs both to commit.
    tell(
      `nodes 3; join 4; campaign 1; settle; cut 1; change 1 +4; settle
       campaign 2; settle; change 2 -3; settle; show 1 2; heal; cut 2; tick 1 x3; show 1`,
      `1 leader term=2 commit=2 last=3/2 (1 2 3)
       2 leader term=3 commit=4 last=4/3 (1 2)
       1 follower term=3 commit=2 last=3/2 (1 2 3)`,
    );
  });
});

describe("5: more than one voter at once, and the end of a leader of two", () => {
  test("a change of two voters goes through a joint configuration, never directly", () => {
    tell(
      `nodes 3; campaign 1; settle; join 4; join 5; hold 1 apply; change 1 +4 +5; settle; apply 1
       show 1; release 1; settle; show 1`,
      `1 leader term=2 commit=3 last=4/2 (1 2 3 4 5)&(1 2 3) auto
       1 leader term=2 commit=4 last=4/2 (1 2 3 4 5)`,
    );
  });

  test("of two, the one that is left is not stuck with a vote it cannot get", () => {
    tell(
      `nodes 2 election=5; campaign 1; settle; change 1 -1; settle; tick 1 2; settle; crash 1
       tick 2 x12; settle; show 2`,
      "2 leader term=3 commit=4 last=4/3 (2)",
    );
  });
});

describe("6: reads by index", () => {
  test("(a) wait for the first commit of the own term", () => {
    tell(
      `nodes 3; campaign 1; settle; propose 1 x; settle; cut 1
       campaign 2; drain 2; deliver vote; drain 3; deliver vote-response; drain 2
       read 2 r; tick 2; drain 2; deliver heartbeat; drain 3; deliver heartbeat-response; reads
       settle; reads`,
      "2 grants r at 4",
    );
  });

  test("(b) an answer to an older round confirms no newer read", () => {
    tell(
      `nodes 3; campaign 1; settle; read 1 a; turn 1; deliver heartbeat 1>2; drain 2; lose heartbeat
       read 1 b; turn 1; deliver heartbeat-response; drain 1; reads; settle; reads`,
      `1 grants a at 2
       1 grants b at 2`,
    );
  });

  test("(c) an answer from a former leader, or to a former start of ours, is dropped", () => {
    tell(
      `nodes 3; campaign 1; settle; read 3 r; turn 3
       inject read-index-response 2>3 term=2 sequence=1 index=2
       inject read-index-response 1>3 term=2 sequence=1 index=2; dropped 3; reads; settle; reads`,
      `3 dropped not-the-leader=1 stale=1
       3 grants r at 2`,
    );
  });

  test("(e) one round serves every read that waits", () => {
    tell(
      "nodes 3; campaign 1; settle; read 1 a b c d; turn 1; network; settle; reads",
      `1>2 heartbeat term=2 commit=2 round=1
       1>3 heartbeat term=2 commit=2 round=1
       1 grants a at 2
       1 grants b at 2
       1 grants c at 2
       1 grants d at 2`,
    );
  });
});

describe("7: leases of the leader", () => {
  test("need the check of the quorum, and are off unless asked for", () => {
    const lease = { tickMs: 100, driftPercentMax: 1 };
    const options = { id: ONE, random: new Prng(1), checkQuorum: false, lease };
    expect(() => new Raft(options, {}, new DiskLog())).toThrow("lease needs checkQuorum");
    tell("nodes 3 checkquorum; campaign 1; settle; tick 1; settle; now 1", "1 reads at -1");
  });

  test("compare against the clock of the question, so a pause ends them", () => {
    const cluster = new Cluster({
      electionTicks: 10,
      lease: { tickMs: 100, driftPercentMax: 0 },
    });
    cluster.found([1, 2, 3]);
    const { raft } = cluster.node(1);
    raft.tick(1000);
    raft.campaign();
    cluster.settle();
    raft.tick(1100);
    cluster.settle();
    expect(raft.readNow(1100 + 899)).toBe(2);
    expect(raft.readNow(1100 + 900)).toBe(-1); // stopped by SIGSTOP, say, without a tick meanwhile
    expect(raft.readNow(1099)).toBe(-1); // the clock went back: nothing is known
  });

  test("shrink by the drift the clocks are allowed", () => {
    const lease = { tickMs: 100, driftPercentMax: 10 };
    const cluster = new Cluster({ electionTicks: 10, lease });
    cluster.found([1, 2, 3]);
    const { raft } = cluster.node(1);
    raft.campaign();
    cluster.settle();
    raft.tick(100);
    cluster.settle();
    expect(raft.readNow(100 + 719)).toBe(2);
    expect(raft.readNow(100 + 720)).toBe(-1);
  });
});

describe("9: pre-votes together with the check of the quorum", () => {
  test("a member stuck at a higher term is pulled in", () => {
    tell(
      `nodes 3 prevote checkquorum election=5; disk 3 term=9 log= ; campaign 1; settle
       show 3; tick 1 2 3 x15; show`,
      `3 follower term=9 commit=1 last=1/1 (1 2 3)
       1 follower term=10 of=3 commit=2 last=2/10 (1 2 3)
       2 follower term=10 of=3 commit=2 last=2/10 (1 2 3)
       3 leader term=10 commit=2 last=2/10 (1 2 3)`,
    );
  });

  test("a pre-vote raises nobody's term", () => {
    tell(
      `nodes 3 prevote; campaign 1; settle; inject pre-vote 3>2 term=50 lastIndex=0 lastTerm=0
       inject pre-vote 3>1 term=50 lastIndex=9 lastTerm=9; drain 1; show 1 2`,
      `1 leader term=2 commit=2 last=2/2 (1 2 3)
       2 follower term=2 of=1 commit=2 last=2/2 (1 2 3)`,
    );
  });

  test("the leader's own wish passes loyal voters", () => {
    tell(
      `nodes 3 prevote checkquorum; campaign 1; settle; transfer 1 to 2; settle; show 2
       inject vote 3>1 term=9 lastIndex=9 lastTerm=9
       inject vote 3>2 term=9 lastIndex=9 lastTerm=9; settle; show`,
      `2 leader term=3 commit=3 last=3/3 (1 2 3)
       1 follower term=3 of=2 commit=3 last=3/3 (1 2 3)
       2 leader term=3 commit=3 last=3/3 (1 2 3)
       3 follower term=3 of=2 commit=3 last=3/3 (1 2 3)`,
    );
  });
});

describe("9: who must not disturb, and who must be heard", () => {
  test("a removed member that does not know it deposes nobody", () => {
    tell(
      `nodes 4 prevote checkquorum; campaign 1; settle; cut 4; change 1 -4; settle
       tick 4 x20; heal; tick 1 2 3 4 x20; show 1 4`,
      `1 leader term=2 commit=3 last=3/2 (1 2 3)
       4 pre-candidate term=2 commit=2 last=2/2 (1 2 3 4)`,
    );
  });

  test("with one link broken, the group stays with its leader (Cloudflare 2020)", () => {
    tell(
      `nodes 3 prevote checkquorum; campaign 1; settle; cut 1>2; cut 2>1
       tick 1 2 3 x40; show`,
      `1 leader term=2 commit=2 last=2/2 (1 2 3)
       2 pre-candidate term=2 commit=2 last=2/2 (1 2 3)
       3 follower term=2 of=1 commit=2 last=2/2 (1 2 3)`,
    );
  });

  test("one that stood before pre-votes were turned on blocks nobody (etcd 8525)", () => {
    tell(
      `nodes 3 prevote; disk 3 term=7 log= ; campaign 1; settle; crash 2; tick 1 3 x20
       settle; show 1 3`,
      `1 leader term=8 commit=2 last=2/8 (1 2 3)
       3 follower term=8 of=1 commit=2 last=2/8 (1 2 3)`,
    );
  });
});

describe("10: learners", () => {
  test("do not campaign, also when told to", () => {
    tell(
      `learner-founded 3; campaign 1; settle; campaign 3; inject timeout-now 1>3 term=2; show 3
       transfer 1 to 3`,
      `3 does not campaign
       3 follower term=2 of=1 commit=2 last=2/2 (1 2) learners=(3)
       transfer 1 to 3: invalid_argument: member 3 does not vote`,
    );
  });

  test("vote if asked", () => {
    tell(
      `learner-founded 3; campaign 1; settle; cut 1
       inject vote 2>3 term=3 lastIndex=2 lastTerm=2; drain 3; network`,
      "3>2 vote-response term=3 granted",
    );
  });

  test("are not counted when they answer a candidate that does not know them as voters", () => {
    tell(
      `learner-founded 3; campaign 1; cut 2; drain 1; inject vote-response 3>1 term=2 granted=true
       show 1; dropped 1`,
      `1 candidate term=2 commit=1 last=1/1 (1 2) learners=(3)
       1 dropped unknown-sender=1`,
    );
  });
});

describe("11: snapshots", () => {
  test("behind what is committed are refused", () => {
    tell(
      `nodes 3; campaign 1; settle; propose 1 a b; settle
       inject snapshot 1>3 term=2 meta=4/2:1.2.3
       inject snapshot 1>3 term=2 meta=3/2:1.2.3; drain 3; network; show 3`,
      `3>1 append-response term=2 index=4
       3>1 append-response term=2 index=4
       3 follower term=2 of=1 commit=4 last=4/2 (1 2 3)`,
    );
  });

  test("reset the log in the write that carries them, entries after them included", () => {
    const raft = opened(diskOf([1, 2, 3], [normal(2, 1), normal(3, 1)]));
    const meta = { index: 9, term: 4, configuration: configurationOf([1, 2, 5].map(member)) };
    const from = member(2);
    raft.step({ type: "snapshot", from, to: ONE, term: 5, meta });
    const after = { prevIndex: 9, prevTerm: 4, commit: 10, entries: [normal(10, 5)] };
    raft.step({ type: "append", from, to: ONE, term: 5, ...after });
    const ready = raft.ready();
    expect(ready.persist.snapshot).toEqual(meta);
    expect(ready.persist.entries.map((entry) => entry.index)).toEqual([10]);
    expect(ready.persist.hardState).toEqual({ term: 5, vote: 0n, commit: 10 });
    expect(ready.committed).toEqual([]); // nothing after it before it is installed
    expect(raft.campaign()).toBe(false);
    raft.written(ready.persist.ack);
    expect(raft.ready().committed.map((entry) => entry.index)).toEqual([10]);
    expect(raft.configuration.voters).toEqual([1, 2, 5].map(member));
  });

  test("of a joint configuration carry both halves", () => {
    const cluster = new Cluster({ electionTicks: 50 });
    cluster.found([1, 2, 3]);
    const { raft } = cluster.node(1);
    raft.campaign();
    cluster.settle();
    const steps = [{ action: "remove", id: member(3) }] as const;
    const context = new Uint8Array(0);
    raft.proposeConfiguration({ transition: "joint-manual", steps, context });
    cluster.settle();
    expect(raft.snapshotAt(raft.applied).configuration).toEqual({
      ...configurationOf([1, 2].map(member)),
      votersOutgoing: [1, 2, 3].map(member),
    });
    expect(raft.snapshotAt(raft.applied - 1).configuration.votersOutgoing).toEqual([]);
    expect(() => raft.snapshotAt(raft.applied + 1)).toThrow("compacted");
  });
});

describe("13: bounds", () => {
  test("proposals beyond the uncommitted bytes are refused, a single large one is not", () => {
    tell(
      `nodes 3 uncommitted=100; campaign 1; settle; cut 1
       propose 1 ${"x".repeat(500)}; propose 1 y`,
      "propose 1 y: too_many_requests: 564 bytes wait to be committed",
    );
  });

  test("a follower that does not answer holds back nobody else", () => {
    tell(
      `nodes 3 inflight=2; campaign 1; settle; cut 3
       propose 1 a; settle; propose 1 b; settle; propose 1 c; settle; peers 1; show 1`,
      `1 on 2: replicate match=5 next=6
       1 on 3: replicate match=2 next=5 paused inflight=2
       1 leader term=2 commit=5 last=5/2 (1 2 3)`,
    );
  });

  test("reads beyond their bound are refused", () => {
    const cluster = new Cluster({ readsWaitingMax: 2 });
    cluster.found([1, 2, 3]);
    const { raft } = cluster.node(1);
    raft.campaign();
    cluster.settle();
    for (const id of [1, 2, 3]) cluster.checker.askedRead(id);
    raft.readIndex(1);
    raft.readIndex(2);
    expect(() => raft.readIndex(3)).toThrow("too_many_requests");
    cluster.settle();
    raft.readIndex(3);
  });

  test("memory keeps recent entries within its bound, and the disk is read for older ones", () => {
    const cluster = new Cluster({ tailBytesMax: 1000, electionTicks: 50 });
    cluster.found([1, 2]);
    const [one, two] = [cluster.node(1), cluster.node(2)];
    one.raft.campaign();
    cluster.settle();
    cluster.isolate(two.id);
    const before = one.disk.readCount;
    for (let i = 0; i < 8; i++) one.raft.propose(new Uint8Array(10));
    cluster.settle();
    expect(one.disk.readCount).toBe(before);
    for (let i = 0; i < 100; i++) one.raft.propose(new Uint8Array(100));
    cluster.settle();
    cluster.heal();
    one.raft.tick();
    cluster.settle();
    expect(one.disk.readCount).toBeGreaterThan(before);
    expect(two.raft.committed).toBe(one.raft.committed);
  });

  test("committed entries wait while too much is being applied", () => {
    const disk = diskOf([1]);
    const options = { id: ONE, random: new Prng(1), committedBytesMax: 150, applyingBytesMax: 200 };
    const raft = new Raft(options, disk.restored(1), disk);
    raft.campaign();
    const write = (): readonly Entry[] => {
      const { persist, committed } = raft.ready();
      disk.write(persist);
      if (persist.mustSync) raft.written(persist.ack);
      return committed;
    };
    write();
    for (let i = 0; i < 6; i++) raft.propose(new Uint8Array(10));
    write();
    const handed: number[] = [];
    for (let i = 0; i < 5; i++) handed.push(...write().map((entry) => entry.index));
    expect(handed).toEqual([2, 3, 4, 5]); // two by two, until 200 bytes are under way
    expect(raft.hasReady()).toBe(false);
    raft.appliedTo(3);
    expect(raft.hasReady()).toBe(true);
    expect(write().map((entry) => entry.index)).toEqual([6, 7]);
  });
});

describe("14: a log that contradicts itself is refused at the start", () => {
  const cases: readonly (readonly [what: string, spoil: (disk: DiskLog) => number])[] = [
    ["committed entries are missing", (disk) => commitOf(disk, 9)],
    ["applied entries are missing", () => 9],
    ["entries are missing after the snapshot", (disk) => gapOf(disk)],
    ["the term is behind the log", (disk) => termOf(disk, 1)],
  ];
  for (const [what, spoil] of cases) {
    test(what, () => {
      const disk = diskOf([1, 2, 3], [normal(2, 2), normal(3, 2)], 2);
      const applied = spoil(disk);
      expect(() => opened(disk, applied)).toThrow("corrupt");
    });
  }

  function commitOf(disk: DiskLog, commit: number): number {
    disk.hardState = { term: 2, vote: 0n, commit };
    return 1;
  }

  function termOf(disk: DiskLog, term: number): number {
    disk.hardState = { term, vote: 0n, commit: 1 };
    return 1;
  }

  function gapOf(disk: DiskLog): number {
    const reader = disk.restored(1).snapshot;
    if (reader !== undefined) disk.snapshot = { ...reader, index: 5 };
    const stale = disk.snapshot;
    Object.defineProperty(disk, "firstIndex", { get: () => 9 });
    disk.snapshot = stale;
    return 5;
  }
});

describe("15: messages name whom they are for", () => {
  test("another member's messages are dropped", () => {
    const raft = opened(diskOf([1, 2, 3]));
    const to = 3n as MemberId;
    raft.step({ type: "timeout-now", from: member(2), to, term: 7 });
    expect(raft.term).toBe(1);
    expect(raft.dropped["wrong-recipient"]).toBe(1);
  });
});
