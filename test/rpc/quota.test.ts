/** The space quota: what fits, who raises the alarm, and how it ends. */
import { describe, expect, test } from "bun:test";
import { AetherKV, AetherLease } from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  DeleteRangeRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  Maintenance,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { MEMBER, PEER, TICK_MS } from "../node/driven-group.ts";
import { Harness } from "./harness.ts";

const NO_SPACE = "8 etcdserver: mvcc: database space exceeded";
const QUOTA = 100_000;

function harnessWith(inUse: number, quotaBytes = QUOTA): Harness {
  const harness = new Harness({ quotaBytes });
  harness.size.inUse = inUse;
  harness.quota.tick();
  return harness;
}

/** Key and value of `bytes` in all: they cost 256 more. */
function put(harness: Harness, bytes: number, path = KV.Put.path): string {
  return harness.call(path, PutRequest, { key: "k", value: Buffer.alloc(bytes - 1) }).text;
}

function alarms(harness: Harness): bigint[] {
  return harness.driven.group.machine.alarms().map(({ memberID }) => memberID);
}

function pass(harness: Harness, ms: number): void {
  for (let left = ms; left > 0; left -= TICK_MS) {
    harness.driven.tick();
    harness.quota.tick();
  }
  harness.driven.settle();
  harness.quota.tick();
  harness.driven.settle();
}

describe("a put", () => {
  test("fits while there is more room than it costs, and then raises the alarm", () => {
    for (const path of [KV.Put.path, AetherKV.Put.path]) {
      const harness = harnessWith(QUOTA - 1257);
      expect(put(harness, 1000, path)).toBe("0");
      const full = harnessWith(QUOTA - 1256);
      expect(put(full, 1000, path)).toBe(NO_SPACE);
      expect(alarms(full)).toEqual([MEMBER]);
      expect(full.driven.group.machine.isAlarmByQuota(MEMBER)).toBe(true);
      expect(full.logged.join()).toContain("space quota is used up");
    }
  });

  test("is counted at once, then as long as it is on its way, then as what the file holds", () => {
    const after = (wait: (harness: Harness) => void): string => {
      const harness = harnessWith(QUOTA - 5000);
      expect(put(harness, 4000)).toBe("0");
      wait(harness);
      return put(harness, 1000);
    };
    expect(after(() => {})).toBe(NO_SPACE);
    expect(after(({ quota }) => quota.tick())).toBe(NO_SPACE);
    expect(after((harness) => pass(harness, 3 * TICK_MS))).toBe("0"); // it took nothing, say
  });

  test("after an alarm was disarmed fits into what is free then, not at the last tick", () => {
    const harness = harnessWith(QUOTA);
    expect(put(harness, 1000)).toBe(NO_SPACE);
    harness.size.inUse = 0;
    const alarm = { action: AlarmAction.DEACTIVATE, memberID: MEMBER, alarm: AlarmType.NOSPACE };
    harness.call(Maintenance.Alarm.path, AlarmRequest, alarm);
    harness.quota.measure(); // as services do when alarms have changed
    expect(put(harness, 1000)).toBe("0");
    expect(alarms(harness)).toEqual([]);
  });

  test("waits for the alarm to be raised, and fails also if that fails", () => {
    const harness = harnessWith(QUOTA);
    const body = { key: "k" };
    const calls = [0, 1, 2].map(() => {
      const bytes = Buffer.from([0x0a, 1, 0x6b]);
      return harness.start(KV.Put.path, bytes);
    });
    expect(calls.map(({ text }) => text)).toEqual(["open", "open", "open"]);
    harness.driven.settle();
    expect(calls.map(({ text }) => text)).toEqual([NO_SPACE, NO_SPACE, NO_SPACE]);
    const stopped = harnessWith(QUOTA);
    stopped.driven.group.stop();
    expect(stopped.call(KV.Put.path, PutRequest, body).text).toBe(NO_SPACE);
  });
});

test("a transaction costs its dearer branch; reads and deletes cost nothing", () => {
  const putOp = (bytes: number): RequestOp =>
    RequestOp.create({ requestPut: PutRequest.create({ key: "k", value: Buffer.alloc(bytes) }) });
  const read = RequestOp.create({ requestRange: RangeRequest.create({ key: "a" }) });
  const remove = RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key: "a" }) });
  const txn = (harness: Harness, success: RequestOp[], failure: RequestOp[]): string =>
    harness.call(KV.Txn.path, TxnRequest, { success, failure }).text;
  expect(txn(harnessWith(QUOTA - 1000), [putOp(100)], [putOp(742)])).toBe("0");
  expect(txn(harnessWith(QUOTA - 1000), [read], [putOp(743)])).toBe(NO_SPACE);
  const full = harnessWith(2 * QUOTA);
  expect(txn(full, [read], [])).toBe("0");
  expect(txn(full, [remove], [read])).toBe("0");
  expect(alarms(full)).toEqual([]);
});

test("a grant costs 64 bytes", () => {
  for (const path of [Lease.LeaseGrant.path, AetherLease.LeaseGrant.path]) {
    const grant = (harness: Harness): string =>
      harness.call(path, LeaseGrantRequest, { TTL: 60 }).text;
    expect(grant(harnessWith(QUOTA - 65))).toBe("0");
    expect(grant(harnessWith(QUOTA - 64))).toBe(NO_SPACE);
  }
});

describe("a quota", () => {
  test("of 0 is 2 GiB, and below 0 there is none", () => {
    const grows = (quotaBytes: number, inUse: number): string =>
      put(harnessWith(inUse, quotaBytes), 1000);
    expect(grows(0, 2 ** 31 - 1257)).toBe("0");
    expect(grows(0, 2 ** 31 - 1256)).toBe(NO_SPACE);
    expect(grows(-1, 2 ** 40)).toBe("0");
  });

  test("that others have exceeded for us is ours to announce, when something is put", () => {
    const harness = harnessWith(0);
    harness.size.inUse = QUOTA;
    pass(harness, 1000);
    expect(alarms(harness)).toEqual([]); // as after a start with a smaller quota
    harness.driven.put("k", "v"); // let in by another member
    harness.driven.settle();
    pass(harness, 1000);
    expect(alarms(harness)).toEqual([MEMBER]);
  });

  test("clears its alarm a minute after there is space below nine tenths of it", () => {
    const harness = harnessWith(QUOTA);
    expect(put(harness, 1000)).toBe(NO_SPACE);
    harness.size.inUse = 0.95 * QUOTA;
    pass(harness, 120_000);
    expect(put(harness, 1000)).toBe(NO_SPACE); // there would be room, but somebody has no space
    harness.size.inUse = 0.89 * QUOTA;
    pass(harness, 59_000);
    expect(alarms(harness)).toEqual([MEMBER]);
    pass(harness, 2000);
    expect(alarms(harness)).toEqual([]);
    expect(put(harness, 1000)).toBe("0");
  });

  test("that is used up again meanwhile begins to count anew", () => {
    const harness = harnessWith(QUOTA);
    put(harness, 1000);
    harness.size.inUse = 0;
    pass(harness, 59_000);
    harness.size.inUse = QUOTA;
    pass(harness, TICK_MS);
    harness.size.inUse = 0;
    pass(harness, 59_000);
    expect(alarms(harness)).toEqual([MEMBER]);
  });

  test("leaves alarms alone that it did not raise", () => {
    const harness = harnessWith(0);
    const raise = (memberID: bigint): void => {
      const request = { action: AlarmAction.ACTIVATE, memberID, alarm: AlarmType.NOSPACE };
      harness.call("/etcdserverpb.Maintenance/Alarm", AlarmRequest, request);
    };
    raise(MEMBER);
    raise(PEER);
    pass(harness, 120_000);
    expect(alarms(harness).length).toBe(2);
  });
});
