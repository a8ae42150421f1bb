/** Status, hashes of the state, and handing leadership over. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AetherMaintenance } from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  DefragmentRequest,
  DefragmentResponse,
  DowngradeAction,
  DowngradeRequest,
  DowngradeResponse,
  HashKVRequest,
  HashKVResponse,
  HashRequest,
  HashResponse,
  KV,
  Maintenance,
  Member,
  MoveLeaderRequest,
  MoveLeaderResponse,
  PutRequest,
  StatusRequest,
  StatusResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { HASHES_WAITING_MAX } from "../../src/rpc/hash-queue.ts";
import { CommandKind } from "../../src/state/command.ts";
import { KvHash } from "../../src/state/kv-hash.ts";
import { MEMBER, PEER } from "../node/driven-group.ts";
import { encoded } from "../state/driver.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";

function status(harness: Harness, path = Maintenance.Status.path): StatusResponse {
  return harness.call(path, StatusRequest).decode(StatusResponse);
}

describe("status", () => {
  test("says where the member is", () => {
    const harness = new Harness();
    const { group } = harness.driven;
    for (const path of [Maintenance.Status.path, AetherMaintenance.Status.path]) {
      expect(status(harness, path)).toMatchObject({
        version: "3.7.1",
        leader: MEMBER,
        raftIndex: group.committedIndex,
        raftAppliedIndex: group.appliedIndex,
        raftTerm: group.term,
        dbSize: 4096,
        dbSizeInUse: 1024,
        errors: [],
        isLearner: false,
      });
    }
  });

  test("says what is wrong, in etcd's words", () => {
    const harness = new Harness({ voters: [MEMBER, PEER] });
    expect(status(harness)).toMatchObject({ leader: 0n, errors: ["etcdserver: no leader"] });
    const other = new Harness();
    const raise = (memberID: bigint, alarm: number): void => {
      const body = encoded(AlarmRequest, { action: AlarmAction.ACTIVATE, memberID, alarm });
      other.driven.propose(CommandKind.alarm, body);
      other.driven.settle();
    };
    raise(7n, AlarmType.CORRUPT);
    raise(5n, AlarmType.NOSPACE);
    expect(status(other).errors).toEqual(["memberID:5 alarm:NOSPACE", "memberID:7 alarm:CORRUPT"]);
  });

  test("says that the member is a learner", () => {
    const harness = new Harness();
    const body = encoded(Member, { ID: MEMBER, peerURLs: ["http://a:1"], isLearner: true });
    harness.driven.propose(CommandKind.memberAdd, body);
    harness.driven.settle();
    expect(status(harness).isLearner).toBe(true);
  });
});

function withKeys(count: number): Harness {
  const harness = new Harness();
  for (let i = 0; i < count; i++) harness.driven.put(`key${i}`, `value${i}`);
  harness.driven.settle();
  return harness;
}

function hashOf(harness: Harness, revision = 0): number {
  const cursor = new KvHash(harness.driven.group.machine, revision);
  while (!cursor.step(Number.POSITIVE_INFINITY));
  return cursor.hash;
}

describe("a hash", () => {
  test("of the state at a revision, with what has to be compared beside it", () => {
    const harness = withKeys(5);
    for (const path of [Maintenance.HashKV.path, AetherMaintenance.Hash.path]) {
      const answer = harness.call(path, HashKVRequest, { revision: 3 }).decode(HashKVResponse);
      const header = { revision: 6, memberId: MEMBER };
      const hash = hashOf(harness, 3);
      expect(answer).toMatchObject({ header, hash, hashRevision: 3, compactRevision: -1 });
    }
    expect(hashOf(harness, 3)).not.toBe(hashOf(harness));
    harness.driven.compact(4);
    harness.driven.settle();
    const newest = harness.call(Maintenance.HashKV.path, HashKVRequest).decode(HashKVResponse);
    expect(newest).toMatchObject({ hash: hashOf(harness), hashRevision: 6, compactRevision: 4 });
    const whole = harness.call(Maintenance.Hash.path, HashRequest).decode(HashResponse);
    expect(whole).toMatchObject({ hash: hashOf(harness), header: { revision: 6 } });
  });

  test("of a revision that is gone or still to come is refused", () => {
    const harness = withKeys(5);
    harness.driven.compact(4);
    harness.driven.settle();
    const text = (revision: number): string =>
      harness.call(Maintenance.HashKV.path, HashKVRequest, { revision }).text;
    expect(text(3)).toBe("11 etcdserver: mvcc: required revision has been compacted");
    expect(text(7)).toBe("11 etcdserver: mvcc: required revision is a future revision");
    expect(text(4)).toBe("0");
  });

  test("of much is taken while others are served, at the revision that it began with", () => {
    const harness = withKeys(4000);
    const expected = hashOf(harness);
    const call = ask(harness);
    harness.driven.endTurn();
    expect(call.text).toBe("open");
    const put = harness.start(KV.Put.path, bytesOfMessage(PutRequest, { key: "key7" }));
    harness.driven.endTurn();
    harness.driven.log.sync();
    harness.driven.endTurn();
    expect([put.text, call.text]).toEqual(["0", "open"]);
    harness.driven.settle();
    const answer = call.decode(HashKVResponse);
    expect(answer).toMatchObject({ hash: expected, hashRevision: 4001 });
    expect(answer.header?.revision).toBe(4002);
  });

  test("is not taken for a client that has gone, and leaves nothing pinned", () => {
    const harness = withKeys(2000);
    const call = ask(harness);
    harness.driven.endTurn();
    call.cancel();
    harness.driven.endTurn();
    expect(call.endings).toBe(1);
    const next = ask(harness);
    harness.driven.compact(2000);
    harness.driven.settle();
    expect([call.endings, next.text]).toEqual([1, "0"]);
    expect(harness.driven.group.machine.physicalTarget()).toBe(2000);
  });

  test("is taken one after the other, and too many are refused", () => {
    const harness = withKeys(10);
    const calls = Array.from({ length: HASHES_WAITING_MAX + 2 }, () => ask(harness));
    expect(calls.at(-1)?.text).toBe("8 etcdserver: too many requests");
    harness.driven.settle();
    const good = calls.slice(0, -1).map((call) => call.decode(HashKVResponse).hash);
    expect(new Set(good)).toEqual(new Set([hashOf(harness)]));
  });
});

function ask(harness: Harness, revision = 0): FakeCall {
  return harness.start(Maintenance.HashKV.path, bytesOfMessage(HashKVRequest, { revision }));
}

describe("leadership is handed over", () => {
  test.each([Maintenance.MoveLeader.path, AetherMaintenance.MoveLeader.path])("%s", (path) => {
    const harness = new Harness();
    const call = harness.call(path, MoveLeaderRequest, { targetID: 7n });
    expect(harness.membership.asked as unknown[]).toEqual([["moveLeader", 7n]]);
    expect(call.decode(MoveLeaderResponse).header).toBeUndefined();
    for (const [code, text] of [
      ["not_leader", "9 etcdserver: not leader"],
      ["bad_transferee", "9 etcdserver: bad leader transferee"],
      ["timeout_leader_transfer", "2 etcdserver: request timed out, leader transfer took too long"],
    ] as const) {
      harness.membership.answer = new AetherError(code);
      expect(harness.call(path, MoveLeaderRequest, { targetID: 7n }).text).toBe(text);
    }
  });
});

describe("space", () => {
  test("is given back, and answered without a header when it has been", () => {
    for (const path of [Maintenance.Defragment.path, AetherMaintenance.Defragment.path]) {
      const harness = new Harness();
      const call = harness.start(path);
      expect(call.text).toBe("open");
      harness.driven.settle();
      expect([call.text, call.decode(DefragmentResponse).header]).toEqual(["0", undefined]);
      harness.driven.group.stop();
      expect(harness.call(path, DefragmentRequest).text).toBe("14 etcdserver: server stopped");
    }
  });

  test("that is waited for is not, once the group has stopped", () => {
    const harness = new Harness();
    const call = harness.start(Maintenance.Defragment.path);
    harness.driven.group.stop();
    expect([call.text, call.endings]).toEqual(["14 etcdserver: server stopped", 1]);
  });

  test("that may be used is what was configured", () => {
    const quotas = [0, 1_000_000, -1].map(
      (quotaBytes) => status(new Harness({ quotaBytes })).dbSizeQuota,
    );
    expect(quotas).toEqual([2 ** 31, 1_000_000, -1]);
  });
});

describe("a downgrade", () => {
  const { VALIDATE, ENABLE, CANCEL } = DowngradeAction;
  const ask = (harness: Harness, action: number, version = ""): FakeCall =>
    harness.call(Maintenance.Downgrade.path, DowngradeRequest, {
      action: action as DowngradeAction,
      version,
    });

  test("is looked at, begun and called off in etcd's words", () => {
    const harness = new Harness();
    const answer = (action: number, version: string): string =>
      ask(harness, action, version).decode(DowngradeResponse).version;
    expect(answer(VALIDATE, "3.6")).toBe("3.7");
    expect(answer(CANCEL, "")).toBe("3.7"); // nothing was begun
    expect(status(harness).downgradeInfo).toEqual({ enabled: false, targetVersion: "" });
    expect(answer(ENABLE, "3.6.4")).toBe("3.7");
    const info = { enabled: true, targetVersion: "3.6.0" };
    expect(status(harness)).toMatchObject({ storageVersion: "3.7.0", downgradeInfo: info });
    expect(ask(harness, ENABLE, "3.6").text).toBe(
      "9 etcdserver: cluster has a downgrade job in progress",
    );
    const header = { memberId: MEMBER, revision: 1 };
    expect(ask(harness, CANCEL).decode(DowngradeResponse).header).toMatchObject(header);
    expect(status(harness).downgradeInfo).toEqual({ enabled: false, targetVersion: "" });
  });

  test("is refused for what is no version, or not the one below", () => {
    const harness = new Harness();
    for (const action of [VALIDATE, ENABLE]) {
      const text = (version: string): string => ask(harness, action, version).text;
      expect(text("x")).toBe("3 etcdserver: wrong downgrade target version format");
      expect(text("3.5")).toBe("3 etcdserver: invalid downgrade target version");
    }
    expect(ask(harness, 7).text).toBe("2 etcdserver: unknown method");
    harness.driven.group.stop();
    expect(ask(harness, VALIDATE, "3.6").text).toBe("14 etcdserver: server stopped");
    expect(ask(harness, CANCEL).text).toBe("14 etcdserver: server stopped");
  });
});
