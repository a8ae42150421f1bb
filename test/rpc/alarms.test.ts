/** Alarms: etcd's one method and our three. */
import { describe, expect, test } from "bun:test";
import {
  AetherMaintenance,
  AlarmAddRequest,
  AlarmDeleteRequest,
  AlarmListRequest,
} from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmResponse,
  AlarmType,
  Maintenance,
} from "../../src/proto/gen/etcdserverpb.ts";
import { alarmText } from "../../src/rpc/alarms.ts";
import { type FakeCall, Harness } from "./harness.ts";

const { GET, ACTIVATE, DEACTIVATE } = AlarmAction;
const { NONE, NOSPACE, CORRUPT } = AlarmType;

/** [member, type] of each alarm in an answer. */
function alarmsIn(call: FakeCall): [bigint, number][] {
  return call.decode(AlarmResponse).alarms.map(({ memberID, alarm }) => [memberID, alarm]);
}

function etcd(harness: Harness, action: number, memberID = 0n, alarm: number = NONE) {
  return harness.call(Maintenance.Alarm.path, AlarmRequest, { action, memberID, alarm } as never);
}

function raised(): Harness {
  const harness = new Harness();
  etcd(harness, ACTIVATE, 5n, NOSPACE);
  etcd(harness, ACTIVATE, 6n, NOSPACE);
  etcd(harness, ACTIVATE, 6n, CORRUPT);
  return harness;
}

describe("etcd's alarms", () => {
  test("are raised, listed by type, and cleared one by one", () => {
    const harness = new Harness();
    const first = etcd(harness, ACTIVATE, 5n, NOSPACE);
    expect(alarmsIn(first)).toEqual([[5n, NOSPACE]]);
    expect(first.decode(AlarmResponse).header?.revision).toBe(1);
    expect(alarmsIn(etcd(harness, ACTIVATE, 5n, NOSPACE))).toEqual([[5n, NOSPACE]]);
    etcd(harness, ACTIVATE, 6n, CORRUPT);
    expect(alarmsIn(etcd(harness, GET, 9n))).toEqual([
      [5n, NOSPACE],
      [6n, CORRUPT],
    ]);
    expect(alarmsIn(etcd(harness, GET, 0n, CORRUPT))).toEqual([[6n, CORRUPT]]);
    expect(alarmsIn(etcd(harness, DEACTIVATE, 5n, NOSPACE))).toEqual([[5n, NOSPACE]]);
    expect(alarmsIn(etcd(harness, DEACTIVATE, 5n, NOSPACE))).toEqual([]);
    expect(alarmsIn(etcd(harness, GET))).toEqual([[6n, CORRUPT]]);
  });

  test("are named as etcd prints them", () => {
    expect(alarmText({ memberID: 2n ** 63n, alarm: NOSPACE })).toBe(
      "memberID:9223372036854775808 alarm:NOSPACE",
    );
    expect(alarmText({ memberID: 0n, alarm: CORRUPT })).toBe("alarm:CORRUPT");
  });

  test("fail when the group has stopped, or the action is unknown", () => {
    const harness = new Harness();
    expect(etcd(harness, 7, 5n, NOSPACE).text).toMatch(/^3 /);
    harness.driven.group.stop();
    for (const action of [GET, ACTIVATE, DEACTIVATE]) {
      expect(etcd(harness, action, 5n, NOSPACE).text).toBe("14 etcdserver: server stopped");
    }
  });
});

describe("our alarms", () => {
  const { AlarmAdd, AlarmDelete, AlarmList } = AetherMaintenance;

  test("are added for one member, of one type", () => {
    const harness = new Harness();
    const added = harness.call(AlarmAdd.path, AlarmAddRequest, { memberID: 5n, alarm: CORRUPT });
    expect(alarmsIn(added)).toEqual([[5n, CORRUPT]]);
    for (const partial of [{ memberID: 5n }, { alarm: CORRUPT }]) {
      expect(harness.call(AlarmAdd.path, AlarmAddRequest, partial).text).toBe(
        "3 an alarm has a member and a type",
      );
    }
  });

  const questions: readonly [Partial<AlarmListRequest>, [bigint, number][]][] = [
    [
      {},
      [
        [5n, NOSPACE],
        [6n, NOSPACE],
        [6n, CORRUPT],
      ],
    ],
    [{ memberID: 6n, alarm: NOSPACE }, [[6n, NOSPACE]]],
    [
      { memberID: 6n },
      [
        [6n, NOSPACE],
        [6n, CORRUPT],
      ],
    ],
    [
      { alarm: NOSPACE },
      [
        [5n, NOSPACE],
        [6n, NOSPACE],
      ],
    ],
    [{ memberID: 7n }, []],
  ];
  test.each(questions)("are listed and deleted for all that is not named: %p", (wanted, found) => {
    const harness = raised();
    const all = alarmsIn(etcd(harness, GET));
    expect(alarmsIn(harness.call(AlarmList.path, AlarmListRequest, wanted))).toEqual(found);
    expect(alarmsIn(harness.call(AlarmDelete.path, AlarmDeleteRequest, wanted))).toEqual(found);
    const left = all.filter(([id, type]) => !found.some(([i, t]) => i === id && t === type));
    expect(alarmsIn(etcd(harness, GET))).toEqual(left);
  });

  test("fail when one of them could not be deleted", () => {
    const harness = raised();
    const call = harness.start(AlarmDelete.path);
    harness.driven.group.stop();
    expect([call.text, call.endings]).toEqual(["14 etcdserver: server stopped", 1]);
  });

  test("fail when the group has stopped", () => {
    const harness = raised();
    harness.driven.group.stop();
    for (const path of [AlarmList.path, AlarmDelete.path]) {
      expect(harness.call(path, AlarmListRequest).text).toBe("14 etcdserver: server stopped");
    }
  });
});
