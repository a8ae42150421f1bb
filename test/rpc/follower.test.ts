/** What a follower answers: through the leader, or with where the leader is. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AetherKV, AetherLease, AetherMaintenance } from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  CompactionRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  Maintenance,
  Member,
  PutRequest,
  RangeRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { MEMBER, PEER } from "../node/driven-group.ts";
import { encoded } from "../state/driver.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";
import { LeadingPeer } from "./leading-peer.ts";

class Follower {
  readonly harness: Harness;
  readonly peer: LeadingPeer;

  constructor(forward = true) {
    this.harness = new Harness({ voters: [MEMBER, PEER], forward });
    this.peer = new LeadingPeer(this.harness);
  }

  call(path: string, bytes: Uint8Array): FakeCall {
    const call = this.harness.start(path, bytes);
    this.peer.settle();
    return call;
  }

  grant(ID: bigint, TTL = 60): FakeCall {
    return this.call(Lease.LeaseGrant.path, bytesOfMessage(LeaseGrantRequest, { ID, TTL }));
  }

  put(key: string, lease = 0n): FakeCall {
    return this.call(KV.Put.path, bytesOfMessage(PutRequest, { key, lease }));
  }

  /** The only question about leases that waits for the leader's answer. */
  get question() {
    const { leaseQuestions } = this.harness.driven.transport;
    const question = leaseQuestions.shift();
    if (question === undefined || leaseQuestions.length > 0) throw new Error("not one question");
    return question;
  }
}

describe("a follower", () => {
  test("writes through the leader, and reads what was written", () => {
    const follower = new Follower();
    expect(follower.put("a").text).toBe("0");
    const read = follower.call(KV.Range.path, bytesOfMessage(RangeRequest, { key: "a" }));
    expect(read.text).toBe("0");
    expect(follower.grant(7n).decode(LeaseGrantResponse)).toMatchObject({ ID: 7n, TTL: 60 });
  });

  test("renews a lease through the leader, on one stream in any order", () => {
    const follower = new Follower();
    follower.grant(7n);
    const call = follower.harness.start(Lease.LeaseKeepAlive.path);
    for (const ID of [7n, 8n]) {
      follower.harness.say(call, bytesOfMessage(LeaseKeepAliveRequest, { ID }));
    }
    follower.peer.settle();
    const { kind, to, ids, onAnswer } = follower.question;
    expect([kind, to as bigint, ids]).toEqual(["renew", 2n, [7n, 8n]]);
    onAnswer([
      { id: 7n, leftMs: 60_000, ttlSeconds: 60 },
      { id: 8n, leftMs: undefined, ttlSeconds: 0 },
    ]);
    const answers = call.decodeAll(LeaseKeepAliveResponse);
    expect(answers.map(({ ID, TTL }) => [ID, TTL])).toEqual([
      [7n, 60],
      [8n, 0],
    ]);
  });

  test("says what is left of a lease by the leader's clock, and its keys as of now", () => {
    const follower = new Follower();
    follower.grant(7n);
    follower.put("b", 7n);
    const look = (ID: bigint, keys: boolean): FakeCall =>
      follower.call(
        Lease.LeaseTimeToLive.path,
        bytesOfMessage(LeaseTimeToLiveRequest, { ID, keys }),
      );
    const call = look(7n, true);
    const { kind, ids, onAnswer } = follower.question;
    expect([kind, ids]).toEqual(["look", [7n]]);
    follower.put("a", 7n); // attached before the answer came: it has to be among the keys
    onAnswer([{ id: 7n, leftMs: 41_999, ttlSeconds: 60 }]);
    expect(call.text).toBe("open");
    follower.peer.settle();
    const life = call.decode(LeaseTimeToLiveResponse);
    expect(life).toMatchObject({ ID: 7n, TTL: 41, grantedTTL: 60, keys: ["a", "b"] });
    const bare = look(7n, false);
    follower.question.onAnswer([{ id: 7n, leftMs: 0, ttlSeconds: 60 }]);
    const over = { ID: 7n, TTL: -1, grantedTTL: 0, keys: [] };
    expect(bare.decode(LeaseTimeToLiveResponse)).toMatchObject(over);
    const unknown = look(9n, true);
    follower.question.onAnswer([{ id: 9n, leftMs: undefined, ttlSeconds: 0 }]);
    follower.peer.settle();
    expect(unknown.decode(LeaseTimeToLiveResponse)).toMatchObject({ ...over, ID: 9n });
    const failed = look(7n, true);
    follower.question.onAnswer(new AetherError("stopped"));
    expect(failed.text).toBe("14 etcdserver: server stopped");
  });

  test("lists leases, those with the shortest time first", () => {
    const follower = new Follower();
    follower.grant(7n, 60);
    follower.grant(8n, 30);
    const call = follower.call(Lease.LeaseLeases.path, bytesOfMessage(LeaseLeasesRequest, {}));
    const { leases } = call.decode(LeaseLeasesResponse);
    expect(leases.map(({ ID }) => ID)).toEqual([8n, 7n]);
  });
});

const WRITES: readonly (readonly [string, Uint8Array])[] = [
  [KV.Put.path, bytesOfMessage(PutRequest, { key: "a" })],
  [AetherKV.Put.path, bytesOfMessage(PutRequest, { key: "a" })],
  [KV.DeleteRange.path, bytesOfMessage(RangeRequest, { key: "a" })],
  [KV.Compact.path, bytesOfMessage(CompactionRequest, { revision: 1 })],
  [Lease.LeaseGrant.path, bytesOfMessage(LeaseGrantRequest, { TTL: 5 })],
  [AetherLease.LeaseRevoke.path, bytesOfMessage(LeaseRevokeRequest, { ID: 7n })],
  [
    Maintenance.Alarm.path,
    bytesOfMessage(AlarmRequest, { action: AlarmAction.ACTIVATE, memberID: 7n, alarm: 1 }),
  ],
  [AetherMaintenance.AlarmAdd.path, bytesOfMessage(AlarmRequest, { memberID: 7n, alarm: 1 })],
];

describe("a follower that does not forward", () => {
  const text = "14 this member does not lead, and it does not forward";

  test.each(WRITES)("says where the leader is: %s", (path, bytes) => {
    const follower = new Follower(false);
    expect(follower.call(path, bytes).text).toBe(text);
    expect(follower.call(path, bytes).ending?.trailers).toBeUndefined();
    const record = { ID: PEER, clientURLs: ["http://10.0.0.2:2379", "http://x:1"] };
    follower.peer.change(CommandKind.memberAdd, encoded(Member, record));
    const { ending } = follower.call(path, bytes);
    expect(ending as unknown).toEqual({
      code: 14,
      message: "this member does not lead, and it does not forward; the leader is 10.0.0.2:2379",
      trailers: ["x-aether-leader", "10.0.0.2:2379"],
    });
  });

  test("reads all the same", () => {
    const follower = new Follower(false);
    const read = follower.call(KV.Range.path, bytesOfMessage(RangeRequest, { key: "a" }));
    expect(read.text).toBe("0");
  });

  test("without a leader says that there is none, since nobody could take it", () => {
    const harness = new Harness({ voters: [MEMBER, PEER], forward: false });
    const call = harness.start(KV.Put.path, bytesOfMessage(PutRequest, { key: "a" }));
    harness.driven.settle();
    expect(call.text).toBe("14 etcdserver: no leader");
  });
});
