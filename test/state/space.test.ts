/** What costs room, and what is refused while somebody is out of it (etcd's storage/quota.go). */
import { describe, expect, test } from "bun:test";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { costOfPut, costOfTxn } from "../../src/state/cost.ts";
import type { AlarmResult } from "../../src/state/results.ts";
import { stateHash } from "../../src/state/state-hash.ts";
import { verify } from "../../src/state/verify.ts";
import { bytes, codeOf, Driver, encoded } from "./driver.ts";

const { NOSPACE, CORRUPT } = AlarmType;
const { ACTIVATE, DEACTIVATE } = AlarmAction;

function putOf(key: string, value: string): RequestOp {
  return RequestOp.create({ requestPut: PutRequest.create({ key, value: bytes(value) }) });
}
const READ = RequestOp.create({ requestRange: RangeRequest.create({ key: "a" }) });

function quota(driver: Driver, action: AlarmAction, memberID: bigint): AlarmResult {
  const body = encoded(AlarmRequest, { action, memberID, alarm: NOSPACE });
  return driver.command(CommandKind.quotaAlarm, body) as AlarmResult;
}

describe("cost", () => {
  test("of a put is what it carries and 256 bytes", () => {
    expect(costOfPut(3, 10)).toBe(269);
  });

  test("of a transaction is that of its dearer branch, with what is nested in it", () => {
    const nested = TxnRequest.create({ failure: [putOf("ab", "c")] });
    const success = [putOf("a", "xx"), READ, RequestOp.create({ requestTxn: nested })];
    const failure = [putOf("a", "x".repeat(400))];
    expect(costOfTxn(TxnRequest.create({ success }))).toBe(259 + 259);
    expect(costOfTxn(TxnRequest.create({ failure }))).toBe(657);
    expect(costOfTxn(TxnRequest.create({ success, failure }))).toBe(657);
    expect(costOfTxn(TxnRequest.create({ success: [READ], failure: [READ] }))).toBe(0);
  });
});

describe("while a member is out of space", () => {
  test("puts and grants fail, in transactions too, and nothing else does", () => {
    const driver = new Driver();
    driver.grant(1n);
    driver.put("a", "1", { lease: 1n });
    driver.put("b");
    driver.raiseAlarm(9n, NOSPACE);
    expect(codeOf(() => driver.put("a", "2"))).toBe("no_space");
    expect(codeOf(() => driver.put(""))).toBe("no_space"); // before anything else is looked at
    expect(codeOf(() => driver.grant(2n))).toBe("no_space");
    expect(codeOf(() => driver.txn({ success: [READ], failure: [putOf("a", "2")] }))).toBe(
      "no_space",
    );
    expect(driver.contents()).toEqual(["a=1", "b="]);
    expect(driver.txn({ success: [READ] }).succeeded).toBe(true);
    expect(driver.delete("b").deleted).toBe(1);
    driver.compact(driver.machine.revision);
    driver.revoke(1n);
    driver.clearAlarm(9n, NOSPACE);
    driver.put("a", "2");
    expect(driver.contents()).toEqual(["a=2"]);
  });

  test("any member will do, and it lasts until the last one has space, also over a restart", () => {
    const driver = new Driver();
    driver.raiseAlarm(0n, NOSPACE);
    quota(driver, ACTIVATE, 7n);
    driver.restart();
    expect(codeOf(() => driver.put("a"))).toBe("no_space");
    driver.clearAlarm(0n, NOSPACE);
    expect(codeOf(() => driver.put("a"))).toBe("no_space");
    driver.clearAlarm(7n, NOSPACE);
    expect(codeOf(() => driver.put("a"))).toBe("none");
  });

  test("other alarms are none of this", () => {
    const driver = new Driver();
    driver.raiseAlarm(9n, CORRUPT);
    expect(codeOf(() => driver.put("a"))).toBe("none");
  });
});

describe("an alarm of a quota", () => {
  test("is one like others, and the quota clears what it raised", () => {
    const driver = new Driver();
    const alarms = [{ memberID: 5n, alarm: NOSPACE }];
    expect(quota(driver, ACTIVATE, 5n)).toEqual({ kind: "alarm", revision: 1, alarms });
    expect(quota(driver, ACTIVATE, 5n).alarms).toEqual(alarms);
    expect(driver.machine.alarms()).toEqual(alarms);
    expect([5n, 6n].map((id) => driver.machine.isAlarmByQuota(id))).toEqual([true, false]);
    verify(driver.machine);
    const hash = stateHash(driver.machine);
    driver.restart();
    expect(stateHash(driver.machine)).toBe(hash);
    expect(quota(driver, DEACTIVATE, 5n).alarms).toEqual(alarms);
    expect(quota(driver, DEACTIVATE, 5n).alarms).toEqual([]);
    expect(driver.machine.alarms()).toEqual([]);
    verify(driver.machine);
  });

  test("may be cleared by a person; what a person raised, the quota leaves", () => {
    const driver = new Driver();
    quota(driver, ACTIVATE, 5n);
    driver.clearAlarm(5n, NOSPACE);
    expect(driver.machine.isAlarmByQuota(5n)).toBe(false);
    driver.raiseAlarm(5n, NOSPACE);
    quota(driver, ACTIVATE, 5n);
    expect(driver.machine.isAlarmByQuota(5n)).toBe(false);
    expect(quota(driver, DEACTIVATE, 5n).alarms).toEqual([]);
    driver.restart();
    expect(codeOf(() => driver.put("a"))).toBe("no_space");
  });

  test("is a difference between replicas, if only one of them has it so", () => {
    const [one, other] = [new Driver(), new Driver()];
    quota(one, ACTIVATE, 5n);
    other.raiseAlarm(5n, NOSPACE);
    expect(stateHash(one.machine)).not.toBe(stateHash(other.machine));
  });
});
