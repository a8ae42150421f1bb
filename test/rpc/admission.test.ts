/** Who is served at all: learners, corrupt members, members without a leader. */
import { describe, expect, test } from "bun:test";
import {
  AetherKV,
  AetherLease,
  AetherMaintenance,
  GetRequest,
} from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  Cluster,
  DeleteRangeRequest,
  KV,
  Lease,
  LeaseKeepAliveRequest,
  LeaseLeasesRequest,
  Maintenance,
  Member,
  MemberPromoteRequest,
  MemberRemoveRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  StatusRequest,
  TxnRequest,
  Watch,
  WatchCreateRequest,
  WatchRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Health } from "../../src/proto/gen/grpc.health.v1.ts";
import { WHOLE_CLUSTER } from "../../src/state/alarms.ts";
import { CommandKind } from "../../src/state/command.ts";
import { Companion, MEMBER, PEER } from "../node/driven-group.ts";
import { encoded } from "../state/driver.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";

const LEARNER = "9 etcdserver: rpc not supported for learner";
const CORRUPT = "15 etcdserver: corrupt cluster";
const NO_LEADER = "14 etcdserver: no leader";

function apply(harness: Harness, kind: CommandKind, body: Uint8Array): void {
  const call = harness.driven.propose(kind, body);
  harness.driven.settle();
  expect(call.code).toBe("ok");
  harness.admission.refresh();
}

function learner(): Harness {
  const harness = new Harness();
  const record = { ID: MEMBER, peerURLs: ["http://a:1"], isLearner: true };
  apply(harness, CommandKind.memberAdd, encoded(Member, record));
  return harness;
}

describe("a learner", () => {
  test("serves its status and serializable reads, and refuses everything else", () => {
    const harness = learner();
    const key = "a";
    const served: readonly FakeCall[] = [
      harness.call(Maintenance.Status.path, StatusRequest),
      harness.call(AetherMaintenance.Status.path, StatusRequest),
      harness.call(KV.Range.path, RangeRequest, { key, serializable: true }),
      harness.call(AetherKV.Range.path, RangeRequest, { key, serializable: true }),
    ];
    expect(served.map(({ text }) => text)).toEqual(served.map(() => "0"));
    const absent = harness.call(AetherKV.Get.path, GetRequest, { key, serializable: true });
    expect(absent.text).toBe("5 key not found");
    expect(harness.call(KV.Range.path, RangeRequest, { key }).text).toBe(LEARNER);
    expect(harness.call(AetherKV.Get.path, GetRequest, { key }).text).toBe(LEARNER);
    const serves = new Set(served.map(({ path }) => path)).add(AetherKV.Get.path);
    for (const path of harness.methods.keys()) {
      if (!serves.has(path)) expect([path, harness.start(path).text]).toEqual([path, LEARNER]);
    }
  });

  test("serves everything once it is promoted", () => {
    const harness = learner();
    apply(harness, CommandKind.memberPromote, encoded(MemberPromoteRequest, { ID: MEMBER }));
    expect(harness.call(KV.Put.path, PutRequest, { key: "a" }).text).toBe("0");
  });

  test("is only the one that is one: others' records make no difference", () => {
    const harness = new Harness();
    const record = { ID: 7n, peerURLs: ["http://b:1"], isLearner: true };
    apply(harness, CommandKind.memberAdd, encoded(Member, record));
    expect(harness.call(KV.Put.path, PutRequest, { key: "a" }).text).toBe("0");
    apply(harness, CommandKind.memberRemove, encoded(MemberRemoveRequest, { ID: 7n }));
  });
});

function raise(harness: Harness, memberID: bigint, alarm: AlarmType): void {
  const request = { action: AlarmAction.ACTIVATE, memberID, alarm };
  apply(harness, CommandKind.alarm, encoded(AlarmRequest, request));
}

describe("a member whose state is corrupt", () => {
  test("serves no keys, leases and watches, but says how it is", () => {
    const harness = new Harness();
    raise(harness, MEMBER, AlarmType.CORRUPT);
    const state = [KV, Watch, Lease, AetherKV, AetherLease].flatMap((service) =>
      Object.values(service).map(({ path }) => path),
    );
    for (const path of state) expect([path, harness.start(path).text]).toEqual([path, CORRUPT]);
    expect(harness.call(Maintenance.Status.path, StatusRequest).text).toBe("0");
    expect(harness.call(Maintenance.Alarm.path, AlarmRequest).text).toBe("0");
    expect(harness.start(Cluster.MemberList.path).text).toBe("0");
    const request = { action: AlarmAction.DEACTIVATE, memberID: MEMBER, alarm: AlarmType.CORRUPT };
    apply(harness, CommandKind.alarm, encoded(AlarmRequest, request));
    expect(harness.call(KV.Put.path, PutRequest, { key: "a" }).text).toBe("0");
  });

  test("ends the watches and renewals that it has begun", () => {
    const harness = new Harness();
    const calls = [Watch.Watch.path, Lease.LeaseKeepAlive.path].map((path) => harness.start(path));
    raise(harness, MEMBER, AlarmType.CORRUPT);
    expect(calls.map(({ text }) => text)).toEqual([CORRUPT, CORRUPT]);
  });

  test("is no other member, and no member with another alarm", () => {
    const harness = new Harness();
    raise(harness, 7n, AlarmType.CORRUPT);
    expect(harness.call(KV.Put.path, PutRequest, { key: "a" }).text).toBe("0");
    raise(harness, MEMBER, AlarmType.NOSPACE); // which takes no puts, and is another reason
    expect(harness.call(KV.DeleteRange.path, DeleteRangeRequest, { key: "a" }).text).toBe("0");
  });
});

describe("while nobody knows whose state is right", () => {
  const split = (): Harness => {
    const harness = new Harness();
    raise(harness, WHOLE_CLUSTER, AlarmType.CORRUPT);
    return harness;
  };

  test("nobody writes, or reads what would have to be the newest", () => {
    const harness = split();
    const keys = [KV, AetherKV].flatMap((service) => Object.values(service));
    const leases = [Lease, AetherLease].flatMap((each) => [each.LeaseGrant, each.LeaseRevoke]);
    for (const { path } of [...keys, ...leases]) {
      expect([path, harness.start(path).text]).toEqual([path, CORRUPT]);
    }
    const requestRange = RangeRequest.create({ serializable: true });
    const txn = { success: [RequestOp.create({ requestRange })] };
    expect(harness.call(KV.Txn.path, TxnRequest, txn).text).toBe(CORRUPT);
  });

  test("stale reads, watches, renewals and everything about the cluster are served", () => {
    const harness = split();
    const stale = { key: "a", serializable: true };
    expect(harness.call(KV.Range.path, RangeRequest, stale).text).toBe("0");
    expect(harness.call(AetherKV.Range.path, RangeRequest, stale).text).toBe("0");
    expect(harness.call(AetherKV.Get.path, GetRequest, stale).text).toBe("5 key not found");
    expect(harness.start(Watch.Watch.path).text).toBe("open");
    expect(harness.start(Lease.LeaseKeepAlive.path).text).toBe("open");
    expect(harness.call(Lease.LeaseLeases.path, LeaseLeasesRequest).text).toBe("0");
    expect(harness.call(Maintenance.Status.path, StatusRequest).text).toBe("0");
    expect(harness.call(Maintenance.Alarm.path, AlarmRequest).text).toBe("0");
    expect(harness.start(Cluster.MemberList.path).text).toBe("0");
  });

  test("a watch that is open stays open, and all is well once the alarm is cleared", () => {
    const harness = new Harness();
    const watch = harness.start(Watch.Watch.path);
    raise(harness, WHOLE_CLUSTER, AlarmType.CORRUPT);
    expect(watch.text).toBe("open");
    const cleared = {
      action: AlarmAction.DEACTIVATE,
      memberID: WHOLE_CLUSTER,
      alarm: AlarmType.CORRUPT,
    };
    apply(harness, CommandKind.alarm, encoded(AlarmRequest, cleared));
    expect(harness.call(KV.Put.path, PutRequest, { key: "a" }).text).toBe("0");
  });
});

const ASKING = ["hasleader", "true"];

/** One of two members: it leads while the other one answers. */
class Pair {
  readonly harness = new Harness({ voters: [MEMBER, PEER] });
  readonly companion = new Companion(this.harness.driven);

  constructor() {
    this.companion.elect();
  }

  /** The other member is gone, and time passes; the leader steps down after a while. */
  lose(ms: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      this.harness.driven.tick();
      this.harness.admission.tick(this.harness.driven.clock.nowMs);
      this.harness.driven.settle();
    }
  }

  watch(metadata: readonly string[]): FakeCall {
    const call = this.harness.start(Watch.Watch.path, new Uint8Array(0), metadata);
    const createRequest = WatchCreateRequest.create({ key: "a" });
    this.harness.tell(call, WatchRequest, { createRequest });
    return call;
  }
}

describe("a call that asks for a leader", () => {
  const status = (harness: Harness, metadata: readonly string[]): string =>
    harness.call(Maintenance.Status.path, StatusRequest, {}, metadata).text;

  test("is refused while there is none, whatever it is about", () => {
    const harness = new Harness({ voters: [MEMBER, PEER] });
    expect(status(harness, ASKING)).toBe(NO_LEADER);
    expect(status(harness, [])).toBe("0");
    expect(status(harness, ["hasleader", "false"])).toBe("0");
    const stream = (metadata: readonly string[]): string =>
      harness.start(Watch.Watch.path, new Uint8Array(0), metadata).text;
    expect(stream(ASKING)).toBe(NO_LEADER);
    expect(stream([])).toBe("open");
    new Companion(harness.driven).elect();
    expect([status(harness, ASKING), stream(ASKING)]).toEqual(["0", "open"]);
  });

  test("ends as a stream when nobody has led for three election timeouts, and not before", () => {
    const pair = new Pair();
    const { harness } = pair;
    const asking = pair.watch(ASKING);
    const other = pair.watch([]);
    const renewals = harness.start(Lease.LeaseKeepAlive.path, new Uint8Array(0), ASKING);
    while (harness.driven.group.leader !== 0n) pair.lose(100);
    pair.lose(2800);
    expect([asking.text, renewals.text]).toEqual(["open", "open"]);
    pair.lose(100);
    expect([asking.text, other.text, renewals.text]).toEqual([NO_LEADER, "open", NO_LEADER]);
    expect(harness.driven.group.hub.counters()).toMatchObject({ streams: 1, watchers: 1 });
    expect(harness.lease.streamCount).toBe(0);
  });

  test("goes on as a stream when a leader was found in time", () => {
    const pair = new Pair();
    const asking = pair.watch(ASKING);
    while (pair.harness.driven.group.leader !== 0n) pair.lose(100);
    pair.lose(2000);
    pair.companion.elect();
    pair.lose(100);
    pair.harness.driven.put("a", "1");
    pair.companion.settle();
    expect([asking.text, asking.messages.length]).toEqual(["open", 2]);
    expect(pair.harness.driven.group.leader).toBe(MEMBER);
  });

  test("is forgotten as a stream when it has ended, however that was", () => {
    const pair = new Pair();
    const { harness } = pair;
    const [byClient, byHandler, byRequest] = [0, 1, 2].map(() => pair.watch(ASKING)) as [
      FakeCall,
      FakeCall,
      FakeCall,
    ];
    byClient.cancel();
    byHandler.queuedBytes = 64 * 1024 * 1024;
    harness.tell(byHandler, WatchRequest, { progressRequest: {} });
    const range = harness.start(KV.RangeStream.path, new Uint8Array(0), ASKING);
    harness.say(range, bytesOfMessage(RangeRequest, { key: "" }));
    harness.say(byRequest, new Uint8Array([0x0a, 0xff]));
    const finished = harness.start(Lease.LeaseKeepAlive.path, new Uint8Array(0), ASKING);
    harness.say(finished, bytesOfMessage(LeaseKeepAliveRequest, { ID: 7n }));
    finished.handler?.onHalfClose();
    pair.companion.settle();
    const calls = [byClient, byHandler, byRequest, range, finished];
    const endings = calls.map((call) => call.endings);
    expect(harness.admission.streamCount).toBe(0);
    pair.lose(10_000);
    expect(calls.map((call) => call.endings)).toEqual(endings);
    expect(endings).toEqual([0, 1, 1, 1, 1]);
  });

  test("may be any stream: health has no say in it", () => {
    const harness = new Harness();
    expect(harness.start(Health.Watch.path, new Uint8Array(0), ASKING).text).toBe("open");
  });
});
