/**
 * Alarms, as replicated records: which member raised which. Raising and clearing may be repeated,
 * as in etcd: raising again changes nothing and names the alarm, clearing what is not there
 * changes nothing and names none. Member 0 and type NONE stand for themselves, not for all: who
 * wants to clear everything lists the alarms and clears each (etcd's clients do).
 *
 * Invariants, checked by the machine's verify(): alarms rise strictly by member, then type; none
 * has the type NONE.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import {
  AlarmAction,
  type AlarmMember,
  type AlarmRequest,
  AlarmType,
} from "../proto/gen/etcdserverpb.ts";
import type { StateRecord } from "./ports.ts";

/** Records of alarms: the member's id u64 and the type u32, big-endian; and a format byte. */
export const ALARM_SPACE = "alarm";
const ALARM_FORMAT = 1;

/** Stands for the member of an alarm that concerns all of them: nobody knows which one is wrong. */
export const WHOLE_CLUSTER = 0n;

const KEY_BYTES = 8 + 4;

export class Alarms {
  /** A new list with each change: one that was handed out stays as it was. */
  #alarms: readonly AlarmMember[] = [];

  /** In order of member, then type. */
  get all(): readonly AlarmMember[] {
    return this.#alarms;
  }

  /** Whether anybody, or the member given, has raised an alarm of `type`. */
  has(type: number, memberId?: bigint): boolean {
    for (const { alarm, memberID } of this.#alarms) {
      if (alarm === type && (memberId === undefined || memberId === memberID)) return true;
    }
    return false;
  }

  /** Raises or clears; the alarms that were meant. Types that we do not know are kept, too, so
   * that members of different versions agree. */
  run({ action, memberID, alarm }: AlarmRequest, records: StateRecord[]): readonly AlarmMember[] {
    const had = this.has(alarm, memberID);
    const meant: AlarmMember = { memberID, alarm };
    switch (action) {
      case AlarmAction.ACTIVATE:
        if (alarm === AlarmType.NONE) return [];
        if (!had) {
          this.#alarms = [...this.#alarms, meant].sort(byMemberAndType);
          records.push(recordOf(meant, new Uint8Array([ALARM_FORMAT])));
        }
        return [meant];
      case AlarmAction.DEACTIVATE:
        if (!had) return [];
        this.#alarms = this.#alarms.filter((each) => byMemberAndType(each, meant) !== 0);
        records.push(recordOf(meant, undefined));
        return [meant];
      default:
        throw new AetherError("invalid_argument", `alarm action ${action} changes nothing`);
    }
  }

  /** Takes over a record; false if it is not an alarm's. */
  restore(space: string, key: Key, value: Uint8Array): boolean {
    if (space !== ALARM_SPACE) return false;
    const bytes = Buffer.from(key, "latin1");
    assert(bytes.length === KEY_BYTES && value[0] === ALARM_FORMAT, "a known record");
    const restored = { memberID: bytes.readBigUInt64BE(0), alarm: bytes.readInt32BE(8) };
    this.#alarms = [...this.#alarms, restored].sort(byMemberAndType);
    return true;
  }
}

/** The order of alarms; 0 for the same one. */
export function byMemberAndType(a: AlarmMember, b: AlarmMember): number {
  if (a.memberID !== b.memberID) return a.memberID < b.memberID ? -1 : 1;
  return a.alarm - b.alarm;
}

function recordOf({ memberID, alarm }: AlarmMember, value: Uint8Array | undefined): StateRecord {
  const key = Buffer.alloc(KEY_BYTES);
  key.writeBigUInt64BE(memberID);
  key.writeInt32BE(alarm, 8);
  return { space: ALARM_SPACE, key: key.latin1Slice(), value };
}
