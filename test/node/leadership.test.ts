/** Who leads; leadership taken early and handed over, beside a Raft that does as it is told. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { LeadershipKeeper } from "../../src/node/leadership.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Raft } from "../../src/raft/raft.ts";
import { type MemberId, NOBODY, type Role } from "../../src/raft/types.ts";

const TICKS = 10;
const id = (number: number): MemberId => BigInt(number) as MemberId;

interface Peer {
  readonly id: MemberId;
  match: number;
  isLearner: boolean;
  recentActive: boolean;
}

class Bench {
  campaigns: number[] = [];
  ticks = 0;
  readonly raft = {
    role: "follower" as Role,
    leader: NOBODY,
    transferee: NOBODY,
    configuration: configurationOf([1, 2, 3].map(id), [4].map(id)),
    peers: [] as Peer[],
    campaign: (): unknown => this.campaigns.push(this.ticks),
    transferLeadership: (to: MemberId): void => {
      this.raft.transferee = to;
    },
  };
  readonly keeper: LeadershipKeeper;

  constructor(seed = 1) {
    this.keeper = new LeadershipKeeper(this.raft as unknown as Raft, new Prng(seed), TICKS);
  }

  /** Member 1, leading; the others have been heard from and have this much of the log. */
  static leading(...matches: number[]): Bench {
    const bench = new Bench();
    bench.raft.role = "leader";
    bench.raft.leader = id(1);
    bench.raft.peers = matches.map((match, i) => {
      return { id: id(i + 2), match, isLearner: i === 2, recentActive: true };
    });
    bench.keeper.changed();
    return bench;
  }

  tick(count = 1): void {
    for (let i = 0; i < count; i++) {
      this.ticks++;
      this.keeper.tick();
    }
  }

  handOver(): { readonly done: number } {
    const waiting = { done: 0 };
    this.keeper.handOver(() => waiting.done++);
    return waiting;
  }
}

describe("a member that hears nobody after its start", () => {
  test("stands four times, soon, at random", () => {
    const firsts = new Set<number>();
    const gaps = new Set<number>();
    for (let seed = 1; seed <= 300; seed++) {
      const bench = new Bench(seed);
      bench.tick(100);
      expect(bench.campaigns.length).toBe(4);
      const [first = 0, second = 0] = bench.campaigns;
      firsts.add(first);
      gaps.add(second - first);
    }
    const inOrder = (set: Set<number>): number[] => [...set].sort((a, b) => a - b);
    expect(inOrder(firsts)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(inOrder(gaps)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  });

  test("does so no more once it has heard somebody", () => {
    const bench = new Bench();
    bench.raft.leader = id(2);
    bench.tick();
    bench.raft.leader = NOBODY;
    bench.tick(100);
    expect(bench.campaigns).toEqual([]);
  });
});

describe("changes of leaders", () => {
  test("are counted when another leads, not when nobody is known", () => {
    const bench = new Bench();
    for (const leader of [NOBODY, id(2), NOBODY, id(2), id(3), NOBODY, id(2)]) {
      bench.raft.leader = leader;
      bench.keeper.changed();
    }
    expect(bench.keeper.changes).toBe(3);
  });
});

describe("what the leader knows of the others", () => {
  test("is who they are, how far, and whether they were heard lately", () => {
    const bench = Bench.leading(7, 5, 3);
    const [, second] = bench.raft.peers;
    const active = (): boolean[] => bench.keeper.progress().map((peer) => peer.active);
    expect(bench.keeper.progress()[2]).toEqual({
      id: id(4),
      match: 3,
      isLearner: true,
      active: true,
    });
    bench.tick();
    if (second !== undefined) second.recentActive = false; // Raft looked, and forgot
    for (const peer of bench.raft.peers) if (peer !== second) peer.recentActive = true;
    bench.tick(TICKS - 1);
    expect(active()).toEqual([true, true, true]);
    bench.tick();
    expect(active()).toEqual([true, false, true]);
  });

  test("is forgotten with leadership", () => {
    const bench = Bench.leading(7, 5);
    bench.tick();
    const { peers } = bench.raft;
    bench.raft.peers = [];
    bench.tick();
    bench.raft.peers = peers.map((peer) => ({ ...peer, recentActive: false }));
    expect(bench.keeper.progress().map((peer) => peer.active)).toEqual([false, false]);
  });
});

describe("leadership is moved", () => {
  function codeOf(bench: Bench, to: number): string {
    try {
      bench.keeper.transfer(id(to));
      return "ok";
    } catch (error) {
      return error instanceof AetherError ? error.code : String(error);
    }
  }

  test("by the leader alone, to voters alone", () => {
    const bench = Bench.leading(7, 5, 3);
    expect([2, 4, 9].map((to) => codeOf(bench, to))).toEqual([
      "ok",
      "bad_transferee",
      "bad_transferee",
    ]);
    expect(bench.raft.transferee).toBe(id(2));
    bench.raft.role = "follower";
    expect(codeOf(bench, 2)).toBe("not_leader");
  });

  test("to the voter with the most of the log, of those that are heard", () => {
    const bench = Bench.leading(5, 7, 9);
    bench.handOver();
    expect(bench.raft.transferee).toBe(id(3)); // 4 has more, and learns
    const partial = Bench.leading(5, 7, 9);
    const [, second] = partial.raft.peers;
    if (second !== undefined) second.recentActive = false;
    partial.handOver();
    expect(partial.raft.transferee).toBe(id(2));
  });

  test("until another leads, the leader leads on, or two election timeouts are over", () => {
    const taken = Bench.leading(5, 7);
    const first = taken.handOver();
    taken.raft.leader = NOBODY;
    taken.raft.role = "follower";
    taken.keeper.changed();
    taken.tick(2 * TICKS - 1);
    expect(first.done).toBe(0);
    taken.raft.leader = id(3);
    taken.keeper.changed();
    expect(first.done).toBe(1);

    const inVain = Bench.leading(5, 7);
    const second = inVain.handOver();
    inVain.keeper.changed(); // we lead still
    inVain.tick(TICKS);
    expect(second.done).toBe(0);
    inVain.raft.transferee = NOBODY;
    inVain.tick();
    expect(second.done).toBe(1);

    const lost = Bench.leading(5, 7);
    const third = lost.handOver();
    lost.raft.role = "follower";
    lost.raft.leader = NOBODY;
    lost.tick(2 * TICKS - 1);
    expect(third.done).toBe(0);
    lost.tick();
    expect(third.done).toBe(1);
    lost.tick(2 * TICKS);
    expect(third.done).toBe(1);
  });

  test("never after the stop, and who waits then waits no more", () => {
    const bench = Bench.leading(5, 7);
    const waiting = bench.handOver();
    bench.keeper.stop();
    expect(waiting.done).toBe(1);
    bench.raft.transferee = NOBODY;
    expect(bench.handOver().done).toBe(1);
    expect(bench.raft.transferee).toBe(NOBODY);
  });
});
