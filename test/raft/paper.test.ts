/**
 * Sentences of "In Search of an Understandable Consensus Algorithm (Extended Version)" (Ongaro and
 * Ousterhout, 2014; §) and of Ongaro's thesis (2014; "thesis §"), each with the test that holds us
 * to it. The figures are in scenarios/.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { Role } from "../../src/raft/types.ts";
import { DiskLog } from "./disk-log.ts";
import { entry, member, One } from "./one.ts";

function inRole(role: Role): One {
  const one = new One({ options: { preVote: role === "pre-candidate" } });
  if (role === "leader") one.lead();
  else if (role !== "follower") one.raft.campaign();
  one.take();
  expect(one.raft.role).toBe(role);
  return one;
}

describe("§5.1 terms", () => {
  for (const role of ["follower", "pre-candidate", "candidate", "leader"] as const) {
    test(`a ${role} that discovers a larger term takes it and becomes a follower`, () => {
      const one = inRole(role);
      one.hear({ type: "append-response", from: 2, term: 9, index: 0 });
      expect([one.raft.role, one.raft.term, one.raft.leader]).toEqual(["follower", 9, member(0)]);
      expect(one.disk.hardState).toEqual({ term: 9, vote: 0n, commit: one.raft.committed });
    });

    test(`a ${role} rejects a request with a stale term`, () => {
      const one = inRole(role);
      one.hear({ type: "append-response", from: 2, term: 9, index: 0 });
      const append = { type: "append", from: 2, term: 8, prevIndex: 1, prevTerm: 1 } as const;
      const told = ["1>2 append-response term=9 index=0"];
      expect(one.hear({ ...append, entries: [entry(2, 8)] })).toEqual(told);
      expect(one.raft.lastIndex).toBe(role === "leader" ? 2 : 1);
      expect(one.hear({ type: "vote", from: 3, term: 8, lastIndex: 9, lastTerm: 8 })).toEqual([]);
    });
  }
});

describe("§5.2 leader election", () => {
  test("when servers start up, they begin as followers", () => {
    expect(new One().raft.role).toBe("follower");
    expect(new Raft({ id: member(1), random: new Prng(1) }, {}, new DiskLog()).role).toBe(
      "follower",
    );
  });

  test("a follower stays one as long as it hears from a leader", () => {
    const one = new One();
    for (let i = 0; i < 20; i++) {
      one.tick(9);
      one.hear({ type: "heartbeat", from: 2, term: 2, round: 0 });
    }
    expect([one.raft.role, one.raft.term]).toEqual(["follower", 2]);
  });

  test("it increments its term, votes for itself and asks each of the others in parallel", () => {
    const one = new One({ members: 4 });
    const sent = one.tick(20);
    expect([one.raft.role, one.raft.term]).toEqual(["candidate", 2]);
    expect(one.disk.hardState).toEqual({ term: 2, vote: 1n, commit: 1 });
    expect(sent).toEqual([2, 3, 4].map((to) => `1>${to} vote term=2 last=1/1`));
  });

  const won: readonly (readonly [members: number, yes: number, no: number, role: Role])[] = [
    [1, 0, 0, "leader"],
    [3, 1, 0, "leader"],
    [3, 1, 1, "leader"],
    [5, 2, 0, "leader"],
    [5, 2, 2, "leader"],
    [3, 0, 2, "follower"],
    [5, 1, 3, "follower"],
    [3, 0, 0, "candidate"],
    [3, 0, 1, "candidate"],
    [5, 1, 0, "candidate"],
    [5, 1, 2, "candidate"],
    [4, 1, 0, "candidate"],
    [4, 1, 2, "follower"],
  ];
  for (const [members, yes, no, role] of won) {
    test(`with ${yes} for and ${no} against of ${members - 1} others it is ${role}`, () => {
      const one = new One({ members });
      one.raft.campaign();
      one.take();
      for (let i = 0; i < yes + no; i++) {
        one.hear({ type: "vote-response", from: 2 + i, term: 2, granted: i < yes });
      }
      expect(one.raft.role).toBe(role);
    });
  }

  test("a vote counts once, and only in its term", () => {
    const one = new One({ members: 5 });
    one.raft.campaign();
    one.take();
    for (let i = 0; i < 3; i++)
      one.hear({ type: "vote-response", from: 2, term: 2, granted: true });
    one.hear({ type: "vote-response", from: 3, term: 1, granted: true });
    expect(one.raft.role).toBe("candidate");
    one.hear({ type: "vote-response", from: 3, term: 2, granted: true });
    expect(one.raft.role).toBe("leader");
  });

  test("a candidate follows a leader of its term or a later one, not of an older", () => {
    for (const [term, role] of [
      [2, "follower"],
      [3, "follower"],
      [1, "candidate"],
    ] as const) {
      const one = inRole("candidate");
      one.hear({ type: "append", from: 2, term, prevIndex: 1, prevTerm: 1 });
      expect([one.raft.role, one.raft.term]).toEqual([role, Math.max(2, term)]);
    }
  });

  test("at most one candidate of a term gets the vote, first come, first served", () => {
    const one = new One();
    const ask = { type: "vote", term: 2, lastIndex: 1, lastTerm: 1 } as const;
    expect(one.hear({ ...ask, from: 2 })).toEqual(["1>2 vote-response term=2 granted"]);
    expect(one.hear({ ...ask, from: 3 })).toEqual(["1>3 vote-response term=2 refused"]);
    expect(one.hear({ ...ask, from: 2 })).toEqual(["1>2 vote-response term=2 granted"]);
  });

  test("election timeouts are drawn from a fixed interval, all of it", () => {
    const seen = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const one = new One({ options: { random: new Prng(seed), electionTicks: 10 } });
      one.raft.campaign(); // draws anew
      one.hear({ type: "append", from: 2, term: 2, prevIndex: 1, prevTerm: 1 });
      let ticks = 0;
      while (one.raft.role === "follower") {
        one.tick(1);
        ticks++;
      }
      seen.add(ticks);
    }
    expect([...seen].sort((a, b) => a - b)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  test("a leader sends heartbeats to all of its followers", () => {
    const one = inRole("leader");
    one.take();
    expect(one.tick(2)).toEqual([
      "1>2 heartbeat term=2 commit=0 round=0",
      "1>3 heartbeat term=2 commit=0 round=0",
      "1>2 heartbeat term=2 commit=0 round=0",
      "1>3 heartbeat term=2 commit=0 round=0",
    ]);
  });
});

describe("§5.3 log replication", () => {
  test("the leader appends the command and issues appends in parallel", () => {
    const one = inRole("leader");
    for (const from of [2, 3]) one.hear({ type: "append-response", from, term: 2, index: 2 });
    one.raft.propose(Buffer.from("x"));
    expect(one.take()).toEqual(
      [2, 3].map((to) => `1>${to} append term=2 after 2/2 [3/2 "x"] commit=2`),
    );
  });

  const replicated: readonly (readonly [members: number, acks: number, committed: boolean])[] = [
    [1, 0, true],
    [3, 0, false],
    [3, 1, true],
    [3, 2, true],
    [4, 1, false],
    [4, 2, true],
    [5, 1, false],
    [5, 2, true],
  ];
  for (const [members, acks, committed] of replicated) {
    const verdict = committed ? "committed" : "not committed";
    test(`an entry on the leader and ${acks} of ${members - 1} others is ${verdict}`, () => {
      const one = new One({ members }).lead();
      for (let i = 0; i < acks; i++) {
        one.hear({ type: "append-response", from: 2 + i, term: 2, index: 2 });
      }
      one.take();
      expect(one.raft.committed).toBe(committed ? 2 : 1);
      expect(one.applied).toEqual(committed ? [2] : []);
    });
  }

  test("this also commits all preceding entries, those of previous leaders too", () => {
    const one = new One({ log: [1, 2, 2], term: 3 }).lead();
    one.hear({ type: "append-response", from: 2, term: 4, index: 5 });
    expect(one.applied).toEqual([2, 3, 4, 5]);
  });

  test("a follower applies what it learns to be committed, in log order", () => {
    const one = new One();
    const entries = [entry(2, 2), entry(3, 2), entry(4, 2)];
    one.hear({ type: "append", from: 2, term: 2, prevIndex: 1, prevTerm: 1, entries, commit: 1 });
    expect(one.applied).toEqual([]);
    one.hear({ type: "heartbeat", from: 2, term: 2, commit: 3, round: 0 });
    expect(one.applied).toEqual([2, 3]);
    one.hear({ type: "append", from: 2, term: 2, prevIndex: 4, prevTerm: 2, commit: 9 });
    expect(one.applied).toEqual([2, 3, 4]);
  });

  test("figure 2: it commits no further than the last new entry, whatever the leader says", () => {
    const one = new One({ log: [1, 2, 2], term: 3 }); // 3/2 and 4/2 are not the leader's
    one.hear({ type: "append", from: 2, term: 3, prevIndex: 2, prevTerm: 1, commit: 4 });
    expect(one.raft.committed).toBe(2);
  });

  test("a follower refuses entries if it does not find the one before them", () => {
    const cases = [
      [4, 3, "hint=3/3"], // no entry there
      [3, 4, "hint=3/3"], // another term there
      [3, 2, "hint=2/1"], // another, later term there: the whole term is skipped
      [9, 9, "hint=3/3"],
    ] as const;
    for (const [prevIndex, prevTerm, hint] of cases) {
      const one = new One({ log: [1, 3], term: 9 });
      const entries = [entry(prevIndex + 1, 9)];
      const sent = one.hear({ type: "append", from: 2, term: 9, prevIndex, prevTerm, entries });
      expect(sent).toEqual([`1>2 append-response term=9 rejects ${prevIndex} ${hint}`]);
      expect(one.terms()).toEqual([1, 3]);
    }
  });

  test("conflicting entries are overwritten with the leader's, others are kept", () => {
    const cases: readonly [prev: [number, number], entries: number[], after: number[]][] = [
      [[3, 2], [3], [1, 2, 3]], // replaces 4/2 …
      [
        [2, 1],
        [3, 4],
        [1, 3, 4],
      ],
      [[1, 1], [1], [1, 2, 2]], // nothing conflicts, nothing is cut
      [[3, 2], [2], [1, 2, 2]],
      [[4, 2], [4], [1, 2, 2, 4]],
    ];
    for (const [[prevIndex, prevTerm], terms, after] of cases) {
      const one = new One({ log: [1, 2, 2], term: 4 });
      const entries = terms.map((term, i) => entry(prevIndex + 1 + i, term));
      one.hear({ type: "append", from: 2, term: 4, prevIndex, prevTerm, entries });
      expect(one.terms()).toEqual(after);
      expect(one.disk.entriesStored.map(({ term }) => term)).toEqual(after);
    }
  });

  test("a leader never overwrites or deletes entries in its own log", () => {
    const one = inRole("leader");
    one.raft.propose(Buffer.from("x"));
    one.take();
    const before = one.terms();
    const entries = [entry(2, 1)];
    one.hear({ type: "append", from: 2, term: 2, prevIndex: 1, prevTerm: 1, entries });
    const rejection = { hintIndex: 0, hintTerm: 0 };
    one.hear({ type: "append-response", from: 2, term: 2, index: 1, rejection });
    expect(one.terms()).toEqual(before);
  });
});

describe("§5.4 safety", () => {
  const up: readonly (readonly [log: number[], last: [number, number], granted: boolean])[] = [
    [[1], [2, 1], true],
    [[1], [3, 1], true],
    [[1], [2, 2], true],
    [[1, 1], [2, 1], false],
    [[1, 1], [3, 1], true],
    [[1, 1], [2, 2], true],
    [[2], [5, 1], false],
    [[2], [2, 2], true],
  ];
  for (const [log, [lastIndex, lastTerm], granted] of up) {
    const ours = `${log.length + 1}/${log.at(-1)}`;
    const verdict = granted ? "grants" : "denies";
    test(`a voter whose log ends in ${ours} ${verdict} ${lastIndex}/${lastTerm}`, () => {
      const one = new One({ log });
      const [said] = one.hear({ type: "vote", from: 2, term: 5, lastIndex, lastTerm });
      expect(said).toBe(`1>2 vote-response term=5 ${granted ? "granted" : "refused"}`);
    });
  }

  test("§5.4.2 entries of previous terms are never committed by counting replicas", () => {
    const one = new One({ log: [1, 2], term: 2 }).lead();
    for (const from of [2, 3]) one.hear({ type: "append-response", from, term: 3, index: 3 });
    expect(one.raft.committed).toBe(1);
    one.hear({ type: "append-response", from: 2, term: 3, index: 4 });
    expect(one.raft.committed).toBe(4);
  });
});

describe("§5.5 crashes", () => {
  test("requests are idempotent: entries already in the log are ignored", () => {
    const one = new One();
    const entries = [entry(2, 2), entry(3, 2)];
    const append = {
      type: "append",
      from: 2,
      term: 2,
      prevIndex: 1,
      prevTerm: 1,
      entries,
    } as const;
    const first = one.hear(append);
    expect(one.hear(append)).toEqual(first);
    expect(one.terms()).toEqual([2, 2]);
  });
});

describe("§7 log compaction", () => {
  const configuration = configurationOf([1, 2, 3].map(member));

  test("a snapshot of what the log does not hold replaces the entire log", () => {
    const one = new One({ log: [1, 2, 2] });
    const meta = { index: 9, term: 3, configuration };
    one.hear({ type: "snapshot", from: 2, term: 4, meta });
    expect([one.raft.firstIndex, one.raft.lastIndex, one.raft.committed]).toEqual([10, 9, 9]);
    expect(one.disk.snapshot).toEqual(meta);
  });

  test("one that describes a prefix of the log leaves the entries following it", () => {
    const one = new One({ log: [1, 2, 2] });
    one.hear({ type: "snapshot", from: 2, term: 4, meta: { index: 3, term: 2, configuration } });
    expect(one.terms()).toEqual([1, 2, 2]);
    expect(one.applied).toEqual([2, 3]);
  });

  test("the leader sends one when it has discarded the next entry a follower needs", () => {
    const one = inRole("leader");
    for (const from of [2, 3]) one.hear({ type: "append-response", from, term: 2, index: 2 });
    one.raft.propose(Buffer.from("x"));
    one.take();
    one.hear({ type: "append-response", from: 2, term: 2, index: 3 });
    one.raft.compactTo(one.raft.snapshotAt(3));
    one.hear({ type: "heartbeat-response", from: 3, term: 2, round: 0 });
    const rejection = { hintIndex: 0, hintTerm: 0 };
    expect(one.hear({ type: "append-response", from: 3, term: 2, index: 3, rejection })).toEqual([
      "1>3 snapshot term=2 at 3/2 (1 2 3)",
    ]);
  });
});

describe("§8 and thesis §6 clients", () => {
  test("each leader commits a blank no-op entry at the start of its term", () => {
    const one = inRole("leader");
    one.hear({ type: "append-response", from: 2, term: 2, index: 2 });
    expect(one.disk.entriesStored.map(({ kind }) => kind)).toEqual(["noop"]);
    expect(one.applied).toEqual([2]);
  });

  test("thesis §6.2: a leader steps down if an election timeout passes without a majority", () => {
    const one = new One({ members: 5, options: { checkQuorum: true } }).lead();
    one.hear({ type: "heartbeat-response", from: 2, term: 2, round: 0 });
    one.hear({ type: "heartbeat-response", from: 3, term: 2, round: 0 });
    one.tick(10);
    expect(one.raft.role).toBe("leader");
    one.hear({ type: "heartbeat-response", from: 2, term: 2, round: 0 });
    one.tick(10);
    expect(one.raft.role).toBe("follower");
  });

  test("thesis §6.4: reads wait for a round of heartbeats of a majority", () => {
    const one = new One({ members: 5 }).lead();
    for (const from of [2, 3]) one.hear({ type: "append-response", from, term: 2, index: 2 });
    one.raft.readIndex(7);
    const { sendNow } = one.raft.ready();
    const beats = sendNow.filter((message) => message.type === "heartbeat");
    expect(beats.map(({ round }) => round)).toEqual([1, 1, 1, 1]);
    const answer = (from: number, round: number): void =>
      one.raft.step({
        type: "heartbeat-response",
        from: member(from),
        to: member(1),
        term: 2,
        round,
      });
    answer(2, 1);
    answer(2, 1);
    answer(3, 0);
    expect(one.raft.ready().reads).toEqual([]);
    answer(4, 1);
    expect(one.raft.ready().reads).toEqual([{ id: 7, index: 2 }]);
  });
});

describe("thesis §3.10 and §9.6", () => {
  test("§3.10: a leader that hands over stops accepting requests", () => {
    const one = inRole("leader");
    one.raft.transferLeadership(member(2));
    expect(() => one.raft.propose(new Uint8Array(1))).toThrow("leader_changed");
    one.raft.transferLeadership(member(1)); // and takes it back
    one.raft.propose(new Uint8Array(1));
  });

  test("§3.10: the target campaigns without waiting, and past pre-votes", () => {
    const one = new One({ options: { preVote: true, checkQuorum: true } });
    one.hear({ type: "append", from: 2, term: 2, prevIndex: 1, prevTerm: 1 });
    expect(one.hear({ type: "timeout-now", from: 2, term: 2 })).toEqual([
      "1>2 vote term=3 last=1/1 force",
      "1>3 vote term=3 last=1/1 force",
    ]);
  });

  test("§9.6: a pre-candidate increments its term only when a majority would vote for it", () => {
    const one = new One({ members: 5, options: { preVote: true } });
    one.raft.campaign();
    expect(one.take()).toEqual([2, 3, 4, 5].map((to) => `1>${to} pre-vote term=2 last=1/1`));
    one.hear({ type: "pre-vote-response", from: 2, term: 2, granted: true });
    one.hear({ type: "pre-vote-response", from: 3, term: 5, granted: true }); // of another attempt
    expect([one.raft.role, one.raft.term]).toEqual(["pre-candidate", 1]);
    one.hear({ type: "pre-vote-response", from: 4, term: 2, granted: true });
    expect([one.raft.role, one.raft.term]).toEqual(["candidate", 2]);
  });

  test("§9.6: promising a pre-vote promises nothing", () => {
    const one = new One();
    const ask = { type: "pre-vote", term: 2, lastIndex: 1, lastTerm: 1 } as const;
    expect(one.hear({ ...ask, from: 2 })).toEqual(["1>2 pre-vote-response term=2 granted"]);
    expect(one.hear({ ...ask, from: 3 })).toEqual(["1>3 pre-vote-response term=2 granted"]);
    expect([one.raft.term, one.disk.hardState?.vote]).toEqual([1, 0n]);
  });
});
