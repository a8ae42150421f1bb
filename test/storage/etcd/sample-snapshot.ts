/** A snapshot as etcd's, with something in every bucket, and its SHA-256 behind it. */
import { ByteWriter } from "../../../src/base/bytes.ts";
import { Role, User } from "../../../src/proto/gen/authpb.ts";
import { Lease } from "../../../src/proto/gen/leasepb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import type { MessageType } from "../../../src/proto/message.ts";
import { counterBytes, revisionKey } from "../../../src/storage/etcd/schema.ts";
import { written } from "../bbolt/bbolt-files.ts";

/** Enough for pages of every kind. */
const KEYS = 120;
const LEASE = 5n;

type Row = readonly [key: Uint8Array, value: Uint8Array];

function message<T>(type: MessageType<T>, value: Partial<T>): Uint8Array {
  const out = new ByteWriter(64);
  type.encode(type.create(value), out);
  return out.copy();
}

/** Versions of KEYS keys, every third one with a lease, every seventh deleted again. */
function history(): Row[] {
  const rows: Row[] = [];
  let revision = 1;
  for (let i = 0; i < KEYS; i++) {
    const key = `key ${i}`;
    const created = ++revision;
    const lease = i % 3 === 0 ? LEASE : 0n;
    const version = { key, createRevision: created, modRevision: created, version: 1, lease };
    const value = Buffer.alloc(40 + (i % 9) * 20, i);
    rows.push([revisionKey(created, 0, false), message(KeyValue, { ...version, value })]);
    if (i % 7 === 0) rows.push([revisionKey(++revision, 0, true), message(KeyValue, { key })]);
  }
  return rows;
}

/** The bytes of one; `directory` is where it is made. */
export function sampleSnapshot(directory: string): Buffer {
  const text = (value: string): Uint8Array => Buffer.from(value, "latin1");
  const point = revisionKey(20, 0, false);
  const buckets: Readonly<Record<string, readonly Row[]>> = {
    alarm: [],
    auth: [
      [text("authEnabled"), new Uint8Array([1])],
      [text("authRevision"), counterBytes(9)],
    ],
    authRoles: [[text("root"), message(Role, { name: "root" })]],
    authUsers: [[text("root"), message(User, { name: "root", roles: ["root"] })]],
    key: history(),
    lease: [[counterBytes(Number(LEASE)), message(Lease, { ID: LEASE, TTL: 60 })]],
    meta: [
      [text("finishedCompactRev"), point],
      [text("scheduledCompactRev"), point],
    ],
  };
  const file = written(directory, "sample.db", (root) => {
    for (const [name, rows] of Object.entries(buckets)) {
      root.bucket(text(name), (bucket) => {
        for (const [key, value] of rows) bucket.put(key, value);
      });
    }
  });
  return Buffer.concat([file, new Bun.CryptoHasher("sha256").update(file).digest()]);
}
