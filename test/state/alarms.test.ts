/** Alarms as replicated records, one test a sentence (etcd server/etcdserver/api/v3alarm). */
import { describe, expect, test } from "bun:test";
import { AlarmRequest, AlarmType } from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { verify } from "../../src/state/verify.ts";
import { Driver, encoded } from "./driver.ts";

const { NONE, NOSPACE, CORRUPT } = AlarmType;
const HIGH = 0xcdf818194e3a8c32n;

describe("alarms", () => {
  test("are raised once, however often, and named each time; no revision is made", () => {
    const driver = new Driver();
    const raised = { kind: "alarm", revision: 1, alarms: [{ memberID: 1n, alarm: NOSPACE }] };
    expect(driver.raiseAlarm(1n, NOSPACE)).toEqual(raised as never);
    expect(driver.raiseAlarm(1n, NOSPACE)).toEqual(raised as never);
    expect(driver.machine.alarms()).toEqual([{ memberID: 1n, alarm: NOSPACE }]);
    expect(driver.machine.takeBatch().records.length).toBe(1);
  });

  test("are cleared once; what is not there is no error and names none", () => {
    const driver = new Driver();
    driver.raiseAlarm(1n, NOSPACE);
    const cleared = [{ memberID: 1n, alarm: NOSPACE }];
    expect(driver.clearAlarm(1n, CORRUPT).alarms).toEqual([]);
    expect(driver.clearAlarm(2n, NOSPACE).alarms).toEqual([]);
    expect(driver.clearAlarm(1n, NOSPACE).alarms).toEqual(cleared);
    expect(driver.clearAlarm(1n, NOSPACE).alarms).toEqual([]);
    expect(driver.machine.alarms()).toEqual([]);
  });

  test("member 0 and type NONE do not stand for all", () => {
    const driver = new Driver();
    driver.raiseAlarm(1n, NOSPACE);
    expect(driver.clearAlarm(0n, NOSPACE).alarms).toEqual([]);
    expect(driver.clearAlarm(1n, NONE).alarms).toEqual([]);
    expect(driver.clearAlarm(0n, NONE).alarms).toEqual([]);
    expect(driver.raiseAlarm(1n, NONE).alarms).toEqual([]);
    expect(driver.machine.alarms().length).toBe(1);
  });

  test("are asked for by type, of anybody or of one member", () => {
    const driver = new Driver();
    driver.raiseAlarm(HIGH, NOSPACE);
    const { machine } = driver;
    expect([machine.hasAlarm(NOSPACE), machine.hasAlarm(CORRUPT)]).toEqual([true, false]);
    expect([machine.hasAlarm(NOSPACE, HIGH), machine.hasAlarm(NOSPACE, 1n)]).toEqual([true, false]);
  });

  test("come in order of member, then type, also after a restart", () => {
    const driver = new Driver();
    driver.raiseAlarm(HIGH, NOSPACE);
    driver.raiseAlarm(2n, CORRUPT);
    driver.raiseAlarm(2n, NOSPACE);
    driver.raiseAlarm(1n, 7); // of a newer program
    driver.clearAlarm(HIGH, CORRUPT);
    const expected = [
      { memberID: 1n, alarm: 7 },
      { memberID: 2n, alarm: NOSPACE },
      { memberID: 2n, alarm: CORRUPT },
      { memberID: HIGH, alarm: NOSPACE },
    ];
    expect(driver.machine.alarms()).toEqual(expected);
    driver.restart();
    expect(driver.machine.alarms()).toEqual(expected);
    driver.clearAlarm(2n, NOSPACE);
    driver.restart();
    expect(driver.machine.alarms().length).toBe(3);
    verify(driver.machine);
  });

  test("listing is a read and no command", () => {
    const driver = new Driver();
    const outcome = driver.command(CommandKind.alarm, encoded(AlarmRequest, {}));
    expect(outcome).toMatchObject({ code: "invalid_argument" });
  });
});
