/** Membership as the etcd API has it (surface 3.11), one test a sentence. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { QUEUED_CHANGES_MAX } from "../../src/cluster/leader-changes.ts";
import type { Changed } from "../../src/cluster/membership.ts";
import { MemberChangePeerRequest } from "../../src/proto/gen/aether.v1.ts";
import { type Member, MemberAddRequest } from "../../src/proto/gen/etcdserverpb.ts";
import { ELECTION_MS, FakeCluster, founder, REQUEST_TIMEOUT_MS, TICK_MS } from "./fake-cluster.ts";

const NEW_URL = "http://new:2380";

function cluster(count = 3, ...more: Member[]): FakeCluster {
  const founders = Array.from({ length: count }, (_, i) => founder(BigInt(i + 1)));
  return new FakeCluster([...founders, ...more]);
}

/** What a call came to; "waits" until it is answered. Answered twice fails the test. */
class Answer<T> {
  outcome: T | AetherError | "waits" = "waits";
  readonly done = (outcome: T | AetherError): void => {
    expect(this.outcome).toBe("waits");
    this.outcome = outcome;
  };

  get code(): string {
    if (this.outcome === "waits") return "waits";
    return this.outcome instanceof AetherError ? this.outcome.code : "ok";
  }

  get value(): T {
    if (this.outcome === "waits" || this.outcome instanceof AetherError) throw this.outcome;
    return this.outcome;
  }
}

function add(at: FakeCluster, from = 1n, more: Partial<MemberAddRequest> = {}): Answer<Changed> {
  const answer = new Answer<Changed>();
  at.at(from).add(MemberAddRequest.create({ peerURLs: [NEW_URL], ...more }), answer.done);
  return answer;
}

function remove(at: FakeCluster, ID: bigint, from = 1n): Answer<Changed> {
  const answer = new Answer<Changed>();
  at.at(from).remove({ ID }, answer.done);
  return answer;
}

function update(at: FakeCluster, ID: bigint, ...peerURLs: string[]): Answer<Changed> {
  const answer = new Answer<Changed>();
  at.at(1n).update({ ID, peerURLs }, answer.done);
  return answer;
}

/** A change that another member forwards. */
function forwarded(at: FakeCluster, request: Partial<MemberChangePeerRequest>): Answer<unknown> {
  const answer = new Answer<unknown>();
  at.at(1n).changeHere(MemberChangePeerRequest.create(request), answer.done);
  return answer;
}

function promote(at: FakeCluster, ID: bigint, from = 1n): Answer<Changed> {
  const answer = new Answer<Changed>();
  at.at(from).promote({ ID }, answer.done);
  return answer;
}

/** The answer when everything that can happen at once has happened. */
function ran<T>(at: FakeCluster, answer: Answer<T>): Answer<T> {
  at.run();
  return answer;
}

const idsOf = (members: readonly Member[]): bigint[] => members.map(({ ID }) => ID);

describe("adding", () => {
  test("answers with the member and the list, and changes Raft's configuration", () => {
    const at = cluster();
    const { member, members } = ran(at, add(at)).value;
    expect(member).toMatchObject({ name: "", peerURLs: [NEW_URL], clientURLs: [] });
    expect(members).toBe(at.lead.machine.members());
    expect(idsOf(members)).toContain(member?.ID as bigint);
    expect(at.lead.configuration.voters).toContain(member?.ID as never);
    expect(at.lead.configuration.learners).toEqual([]);
  });

  test("gives etcd's id: of the sorted peer URLs and the second", () => {
    const at = cluster();
    at.wallMs = 1_700_000_000_999;
    const peerURLs = ["http://z:1", "http://a:1"];
    const { member } = ran(at, add(at, 1n, { peerURLs })).value;
    // printf 'http://a:1http://z:11700000000' | sha1sum
    expect(member?.ID.toString(16)).toBe("b0b51554e4b68671");
    expect(member?.peerURLs).toEqual(["http://a:1", "http://z:1"]);
  });

  test("never gives an id twice, not even within a second", () => {
    const at = cluster();
    const ids = new Set<bigint>();
    for (let round = 0; round < 3; round++) {
      const { member } = ran(at, add(at)).value;
      const id = (member as Member).ID;
      expect(ids.has(id)).toBe(false);
      ids.add(id);
      expect(ran(at, remove(at, id)).code).toBe("ok");
    }
  });

  test("a learner learns", () => {
    const at = cluster();
    const { member } = ran(at, add(at, 1n, { isLearner: true })).value;
    expect(member?.isLearner).toBe(true);
    expect(at.lead.configuration.learners).toEqual([member?.ID as never]);
  });

  test("refuses peer URLs that are none, and those of another member", () => {
    const at = cluster();
    for (const peerURLs of [[], ["m4:2380"], ["http://m4"], ["http://m4:1/x"], ["ftp://m4:1"]]) {
      expect(ran(at, add(at, 1n, { peerURLs })).code).toBe("bad_member_urls");
    }
    const peerURLs = [NEW_URL, "http://m2:2380"];
    expect(ran(at, add(at, 1n, { peerURLs })).code).toBe("peer_urls_exist");
    expect(at.log).toEqual([]);
  });

  test("takes as many learners as it is told to", () => {
    for (const learnersMax of [1, 2]) {
      const at = new FakeCluster([founder(1n)], { learnersMax });
      for (let i = 0; i <= learnersMax; i++) {
        const more = { isLearner: true, peerURLs: [`http://l${i}:1`] };
        const code = ran(at, add(at, 1n, more)).code;
        expect(code).toBe(i < learnersMax ? "ok" : "too_many_learners");
      }
    }
  });
});

describe("the strict check", () => {
  const unstarted = (ID: bigint): Member => founder(ID, { clientURLs: [] });

  test("lets a cluster of one have a second, once it has started itself", () => {
    expect(ran(...withAdd(cluster(1))).code).toBe("ok");
    expect(ran(...withAdd(new FakeCluster([unstarted(1n)]))).code).toBe("too_few_started_members");
  });

  test("a voter needs a started quorum of the voters there will be", () => {
    // 1 of 2 started; 3 with the new one, 2 needed.
    const at = new FakeCluster([founder(1n), unstarted(2n)]);
    expect(ran(at, add(at)).code).toBe("too_few_started_members");
    expect(ran(...withAdd(cluster(2))).code).toBe("ok");
    // 2 of 3; 4 with the new one, 3 needed.
    const four = cluster(2, unstarted(3n));
    expect(ran(four, add(four)).code).toBe("too_few_started_members");
  });

  test("a learner changes no quorum", () => {
    const at = cluster(2, unstarted(3n));
    expect(ran(at, add(at, 1n, { isLearner: true })).code).toBe("ok");
  });

  test("a quorum of the voters there will be must be heard of, for a while back", () => {
    const at = cluster(3);
    at.down.add(3n);
    at.tick(); // never heard of
    expect(ran(at, add(at)).code).toBe("unhealthy");
    // It comes before what is wrong with the newcomer, as in etcd.
    const taken = add(at, 1n, { peerURLs: ["http://m3:2380"] });
    expect(ran(at, taken).code).toBe("unhealthy");
    at.down.delete(3n);
    at.tick();
    at.down.add(3n);
    at.nowMs += ELECTION_MS;
    expect(ran(at, add(at)).code).toBe("ok");
    const later = cluster(3);
    later.tick();
    later.down.add(3n);
    later.nowMs += ELECTION_MS + 1;
    expect(ran(later, add(later)).code).toBe("unhealthy");
    expect(ran(later, remove(later, 2n)).code).toBe("unhealthy");
    expect(ran(later, remove(later, 3n)).code).toBe("ok");
  });

  test("what another leader heard is not what this one hears", () => {
    const at = cluster(3);
    at.tick();
    at.leader = 2n as never;
    at.tick();
    at.leader = 1n as never;
    at.down.add(3n);
    expect(ran(at, add(at)).code).toBe("unhealthy");
  });

  test("removing needs a started quorum of those left", () => {
    const at = new FakeCluster([founder(1n), founder(2n), unstarted(3n)]);
    expect(ran(at, remove(at, 2n)).code).toBe("too_few_started_members");
    expect(ran(at, remove(at, 3n)).code).toBe("ok");
  });

  test("the last member cannot be removed", () => {
    const at = cluster(1);
    expect(ran(at, remove(at, 1n)).code).toBe("too_few_started_members");
    const loose = new FakeCluster([founder(1n)], { strict: false });
    expect(ran(loose, remove(loose, 1n)).code).toBe("invalid_argument");
  });

  test("a learner may always go", () => {
    const at = new FakeCluster([founder(1n), unstarted(2n), founder(3n, { isLearner: true })]);
    expect(ran(at, remove(at, 3n)).code).toBe("ok");
  });

  test("can be turned off", () => {
    const at = new FakeCluster([founder(1n), unstarted(2n), unstarted(3n)], { strict: false });
    at.down.add(2n);
    expect(ran(at, add(at)).code).toBe("ok");
    expect(ran(at, remove(at, 2n)).code).toBe("ok");
  });

  function withAdd(at: FakeCluster): [FakeCluster, Answer<Changed>] {
    return [at, add(at)];
  }
});

describe("removing", () => {
  test("takes the member out of the records and of Raft's configuration", () => {
    const at = cluster();
    expect(idsOf(ran(at, remove(at, 3n)).value.members)).toEqual([1n, 2n]);
    expect(at.lead.configuration.voters).toEqual([1n, 2n] as never);
    expect(ran(at, remove(at, 3n)).code).toBe("member_not_found");
    expect(ran(at, remove(at, 77n)).code).toBe("member_not_found");
  });

  test("a leader that removes itself answers when the others know and it leads no more", () => {
    const at = cluster();
    at.tick();
    at.down.add(2n).add(3n);
    const answer = ran(at, remove(at, 1n));
    expect([answer.code, at.lead.configuration.voters]).toEqual(["waits", [2n, 3n] as never]);
    at.tick();
    expect(answer.code).toBe("waits");
    at.down.clear();
    at.run();
    expect(at.leader).toBe(2n as never);
    at.tick();
    expect(idsOf(answer.value.members)).toEqual([2n, 3n]);
  });

  test("it does not wait for ever", () => {
    const at = cluster();
    at.tick();
    at.down.add(2n).add(3n);
    const answer = ran(at, forwarded(at, { remove: { ID: 1n } }));
    at.tick(REQUEST_TIMEOUT_MS);
    expect(answer.code).toBe("waits");
    at.tick();
    expect(answer.code).toBe("timeout");
  });

  test("a member that asks for its own end need not learn of it", () => {
    const at = cluster();
    const answer = remove(at, 3n, 3n);
    const forwarded = at.forwarded.splice(0);
    at.down.add(3n); // hears nothing of the log any more
    for (const { request, done } of forwarded) at.at(1n).changeHere(request, done);
    at.tick();
    expect(idsOf(answer.value.members)).toEqual([1n, 2n]);
  });
});

describe("updating", () => {
  test("changes the peer URLs, and nothing of Raft's configuration", () => {
    const at = cluster(2, founder(3n, { isLearner: true }));
    const before = at.lead.configuration;
    for (const id of [2n, 3n]) {
      const { members } = ran(at, update(at, id, `http://moved${id}:1`)).value;
      const expected = { ...at.founders.find(({ ID }) => ID === id) };
      expect(members.find(({ ID }) => ID === id)).toEqual({
        ...(expected as Member),
        peerURLs: [`http://moved${id}:1`],
      });
    }
    expect(at.lead.configuration).toEqual(before);
  });

  test("refuses an unknown member, bad URLs, and those of another", () => {
    const at = cluster();
    expect(ran(at, update(at, 77n, NEW_URL)).code).toBe("member_not_found");
    expect(ran(at, update(at, 2n)).code).toBe("bad_member_urls");
    expect(ran(at, update(at, 2n, "http://m3:2380")).code).toBe("peer_urls_exist");
    expect(at.log).toEqual([]);
    expect(ran(at, update(at, 2n, "http://m2:2380")).code).toBe("ok");
  });
});

describe("promoting", () => {
  const learning = (): FakeCluster => cluster(3, founder(9n, { isLearner: true, clientURLs: [] }));

  test("lets a learner vote that has caught up", () => {
    const at = learning();
    const { members, member } = ran(at, promote(at, 9n)).value;
    expect(member).toBeUndefined();
    expect(members.find(({ ID }) => ID === 9n)?.isLearner).toBe(false);
    expect(at.lead.configuration.voters).toEqual([1n, 2n, 3n, 9n] as never);
  });

  test("asks for nine tenths of the log", () => {
    const at = learning();
    for (let i = 0; i < 9; i++) ran(at, update(at, 2n, `http://m2:${i + 1}`));
    expect(at.committedIndex).toBe(10);
    at.matches.set(9n, 8);
    expect(ran(at, promote(at, 9n)).code).toBe("learner_not_ready");
    at.matches.set(9n, 9);
    expect(ran(at, promote(at, 9n)).code).toBe("ok");
  });

  test("refuses a voter, and one that is not there", () => {
    const at = learning();
    expect(ran(at, promote(at, 2n)).code).toBe("not_a_learner");
    expect(ran(at, promote(at, 77n)).code).toBe("member_not_found");
    expect(at.log).toEqual([]);
  });

  test("a learner with the log has started, whether it has said so or not", () => {
    const at = cluster(1, founder(9n, { isLearner: true, clientURLs: [] }));
    expect(ran(at, promote(at, 9n)).code).toBe("ok");
  });

  test("needs a quorum with it that is heard of, and one that has started", () => {
    const at = learning();
    at.down.add(9n).add(3n); // 4 voters, 2 heard of
    expect(ran(at, promote(at, 9n)).code).toBe("unhealthy");
    at.down.delete(9n);
    expect(ran(at, promote(at, 9n)).code).toBe("ok");
    const silent = [2n, 3n].map((id) => founder(id, { clientURLs: [] }));
    const few = cluster(1, ...silent, founder(9n, { isLearner: true }));
    expect(ran(few, promote(few, 9n)).code).toBe("too_few_started_members");
  });
});

describe("at a follower", () => {
  test("the leader changes, and the answer lists what is here by then", () => {
    const at = cluster();
    at.tick();
    const answer = add(at, 3n);
    at.down.add(3n);
    at.run();
    expect([at.log.length, answer.code]).toEqual([1, "waits"]);
    at.down.delete(3n);
    at.run();
    expect(idsOf(answer.value.members)).toContain(answer.value.member?.ID as bigint);
    expect(answer.value.members).toBe(at.group(3n).machine.members());
  });

  test("errors of the leader are its errors", () => {
    const at = cluster();
    expect(ran(at, promote(at, 2n, 3n)).code).toBe("not_a_learner");
    at.down.add(1n);
    expect(ran(at, promote(at, 2n, 3n)).code).toBe("unhealthy");
  });

  test("a leader that is none any more is not believed: the new one is asked", () => {
    const at = cluster();
    const answer = add(at, 3n);
    at.leader = 2n as never;
    at.run();
    expect(answer.code).toBe("waits");
    at.tick();
    expect([answer.code, at.log.length]).toEqual(["ok", 1]);
  });

  test("a change that was lost with its leader is tried again", () => {
    const at = cluster();
    const answer = add(at, 3n);
    for (const { done } of at.forwarded.splice(0)) done(new AetherError("leader_changed"));
    expect(answer.code).toBe("waits");
    at.tick();
    expect(answer.code).toBe("ok");
  });

  test("nobody who leads is waited for, three election timeouts", () => {
    const at = cluster();
    const { leader } = at;
    at.leader = 0n as never;
    const lucky = add(at, 3n);
    at.tick(ELECTION_MS);
    at.leader = leader;
    for (let i = 0; i < 3; i++) at.at(3n).tick();
    expect(at.forwarded.length).toBe(1);
    at.run();
    expect(lucky.code).toBe("ok");
    at.leader = 0n as never;
    const unlucky = add(at, 3n, { peerURLs: ["http://other:1"] });
    at.tick(3 * ELECTION_MS);
    expect(unlucky.code).toBe("waits");
    at.tick();
    expect(unlucky.code).toBe("no_leader");
  });

  test("a leader that says nothing is waited for until the request timeout", () => {
    const at = cluster();
    const answer = add(at, 3n);
    const [sent] = at.forwarded.splice(0);
    at.tick(REQUEST_TIMEOUT_MS);
    expect(answer.code).toBe("waits");
    at.tick();
    expect(answer.code).toBe("timeout");
    sent?.done(new AetherError("unhealthy")); // too late: nobody is told twice
  });
});

describe("one change at a time", () => {
  test("each is decided on what the one before came to", () => {
    const at = cluster();
    const peerURLs = [NEW_URL];
    const first = add(at, 1n, { peerURLs });
    const second = add(at, 1n, { peerURLs });
    const third = add(at, 2n, { peerURLs: ["http://third:1"], isLearner: true });
    at.run();
    expect([first.code, second.code, third.code]).toEqual(["ok", "peer_urls_exist", "ok"]);
  });

  test("nothing is decided on a state that is behind", () => {
    const at = cluster();
    at.lead.readError = new AetherError("unhealthy");
    expect(ran(at, add(at)).code).toBe("unhealthy");
    expect(ran(at, add(at)).code).toBe("ok");
  });

  test("a leader deposed before the change has not done it", () => {
    const at = cluster();
    const answer = forwarded(at, { remove: { ID: 3n } });
    at.leader = 2n as never;
    at.run();
    expect([answer.code, at.log.length]).toEqual(["not_leader", 0]);
    expect(forwarded(at, { remove: { ID: 3n } }).code).toBe("not_leader");
  });

  test("a request without a change is refused", () => {
    const at = cluster();
    expect(ran(at, forwarded(at, {})).code).toBe("invalid_argument");
  });

  test("no more than so many wait, and not for ever", () => {
    const at = cluster();
    const remove = { ID: 3n };
    const length = QUEUED_CHANGES_MAX + 2;
    const answers = Array.from({ length }, () => forwarded(at, { remove }));
    expect(answers.at(-1)?.code).toBe("too_many_requests");
    expect(answers.at(-2)?.code).toBe("waits");
    at.down.add(1n);
    at.tick(REQUEST_TIMEOUT_MS + 1);
    at.down.clear();
    at.run();
    expect(at.log.length).toBe(1);
    const codes = answers.slice(0, -1).map(({ code }) => code);
    expect(codes).toEqual(["ok", ...Array(QUEUED_CHANGES_MAX).fill("timeout")]);
  });
});

describe("listing", () => {
  test("is linearizable if asked to be", () => {
    const at = cluster();
    const stale = new Answer<readonly Member[]>();
    const fresh = new Answer<readonly Member[]>();
    at.at(2n).list(false, stale.done);
    at.at(2n).list(true, fresh.done);
    expect([stale.code, fresh.code]).toEqual(["ok", "waits"]);
    at.run();
    expect(fresh.value).toBe(at.group(2n).machine.members());
    at.group(2n).readError = new AetherError("no_leader");
    const failed = new Answer<readonly Member[]>();
    at.at(2n).list(true, failed.done);
    at.run();
    expect(failed.code).toBe("no_leader");
  });
});

describe("moving the leader", () => {
  function move(at: FakeCluster, target: bigint, from = 1n): Answer<undefined> {
    const answer = new Answer<undefined>();
    at.at(from).moveLeader(target as never, (error) => answer.done(error as never));
    return answer;
  }

  test("ends when the target leads", () => {
    const at = cluster();
    const answer = move(at, 3n);
    at.tick();
    at.tick();
    at.tick();
    expect([answer.code, at.leader]).toEqual(["ok", 3n as never]);
    expect(move(at, 3n, 3n).code).toBe("ok");
  });

  test("is for the leader, and to a voter", () => {
    const at = cluster(3, founder(9n, { isLearner: true }));
    expect(move(at, 3n, 2n).code).toBe("not_leader");
    expect(move(at, 1n, 2n).code).toBe("not_leader");
    expect(move(at, 9n).code).toBe("bad_transferee");
    expect(move(at, 77n).code).toBe("bad_transferee");
    expect(at.lead.transferee).toBe(0n as never);
  });

  test("gives up after an election timeout", () => {
    const at = cluster();
    at.transfers = false;
    const answer = move(at, 3n);
    at.tick(ELECTION_MS);
    expect(answer.code).toBe("waits");
    at.tick(TICK_MS);
    expect(answer.code).toBe("timeout_leader_transfer");
  });
});

describe("stopping", () => {
  test("answers everything that waits, and everything that comes later", () => {
    const at = cluster();
    at.transfers = false;
    const moved = new Answer<undefined>();
    const move = (): void =>
      at.at(1n).moveLeader(3n as never, (error) => moved.done(error as never));
    move();
    const others = [{ remove: { ID: 2n } }, { remove: { ID: 3n } }].map((r) => forwarded(at, r));
    const answers = [add(at), remove(at, 2n), add(at, 3n)];
    for (const id of [1n, 3n]) at.at(id).stop();
    for (const { code } of [...answers, ...others]) expect(code).toBe("stopped");
    expect(moved.code).toBe("stopped");
    for (const late of [add(at), forwarded(at, {})]) expect(late.code).toBe("stopped");
    at.tick(REQUEST_TIMEOUT_MS + 1);
    expect(at.log).toEqual([]);
    expect(add(at, 3n).code).toBe("stopped");
    moved.outcome = "waits";
    move();
    expect(moved.code).toBe("stopped");
  });
});
