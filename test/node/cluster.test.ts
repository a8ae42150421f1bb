/** Several groups as one cluster: what is promised at each member, whoever leads. */
import { describe, expect, test } from "bun:test";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";

describe("a cluster that starts", () => {
  for (const members of [3, 5, 7]) {
    test(`has a leader before an election timeout is over, of ${members}`, () => {
      const cluster = new DrivenCluster({ members });
      const startedMs = cluster.clock.nowMs;
      const leader = cluster.elect();
      expect(cluster.clock.nowMs - startedMs).toBeLessThanOrEqual(ELECTION_MS);
      expect(leader.group.configuration.voters.length).toBe(members);
      cluster.pass(ELECTION_MS);
      expect(cluster.leader).toBe(leader);
      for (const { group } of cluster.members.values()) {
        expect([group.leader, group.isReady, group.leaderChanges]).toEqual([leader.id, true, 1]);
      }
      cluster.expectAgreement();
    });
  }
});

describe("calls at any member", () => {
  test("writes are decided by the leader, once, and seen by reads at every member", () => {
    const { cluster } = DrivenCluster.leading();
    const puts = [1, 2, 3].map((number) => cluster.member(number).put(`k${number}`, "v"));
    cluster.settle();
    expect(puts.map(({ code }) => code)).toEqual(["ok", "ok", "ok"]);
    for (const member of cluster.members.values()) {
      const read = member.read();
      cluster.settle();
      expect(read.code).toBe("ok");
      expect(member.contents()).toEqual(["k1=v", "k2=v", "k3=v"]);
    }
    cluster.expectAgreement();
  });
});
