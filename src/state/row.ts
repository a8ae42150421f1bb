/** Rows as the machine makes them: a Row that also names its key, for the watch hub. */
import type { Key } from "../base/bytes.ts";
import { keyOf } from "../proto/hot/key-value.ts";
import type { Row } from "./ports.ts";

/** One change with its key spelled out. Never changes once made. */
export class KeyRow implements Row {
  readonly seq: number;
  readonly revision: number;
  readonly sub: number;
  readonly prev: number;
  readonly jump: number;
  readonly depth: number;
  readonly tombstone: boolean;
  readonly kv: Uint8Array;
  readonly key: Key;

  /** In order of the fields of Row: one is made for each write, so no record is made for it. */
  constructor(
    seq: number,
    revision: number,
    sub: number,
    prev: number,
    jump: number,
    depth: number,
    tombstone: boolean,
    kv: Uint8Array,
    key: Key,
  ) {
    this.seq = seq;
    this.revision = revision;
    this.sub = sub;
    this.prev = prev;
    this.jump = jump;
    this.depth = depth;
    this.tombstone = tombstone;
    this.kv = kv;
    this.key = key;
  }
}

/** A stored row with its key read out of its bytes. */
export function withKey(row: Row): KeyRow {
  const { seq, revision, sub, prev, jump, depth, tombstone, kv } = row;
  return new KeyRow(seq, revision, sub, prev, jump, depth, tombstone, kv, keyOf(kv));
}
