/**
 * Who belongs to the cluster, as replicated records: the members, and the ids of those that were
 * removed. An id is used once: its former owner may have voted and promised things that a new
 * owner would not know of, so a removed id can never come back.
 *
 * Invariants, checked by the machine's verify(): ids rise strictly in both lists; no id is in
 * both; no peer URL belongs to two members; no member has the id 0.
 *
 * Members are never written to: a change puts a new object and a new list in place, so a list
 * that was handed out stays as it was.
 */
import { assert } from "../base/assert.ts";
import { ByteWriter, type Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { Member } from "../proto/gen/etcdserverpb.ts";
import type { StateRecord } from "./ports.ts";

/** Records of members: the id, big-endian; and the encoded etcdserverpb.Member. */
export const MEMBER_SPACE = "member";
/** Records of removed members: the id, big-endian; and a format byte. */
export const GONE_SPACE = "member-gone";
const GONE_FORMAT = 1;
const ID_BYTES = 8;

export class Members {
  #members: readonly Member[] = [];
  #removed: bigint[] = [];

  /** In order of id. */
  get all(): readonly Member[] {
    return this.#members;
  }

  /** In order. */
  get removed(): readonly bigint[] {
    return this.#removed;
  }

  get(id: bigint): Member | undefined {
    return this.#members.find((member) => member.ID === id);
  }

  isRemoved(id: bigint): boolean {
    return this.#removed.includes(id);
  }

  /** Fails with member_not_found if the id was removed (etcd's answer), member_exists, or
   * peer_urls_exist. */
  add(member: Member, records: StateRecord[]): Member {
    const { ID: id } = member;
    if (id === 0n) throw new AetherError("invalid_argument", "0 is no member");
    if (this.isRemoved(id)) throw new AetherError("member_not_found", `${named(id)} was removed`);
    if (this.get(id) !== undefined) throw new AetherError("member_exists", named(id));
    this.#checkUrls(member);
    return this.#put(member, records);
  }

  remove(id: bigint, records: StateRecord[]): void {
    this.#existing(id);
    this.#members = this.#members.filter((member) => member.ID !== id);
    this.#removed = [...this.#removed, id].sort(byValue);
    records.push({ space: MEMBER_SPACE, key: recordKey(id), value: undefined });
    const value = new Uint8Array([GONE_FORMAT]);
    records.push({ space: GONE_SPACE, key: recordKey(id), value });
  }

  /** Lets a learner vote. */
  promote(id: bigint, records: StateRecord[]): Member {
    const member = this.#existing(id);
    if (!member.isLearner) throw new AetherError("not_a_learner", named(id));
    return this.#put({ ...member, isLearner: false }, records);
  }

  /** Other peer URLs; everything else stays, the learner flag too (etcd's issue 21736). */
  update(id: bigint, peerURLs: string[], records: StateRecord[]): Member {
    const member = { ...this.#existing(id), peerURLs };
    this.#checkUrls(member);
    return this.#put(member, records);
  }

  /** What a member says of itself: its name, and where its clients reach it. */
  publish({ ID: id, name, clientURLs }: Member, records: StateRecord[]): Member {
    return this.#put({ ...this.#existing(id), name, clientURLs }, records);
  }

  /** Takes over a record; false if it is not one of members. */
  restore(space: string, key: Key, value: Uint8Array): boolean {
    if (space !== MEMBER_SPACE && space !== GONE_SPACE) return false;
    assert(key.length === ID_BYTES, "a member's record lies under its id");
    const id = Buffer.from(key, "latin1").readBigUInt64BE(0);
    if (space === GONE_SPACE) {
      assert(value.length === 1 && value[0] === GONE_FORMAT, "a known record");
      // There may be many of them; they come in order, and nobody has been given the list yet.
      const last = this.#removed.at(-1);
      this.#removed.push(id);
      if (last !== undefined && last > id) this.#removed.sort(byValue);
      return true;
    }
    const member = Member.decode(value, 0, value.length);
    assert(member.ID === id, "a member's record lies under its id");
    this.#members = [...this.#members, member].sort(byId);
    return true;
  }

  #existing(id: bigint): Member {
    const member = this.get(id);
    if (member === undefined) throw new AetherError("member_not_found", named(id));
    return member;
  }

  #checkUrls({ ID: id, peerURLs }: Member): void {
    for (const other of this.#members) {
      const url = other.peerURLs.find((each) => other.ID !== id && peerURLs.includes(each));
      if (url === undefined) continue;
      throw new AetherError("peer_urls_exist", `${url} is of ${named(other.ID)}`);
    }
  }

  #put(member: Member, records: StateRecord[]): Member {
    const others = this.#members.filter(({ ID }) => ID !== member.ID);
    this.#members = [...others, member].sort(byId);
    const out = new ByteWriter(256);
    Member.encode(member, out);
    records.push({ space: MEMBER_SPACE, key: recordKey(member.ID), value: out.copy() });
    return member;
  }
}

function byId(a: Member, b: Member): number {
  return byValue(a.ID, b.ID);
}

function byValue(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function named(id: bigint): string {
  return `member ${id.toString(16)}`;
}

function recordKey(id: bigint): Key {
  const key = Buffer.alloc(ID_BYTES);
  key.writeBigUInt64BE(id);
  return key.latin1Slice();
}
