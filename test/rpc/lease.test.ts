/** Lease and AetherLease over a real group. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AetherLease } from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  PutRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { TICK_MS } from "../node/driven-group.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";

function grant(harness: Harness, ID: bigint, TTL: number, path = Lease.LeaseGrant.path): FakeCall {
  return harness.call(path, LeaseGrantRequest, { ID, TTL });
}

function lifeOf(harness: Harness, ID: bigint, keys = false): LeaseTimeToLiveResponse {
  const call = harness.call(Lease.LeaseTimeToLive.path, LeaseTimeToLiveRequest, { ID, keys });
  return call.decode(LeaseTimeToLiveResponse);
}

function attach(harness: Harness, key: string, lease: bigint): void {
  harness.call(KV.Put.path, PutRequest, { key, lease });
}

describe("a grant", () => {
  test("answers the id and the TTL, and takes no revision", () => {
    const harness = new Harness();
    const answer = grant(harness, 7n, 60).decode(LeaseGrantResponse);
    expect(answer).toMatchObject({ ID: 7n, TTL: 60, error: "" });
    expect(answer.header?.revision).toBe(1);
  });

  test("chooses a positive id when none is given, another one each time", () => {
    const harness = new Harness();
    const ids = [0, 1, 2].map(() => grant(harness, 0n, 60).decode(LeaseGrantResponse).ID);
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id > 0n && id < 2n ** 63n).toBe(true);
  });

  test("raises a TTL that could not outlive an election", () => {
    const harness = new Harness();
    for (const [ID, TTL, raised] of [
      [1n, 1, 2],
      [2n, 0, 2],
      [3n, -1, 2],
      [4n, -(2 ** 53) + 1, 2],
      [5n, 2, 2],
      [6n, 3, 3],
      [7n, 9_000_000_000, 9_000_000_000],
    ] as const) {
      expect(grant(harness, ID, TTL).decode(LeaseGrantResponse).TTL).toBe(raised);
    }
  });

  test("takes any id of 64 bits", () => {
    const harness = new Harness();
    for (const id of [1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(grant(harness, id, 60).decode(LeaseGrantResponse).ID).toBe(id);
      expect(lifeOf(harness, id).grantedTTL).toBe(60);
    }
  });

  test("fails for an id in use, and for a TTL beyond etcd's bound", () => {
    const harness = new Harness();
    grant(harness, 1n, 60);
    expect(grant(harness, 1n, 60).text).toBe("9 etcdserver: lease already exists");
    const tooLarge = "11 etcdserver: too large lease TTL";
    expect(grant(harness, 2n, 9_000_000_001).text).toBe(tooLarge);
    expect(grant(harness, 2n, Number.MAX_SAFE_INTEGER).text).toBe(tooLarge);
    const alarm = { action: AlarmAction.ACTIVATE, memberID: 1n, alarm: AlarmType.NOSPACE };
    const bytes = bytesOfMessage(AlarmRequest, alarm);
    harness.driven.group.propose(CommandKind.alarm, bytes, 0, bytes.length, () => {});
    harness.driven.settle();
    expect(grant(harness, 2n, 9_000_000_001).text).toBe(
      "8 etcdserver: mvcc: database space exceeded",
    );
  });

  test("of our own face keeps to the configured limits, with those under way", () => {
    const harness = new Harness({ native: { leasesMax: 2, ttlSecondsMax: 100 } });
    const { path } = AetherLease.LeaseGrant;
    expect(grant(harness, 1n, 101, path).text).toStartWith("3 lease TTL 101 is too long");
    const body = (ID: bigint) => bytesOfMessage(LeaseGrantRequest, { ID, TTL: 100 });
    const calls = [1n, 2n, 3n].map((ID) => harness.start(path, body(ID)));
    harness.driven.settle();
    expect(calls.map(({ ending }) => ending?.code)).toEqual([0, 0, 8]);
    expect(grant(harness, 4n, 100, path).text).toBe("8 too many leases: lease.max_leases is 2");
    expect(grant(harness, 4n, 500).text).toBe("0"); // etcd's face has no such limits
  });
});

describe("what is left of a lease", () => {
  test("in whole seconds, with its keys in order when asked", () => {
    const harness = new Harness();
    grant(harness, 7n, 60);
    attach(harness, "b", 7n);
    attach(harness, "a", 7n);
    harness.driven.pass(1500);
    expect(lifeOf(harness, 7n)).toMatchObject({ ID: 7n, TTL: 58, grantedTTL: 60, keys: [] });
    expect(lifeOf(harness, 7n, true).keys).toEqual(["a", "b"]);
    harness.driven.pass(500);
    expect(lifeOf(harness, 7n).TTL).toBe(58);
  });

  test("is -1 when there is none, or when it has run out", () => {
    const harness = new Harness();
    const gone = { TTL: -1, grantedTTL: 0, keys: [] };
    expect(lifeOf(harness, 9n, true)).toMatchObject({ ID: 9n, ...gone });
    grant(harness, 7n, 2);
    harness.driven.clock.nowMs += 2000;
    expect(lifeOf(harness, 7n, true)).toMatchObject({ ID: 7n, ...gone });
  });

  test("decides the order of the list", () => {
    const harness = new Harness();
    for (const [ID, TTL] of [
      [1n, 90],
      [2n, 30],
      [-3n, 60],
    ] as const) {
      grant(harness, ID, TTL);
    }
    const call = harness.call(Lease.LeaseLeases.path, LeaseLeasesRequest);
    expect(call.decode(LeaseLeasesResponse).leases).toEqual([{ ID: 2n }, { ID: -3n }, { ID: 1n }]);
  });
});

describe("a revocation", () => {
  test("deletes the keys in one revision; an unknown one fails", () => {
    const harness = new Harness();
    grant(harness, 7n, 60);
    attach(harness, "a", 7n);
    attach(harness, "b", 7n);
    const revoke = (): FakeCall =>
      harness.call(Lease.LeaseRevoke.path, LeaseRevokeRequest, { ID: 7n });
    expect(revoke().decode(LeaseRevokeResponse).header?.revision).toBe(4);
    expect(harness.driven.contents()).toEqual([]);
    expect(revoke().text).toBe("5 etcdserver: requested lease not found");
  });
});

describe("a stream of renewals", () => {
  test("answers each with its TTL, an unknown one with 0, and ends when the client is done", () => {
    const harness = new Harness();
    grant(harness, 7n, 5);
    const call = harness.start(Lease.LeaseKeepAlive.path);
    for (const ID of [7n, 99n, 7n]) harness.tell(call, LeaseKeepAliveRequest, { ID });
    expect(call.decodeAll(LeaseKeepAliveResponse).map(({ ID, TTL }) => [ID, TTL])).toEqual([
      [7n, 5],
      [99n, 0],
      [7n, 5],
    ]);
    expect([call.text, harness.lease.streamCount]).toEqual(["open", 1]);
    harness.halfClose(call);
    expect([call.text, harness.lease.streamCount]).toEqual(["0", 0]);
  });

  test("answers in the order of the requests, and renews the later ones meanwhile", () => {
    const harness = new Harness();
    grant(harness, 7n, 2);
    grant(harness, 8n, 10);
    harness.driven.clock.nowMs += 2000; // 7 has run out, and its end is not proposed yet
    const call = harness.start(Lease.LeaseKeepAlive.path);
    for (const ID of [8n, 7n, 8n]) harness.tell(call, LeaseKeepAliveRequest, { ID });
    expect(call.decodeAll(LeaseKeepAliveResponse).map(({ ID }) => ID)).toEqual([8n]);
    expect(lifeOf(harness, 8n).TTL).toBe(10);
    harness.driven.pass(2 * TICK_MS);
    expect(call.decodeAll(LeaseKeepAliveResponse).map(({ ID, TTL }) => [ID, TTL])).toEqual([
      [8n, 10],
      [7n, 0],
      [8n, 10],
    ]);
  });

  test("that was half closed ends after the answer it still waits for", () => {
    const harness = new Harness();
    grant(harness, 7n, 2);
    const call = harness.start(Lease.LeaseKeepAlive.path);
    harness.driven.tick(2000); // its end is proposed
    harness.say(call, bytesOfMessage(LeaseKeepAliveRequest, { ID: 7n }));
    call.handler?.onHalfClose();
    expect(call.text).toBe("open");
    harness.driven.settle(); // the lease has ended
    harness.driven.pass(TICK_MS);
    expect([call.decode(LeaseKeepAliveResponse).TTL, call.text]).toEqual([0, "0"]);
  });

  test("is ended when the server stops, and forgotten when the client goes", () => {
    const harness = new Harness();
    const first = harness.start(Lease.LeaseKeepAlive.path);
    const second = harness.start(Lease.LeaseKeepAlive.path);
    first.cancel();
    expect(harness.lease.streamCount).toBe(1);
    harness.lease.close(new AetherError("stopped"));
    expect([first.endings, second.text]).toEqual([0, "14 etcdserver: server stopped"]);
  });

  test("fails, and is forgotten, when the leader cannot be confirmed", () => {
    const harness = new Harness();
    const call = harness.start(Lease.LeaseKeepAlive.path);
    harness.driven.group.stop();
    harness.tell(call, LeaseKeepAliveRequest, { ID: 7n });
    expect([call.text, harness.lease.streamCount]).toEqual(["14 etcdserver: server stopped", 0]);
  });

  test("keeps a lease alive beyond its TTL, and its end is seen by who renews too late", () => {
    const harness = new Harness();
    grant(harness, 7n, 2);
    attach(harness, "a", 7n);
    const call = harness.start(Lease.LeaseKeepAlive.path);
    for (let i = 0; i < 4; i++) {
      harness.driven.pass(1500);
      harness.tell(call, LeaseKeepAliveRequest, { ID: 7n });
    }
    expect(harness.driven.contents()).toEqual(["a="]);
    harness.driven.pass(2100);
    harness.tell(call, LeaseKeepAliveRequest, { ID: 7n });
    expect(call.decode(LeaseKeepAliveResponse).TTL).toBe(0);
    expect(harness.driven.contents()).toEqual([]);
  });
});
