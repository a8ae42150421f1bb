/**
 * Alarms, as replicated records: which member raised which, and which of them a quota did.
 * Raising and clearing may be repeated, as in etcd: raising again changes nothing and names the
 * alarm, clearing what is not there changes nothing and names none. Member 0 and type NONE stand
 * for themselves, not for all: who wants to clear everything lists the alarms and clears each
 * (etcd's clients do).
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

/**
 * Records of alarms: the member's id u64 and the type u32, big-endian; and a format byte, after
 * which another stands if a quota raised it.
 */
export const ALARM_SPACE = "alarm";
const ALARM_FORMAT = 1;
const BY_SOMEBODY = new Uint8Array([ALARM_FORMAT]);
const BY_QUOTA = new Uint8Array([ALARM_FORMAT, 1]);

/** Stands for the member of an alarm that concerns all of them: nobody knows which one is wrong. */
export const WHOLE_CLUSTER = 0n;

const KEY_BYTES = 8 + 4;

export class Alarms {
  /** A new list with each change: one that was handed out stays as it was. */
  #alarms: readonly AlarmMember[] = [];
  /** Members whose NOSPACE their own quota raised; it may clear it, too. */
  readonly #byQuota = new Set<bigint>();
  #noSpace = false;

  /** Somebody is out of space: nobody puts or grants. */
  get noSpace(): boolean {
    return this.#noSpace;
  }

  /** Whether NOSPACE of a member was raised by its quota. */
  isByQuota(memberId: bigint): boolean {
    return this.#byQuota.has(memberId);
  }

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
        if (!had) this.#raise(meant, BY_SOMEBODY, records);
        return [meant];
      case AlarmAction.DEACTIVATE:
        if (!had) return [];
        this.#alarms = this.#alarms.filter((each) => byMemberAndType(each, meant) !== 0);
        if (alarm === AlarmType.NOSPACE) this.#byQuota.delete(memberID);
        this.#noSpace = this.has(AlarmType.NOSPACE);
        records.push(recordOf(meant, undefined));
        return [meant];
      default:
        throw new AetherError("invalid_argument", `alarm action ${action} changes nothing`);
    }
  }

  /** A member's quota raises NOSPACE, or clears what it raised itself; as run() otherwise. */
  runQuota({ action, memberID }: AlarmRequest, records: StateRecord[]): readonly AlarmMember[] {
    const meant: AlarmMember = { memberID, alarm: AlarmType.NOSPACE };
    const had = this.has(AlarmType.NOSPACE, memberID);
    if (action !== AlarmAction.ACTIVATE) {
      return this.#byQuota.has(memberID) ? this.run({ ...meant, action }, records) : [];
    }
    if (!had) this.#raise(meant, BY_QUOTA, records);
    return [meant];
  }

  #raise(raised: AlarmMember, value: Uint8Array, records: StateRecord[]): void {
    this.#add(raised, value);
    records.push(recordOf(raised, value));
  }

  #add(raised: AlarmMember, value: Uint8Array): void {
    this.#alarms = [...this.#alarms, raised].sort(byMemberAndType);
    if (raised.alarm !== AlarmType.NOSPACE) return;
    this.#noSpace = true;
    if (value.length === BY_QUOTA.length) this.#byQuota.add(raised.memberID);
  }

  /** Takes over a record; false if it is not an alarm's. */
  restore(space: string, key: Key, value: Uint8Array): boolean {
    if (space !== ALARM_SPACE) return false;
    const bytes = Buffer.from(key, "latin1");
    assert(bytes.length === KEY_BYTES && value[0] === ALARM_FORMAT, "a known record");
    this.#add({ memberID: bytes.readBigUInt64BE(0), alarm: bytes.readInt32BE(8) }, value);
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
