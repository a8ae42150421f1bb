/** What a group says to others by its link, and what others make of it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import type { StateHash } from "../../src/cluster/state-verdict.ts";
import { askMembers } from "../../src/net/peers/ask-members.ts";
import type { LeaseLife } from "../../src/node/ports.ts";
import {
  AetherPeer,
  HashKVPeerRequest,
  MemberChangePeerRequest,
  type MemberChangePeerResponse,
} from "../../src/proto/gen/aether.v1.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { ClusterAnswers, type TakeHash } from "../../src/server/cluster-answers.ts";
import type { ClusterLinkOptions } from "../../src/server/cluster-link.ts";
import { append, CLUSTER, heartbeat, ID } from "../net/peers/members.ts";
import { turn } from "../net/peers/pipes.ts";
import { added, FakeGroup, GROUP, type LinkedMember, LinkedWorld } from "./linked-members.ts";

let world = new LinkedWorld();

afterEach(async () => {
  await world.end();
  world = new LinkedWorld();
});

async function pair(
  extra: Partial<ClusterLinkOptions> = {},
): Promise<readonly [LinkedMember, LinkedMember]> {
  const both = [world.member(1, extra), world.member(2, extra)] as const;
  await world.introduce();
  return both;
}

/** A batch of commands, as far as the transport looks into it. */
function batch(origin: bigint, sequence: number): Uint8Array {
  const bytes = Buffer.alloc(40, 7);
  bytes.writeBigUInt64BE(origin, 1);
  bytes.writeBigUInt64BE(BigInt(sequence), 9);
  return bytes;
}

describe("messages and batches", () => {
  test("reach the group of the other member, those of other groups do not", async () => {
    const [a, b] = await pair();
    const other = world.member(3, { groupNumber: 9 });
    await world.introduce();
    const messages = [append(1, 2, 1, 10), heartbeat(1, 2, 5)];
    a.link.transport.send(messages);
    other.link.transport.send([heartbeat(3, 2, 6)]);
    await turn();
    expect(b.group.received.map(({ type }) => type).sort()).toEqual(["append", "heartbeat"]);
    expect(a.link.status()).toMatchObject([{ id: ID(2) }, { id: ID(3) }]);
  });

  test("go to the leader with their term, and are refused to their origin", async () => {
    const [a, b] = await pair();
    expect(a.link.transport.propose(ID(2), 7, batch(ID(1), 40))).toBe(true);
    await turn();
    expect(b.group.proposals).toMatchObject([{ term: 7 }]);
    expect(Buffer.from(b.group.proposals[0]?.payload ?? [])).toEqual(Buffer.from(batch(ID(1), 40)));
    b.group.refusal = new AetherError("not_leader", "ask 3");
    a.link.transport.propose(ID(2), 8, batch(ID(1), 41));
    await turn();
    expect(a.group.refused).toEqual([{ sequence: 41, error: b.group.refusal }]);
    expect(a.link.transport.propose(ID(9), 8, batch(ID(1), 42))).toBe(false);
  });

  test("for a group that is not there are refused", async () => {
    const [a] = await pair();
    world.member(3, { groupNumber: 9 });
    await world.introduce();
    a.link.transport.propose(ID(3), 7, batch(ID(1), 40));
    await turn();
    expect(a.group.refused).toMatchObject([{ sequence: 40, error: { code: "not_leader" } }]);
    expect(world.members[2]?.group.proposals).toEqual([]);
  });

  test("that may be lost are told to the group", async () => {
    const [a] = await pair();
    for (const pipe of world.net.open) pipe.cut();
    await turn();
    expect(a.group.unreached).toEqual([ID(2)]);
  });
});

describe("leases", () => {
  const ask = (
    member: LinkedMember,
    kind: "renewLeases" | "leaseLives",
    ids: readonly bigint[],
    to: MemberId = ID(2),
  ): Promise<readonly LeaseLife[] | AetherError> =>
    new Promise((resolve) => member.link.transport[kind](to, ids, resolve));

  test("are renewed and looked at at the member asked, to the second", async () => {
    const [a, b] = await pair();
    b.group.lives = (ids) =>
      ids.map((id, i) => ({ id, leftMs: [undefined, 900, 12_999, 0][i], ttlSeconds: 60 + i }));
    const ids = [5n, -6n, 7n, 8n];
    const lives = await ask(a, "renewLeases", ids);
    expect(b.group.asked).toEqual([{ kind: "renew", ids }]);
    expect(lives).toEqual([
      { id: 5n, leftMs: undefined, ttlSeconds: 0 },
      { id: -6n, leftMs: 500, ttlSeconds: 61 }, // less than a second, but not over
      { id: 7n, leftMs: 12_500, ttlSeconds: 62 },
      { id: 8n, leftMs: 0, ttlSeconds: 63 },
    ]);
    expect(await ask(a, "leaseLives", ids)).toEqual(lives);
    expect(b.group.asked[1]).toEqual({ kind: "look", ids });
  });

  test("of another leader, or of none, are its failure", async () => {
    const [a, b] = await pair();
    b.group.lives = () => new AetherError("not_leader", "3 leads");
    expect(await ask(a, "renewLeases", [5n])).toEqual(new AetherError("not_leader", "3 leads"));
    expect(await ask(a, "renewLeases", [5n], ID(9))).toMatchObject({ code: "unhealthy" });
  });

  test("whose answer does not come, or is for others, are a failure too", async () => {
    const [a, b] = await pair();
    b.group.leaseCalls.livesHere = () => undefined;
    const late = ask(a, "leaseLives", [5n]);
    await world.timers.pass(900);
    await world.timers.pass(300);
    expect(await late).toMatchObject({ code: "timeout" });
    for (const lives of [[], [{ id: 6n, leftMs: 1, ttlSeconds: 1 }]]) {
      b.group.lives = () => lives;
      expect(await ask(a, "renewLeases", [5n])).toMatchObject({ code: "unhealthy" });
    }
  });
});

describe("changes of the membership", () => {
  const forward = (
    from: LinkedMember,
    to: MemberId,
  ): Promise<MemberChangePeerResponse | AetherError> =>
    new Promise((resolve) => {
      const request = MemberChangePeerRequest.create({ promote: { ID: 77n } });
      from.link.forwardChange(to, request, resolve);
    });

  test("are made where they are forwarded to", async () => {
    const asked: MemberChangePeerRequest[] = [];
    const [a] = await pair({
      changeHere: (request, done) => {
        asked.push(request);
        if (asked.length === 1) done(added(77n));
        else done(new AetherError("learner_not_ready", "12%"));
      },
    });
    expect(await forward(a, ID(2))).toEqual(added(77n));
    expect(asked).toMatchObject([{ group: GROUP, promote: { ID: 77n }, add: undefined }]);
    expect(await forward(a, ID(2))).toEqual(new AetherError("learner_not_ready", "12%"));
  });

  test("that certainly did not leave may be tried again; others may happen yet", async () => {
    const [a] = await pair({ changeHere: () => undefined });
    expect(await forward(a, ID(9))).toMatchObject({ code: "not_leader" });
    const lost = forward(a, ID(2));
    await turn();
    for (const pipe of world.net.open) pipe.cut();
    expect(await lost).toMatchObject({ code: "unhealthy" });
    expect(await forward(a, ID(2))).toMatchObject({ code: "not_leader" }); // it is away now
  });
});

describe("a member says of itself", () => {
  const call = AetherPeer;

  test("who it is and how far", async () => {
    const [a, b] = await pair();
    const [, record] = b.group.records;
    Object.assign(record ?? {}, { name: "two", clientURLs: ["http://c:1"] });
    const info = await a.link.ask(ID(2), call.MemberInfo, {}, 1000);
    expect(info).toMatchObject({
      ...{ clusterId: CLUSTER, memberId: ID(2), name: "two", clientUrls: ["http://c:1"] },
      ...{ peerUrls: [b.url], leader: ID(1), raftTerm: 7, appliedIndex: 10 },
    });
  });

  test("who the members are, to anybody who may ask, once it knows", async () => {
    const joining = world.member(3);
    const asked = askMembers(world.net, joining.url, undefined, 1000);
    await expect(asked).rejects.toThrow("unhealthy: the state has not come yet");
    const [a] = await pair();
    a.group.removed.push(66n);
    const answer = await askMembers(world.net, a.url, undefined, 1000);
    expect(answer).toMatchObject({ clusterId: CLUSTER, memberId: ID(1), removedMemberIds: [66n] });
    expect(answer.members).toEqual(a.group.records);
  });
});

describe("the hash of the state", () => {
  const hash = (from: LinkedMember, revision: number): Promise<StateHash | AetherError> =>
    new Promise((resolve) => from.link.askHash(ID(2), revision, resolve));
  const taken: number[] = [];
  const takeHash: TakeHash = (revision, isWanted, done) => {
    taken.push(revision);
    expect(isWanted()).toBe(true);
    done({ hash: 99, revision: revision || 12, compactRevision: 3 });
  };
  beforeEach(() => void taken.splice(0));

  test("is of a state which has applied what was decided before, and not earlier", async () => {
    const [a, b] = await pair({ takeHash });
    b.group.holdsReads = true;
    const answer = hash(a, 3);
    await turn();
    expect(taken).toEqual([]);
    b.group.machine.revision = 5;
    b.group.endReads();
    expect(await answer).toMatchObject({ hash: 99, compactRevision: 3, revision: 3 });
    expect(taken).toEqual([3]);
    b.group.holdsReads = false;
    expect(await hash(a, 0)).toMatchObject({ revision: 12 });
  });

  test("goes as far as the state goes that even then lacks the revision", async () => {
    const [a, b] = await pair({ takeHash });
    b.group.machine.revision = 2;
    expect(await hash(a, 3)).toMatchObject({ hash: 99, revision: 2 });
  });

  test("fails as it fails there", async () => {
    const [a, b] = await pair();
    expect(await hash(a, 1)).toEqual(new AetherError("compacted"));
    b.group.holdsReads = true;
    const answer = hash(a, 1);
    await turn();
    b.group.endReads(new AetherError("no_leader"));
    expect(await answer).toEqual(new AetherError("no_leader"));
    const other = HashKVPeerRequest.create({ group: 5 });
    expect(await a.link.ask(ID(2), AetherPeer.HashKV, other, 9000)).toMatchObject({
      code: "not_found",
    });
    expect(await new Promise((resolve) => a.link.askHash(ID(9), 1, resolve))).toMatchObject({
      code: "unhealthy",
    });
  });

  test("is not wanted any more, nor begun, at a member that stops", async () => {
    const wanted: (() => boolean)[] = [];
    const answers = new ClusterAnswers({
      ...{ clusterId: CLUSTER, memberId: ID(1), groupNumber: GROUP },
      group: () => group,
      takeHash: (_revision, isWanted) => void wanted.push(isWanted),
      changeHere: () => undefined,
    });
    const group = new FakeGroup();
    const ask = (): Promise<unknown> =>
      answers.hashKv(HashKVPeerRequest.create({ group: GROUP, revision: 1 }));
    void ask();
    await turn();
    expect(wanted[0]?.()).toBe(true);
    answers.stop();
    expect(wanted[0]?.()).toBe(false);
    await expect(ask()).rejects.toThrow("stopped");
  });
});

test("a member that was removed is told once", async () => {
  const [a, b] = await pair();
  b.link.setMembers(b.group.records, [ID(1)]);
  b.link.setMembers(
    b.group.records.filter(({ ID: id }) => id !== a.id),
    [ID(1)],
  );
  await turn();
  await world.timers.pass(1000);
  expect([a.removals, b.removals]).toEqual([1, 0]);
});
