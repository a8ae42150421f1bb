/**
 * A state out of a database of etcd's and back into one: what etcd would have kept comes back byte
 * for byte. Whether etcd agrees is asked in test/snapshots.
 */
import type { Database } from "bun:sqlite";
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteWriter } from "../../../src/base/bytes.ts";
import { AetherError } from "../../../src/base/errors.ts";
import { Member } from "../../../src/proto/gen/etcdserverpb.ts";
import { Lease } from "../../../src/proto/gen/leasepb.ts";
import { KeyValue } from "../../../src/proto/gen/mvccpb.ts";
import { AUTH_SPACE, signingKeyRecord } from "../../../src/state/auth/auth-records.ts";
import { BboltReader } from "../../../src/storage/bbolt/reader.ts";
import { exportState } from "../../../src/storage/etcd/export-state.ts";
import { type Imported, importState } from "../../../src/storage/etcd/import-state.ts";
import { historyHash } from "../../../src/storage/etcd/inspect.ts";
import { counterBytes, revisionKey } from "../../../src/storage/etcd/schema.ts";
import { openReader } from "../../../src/storage/sqlite.ts";
import { StateDatabase } from "../../../src/storage/state-database.ts";
import { encodeBatch, encodeCompaction } from "../../../src/storage/state-format.ts";
import { StateReader } from "../../../src/storage/state-reader.ts";
import { damageIn } from "../../../src/storage/storage-error.ts";
import { listed, written } from "../bbolt/bbolt-files.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-etcd-state-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type Buckets = Readonly<Record<string, readonly (readonly [key: string, value: string])[]>>;

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).latin1Slice();

function message<T>(type: { encode(message: T, out: ByteWriter): void }, value: T): string {
  const out = new ByteWriter(64);
  type.encode(value, out);
  return latin1(out.copy());
}

const at = (main: number, sub = 0): string => latin1(revisionKey(main, sub, false));
const gone = (main: number, sub = 0): string => latin1(revisionKey(main, sub, true));

/** A version of a key as etcd stores it. */
const kv = (key: string, create: number, mod: number, version: number, lease = 0n): string =>
  message(KeyValue, {
    ...{ key, createRevision: create, modRevision: mod, version, lease },
    value: Buffer.from(`${key}${mod}`),
  });
const tombstone = (key: string): string => message(KeyValue, KeyValue.create({ key }));
const lease = (ID: bigint, TTL: number): string => message(Lease, { ID, TTL, RemainingTTL: 0 });

const HISTORY: Buckets["key"] = [
  [at(2), kv("a", 2, 2, 1)],
  [at(3, 0), kv("b", 3, 3, 1)],
  [at(3, 1), kv("c", 3, 3, 1)],
  [at(4), kv("a", 2, 4, 2, 5n)],
  [gone(5), tombstone("b")],
  [at(6), kv("b", 6, 6, 1)],
  [gone(7), tombstone("c")],
  [at(8), kv("a", 2, 8, 3, 5n)],
];

/** The lease that HISTORY names. */
const leases: Buckets = { lease: [[latin1(counterBytes(5)), lease(5n, 60)]] };

/** A database of etcd's with these buckets. */
function database(buckets: Buckets): Buffer {
  return written(directory, "etcd.db", (root) => {
    for (const [name, entries] of Object.entries(buckets).sort()) {
      root.bucket(Buffer.from(name), (bucket) => {
        for (const [key, value] of entries) {
          bucket.put(Buffer.from(key, "latin1"), Buffer.from(value, "latin1"));
        }
      });
    }
  });
}

const MEMBER = Member.create({ ID: 0xabcn, name: "m", peerURLs: ["http://m:2380"] });

/** Takes a database over into a new state.db. */
function imported(file: Buffer, bumpRevision = 0): Imported & { readonly path: string } {
  const path = join(directory, `state-${Math.random()}.db`);
  const state = StateDatabase.open({ path, group: 1, sync: "off" }, () => {});
  try {
    const found = withReader(file, (reader) =>
      importState(reader, {
        damaged: damageIn("etcd.db", "take another"),
        members: [MEMBER],
        ...{ appliedIndex: 1, appliedTerm: 1, bumpRevision },
        store: (batch) => state.commit([encodeBatch(batch)]),
      }),
    );
    return { ...found, path };
  } finally {
    state.close();
  }
}

function withReader<T>(file: Buffer, use: (reader: BboltReader) => T): T {
  const path = join(directory, "read.db");
  writeFileSync(path, file);
  const open = openSync(path, "r");
  try {
    return use(new BboltReader(open, file.length, damageIn("etcd.db", "take another")));
  } finally {
    closeSync(open);
  }
}

/** The state at `path` as a database of etcd's. */
function exported(path: string): Buffer {
  const out = join(directory, "out.db");
  rmSync(out, { force: true });
  const file = openSync(out, "wx");
  const db: Database = openReader(path);
  try {
    db.run("BEGIN");
    exportState(db, file, { group: 1, damaged: damageIn(path), onProgress: () => {} });
  } finally {
    db.close(true);
    closeSync(file);
  }
  return readFileSync(out);
}

/** One bucket's lines of a database. */
function bucketOf(file: Buffer, name: string): string[] {
  return listed(directory, file).filter((line) => line.startsWith(`${name}/`));
}

const meta = (compacted: number): Buckets["meta"] => [
  ["finishedCompactRev", at(compacted)],
  ["scheduledCompactRev", at(compacted)],
];

describe("what is taken over is what is given back", () => {
  const auth: Buckets = {
    auth: [
      ["authEnabled", "\x01"],
      ["authRevision", latin1(counterBytes(9))],
    ],
    authRoles: [["r", "\x0a\x01r"]],
    authUsers: [["root", "\x0a\x04root\x12\x03pwd\x1a\x04root"]],
  };
  test("history, leases, users, roles", () => {
    const file = database({ key: HISTORY, meta: [], ...leases, ...auth });
    const state = imported(file);
    expect(state).toMatchObject({
      ...{ revision: 8, compactRevision: -1, keys: 2, rows: 8, leases: 1 },
      ...{ users: 1, roles: 1, authEnabled: true },
    });
    const copy = exported(state.path);
    for (const name of ["key", "lease", "auth", "authRoles", "authUsers"]) {
      expect(bucketOf(copy, name)).toEqual(bucketOf(file, name));
    }
  });

  test("but not the key that signs tokens, in neither direction", () => {
    const key = signingKeyRecord(new Uint8Array(32).fill(7));
    const withKey: Buckets = { auth: [[key.key, latin1(key.value ?? new Uint8Array())]] };
    const state = imported(database({ key: [], meta: [], ...withKey }));
    const read = (): string[] => {
      const db = openReader(state.path);
      const found = [...new StateReader(db, damageIn(state.path)).recordsIn(AUTH_SPACE)].map(
        (each) => each.key,
      );
      db.close(true);
      return found;
    };
    expect(read()).toEqual([]);
    const store = StateDatabase.open({ path: state.path, group: 1, sync: "off" }, () => {});
    store.commit([encodeBatch({ appliedIndex: 2, appliedTerm: 1, rows: [], records: [key] })]);
    store.close();
    expect(read()).toEqual([key.key]);
    expect(bucketOf(exported(state.path), "auth")).toEqual([]);
  });

  test("the members are those of the new cluster", () => {
    const copy = exported(imported(database({ key: [], meta: [], members: [["1", "{}"]] })).path);
    expect(bucketOf(copy, "members")).toEqual([
      'members/abc={"id":2748,"peerURLs":["http://m:2380"],"name":"m"}',
    ]);
    expect(bucketOf(copy, "meta")).toContain('meta/confState={"voters":[2748],"auto_leave":false}');
    expect(bucketOf(copy, "meta")).toContain("meta/storageVersion=3.7.0");
  });

  test("a live key whose lease is gone has none; what came before says what it said", () => {
    const key: Buckets["key"] = [
      [at(2), kv("a", 2, 2, 1, 9n)],
      [at(3), kv("b", 3, 3, 1, 9n)],
      [at(4), kv("a", 2, 4, 2, 9n)],
      [at(5), kv("b", 3, 5, 2, 5n)],
    ];
    const file = database({ key, meta: [], ...leases });
    const state = imported(file);
    expect([state.rows, state.keys]).toEqual([4, 2]);
    const expected = bucketOf(file, "key");
    expected[2] = `key/${at(4)}=${kv("a", 2, 4, 2)}`;
    expect(bucketOf(exported(state.path), "key")).toEqual(expected);
  });

  test("a database of etcd 3.4, without the buckets that came later", () => {
    expect(imported(database({ key: HISTORY, meta: [] })).keys).toBe(2);
  });

  test("nothing at all", () => {
    const state = imported(database({ key: [], meta: [] }));
    expect(state).toMatchObject({ revision: 1, keys: 0, rows: 0 });
    expect(bucketOf(exported(state.path), "key")).toEqual([]);
  });
});

describe("compaction", () => {
  test("what is superseded and not removed yet is left out, as etcd would have removed it", () => {
    const state = imported(database({ key: HISTORY, meta: meta(7), ...leases }));
    const kept = bucketOf(exported(state.path), "key");
    // Of a, b and c the newest at 7: c's is the tombstone at 7 itself, which stays.
    expect(kept).toEqual(
      [
        [at(4), kv("a", 2, 4, 2, 5n)],
        [at(6), kv("b", 6, 6, 1)],
        [gone(7), tombstone("c")],
        [at(8), kv("a", 2, 8, 3, 5n)],
      ].map(([key, value]) => `key/${key}=${value}`),
    );
  });

  test("the same, once it is removed", () => {
    const { path } = imported(database({ key: HISTORY, meta: meta(7) }));
    const before = bucketOf(exported(path), "key");
    const state = StateDatabase.open({ path, group: 1, sync: "off" }, () => {});
    state.commit([encodeCompaction(7)]);
    while (state.work() === true);
    state.close();
    expect(bucketOf(exported(path), "key")).toEqual(before);
    const { path: earlier } = imported(database({ key: HISTORY, meta: meta(6) }));
    expect(bucketOf(exported(earlier), "key").length).toBe(before.length + 1);
  });

  test("one that was scheduled and not finished is finished", () => {
    const scheduled: Buckets["meta"] = [
      ["finishedCompactRev", at(3)],
      ["scheduledCompactRev", at(7)],
    ];
    expect(imported(database({ key: HISTORY, meta: scheduled })).compactRevision).toBe(7);
  });

  test("beyond the newest row the point is the revision, and noted", () => {
    const state = imported(database({ key: HISTORY, meta: meta(20) }));
    expect(state.revision).toBe(20);
    expect(bucketOf(exported(state.path), "key").at(-1)).toBe(`key/${at(20)}=`);
  });

  test("a revision that is bumped is compacted", () => {
    const state = imported(database({ key: HISTORY, meta: [] }), 1000);
    expect(state).toMatchObject({ revision: 1008, compactRevision: 1008, keys: 2 });
    const again = imported(exported(state.path));
    expect(again).toMatchObject({ revision: 1008, compactRevision: 1008, keys: 2 });
  });
});

describe("the hash of a history", () => {
  const hashOf = (buckets: Buckets, revision = 0): number =>
    withReader(database(buckets), (reader) => {
      return historyHash(reader, revision, damageIn("etcd.db")).hash;
    });

  test("is that of the same history compacted, at the same point", () => {
    const whole = { key: HISTORY, meta: meta(7) };
    const kept = HISTORY.filter(([key]) => key === at(6) || key === at(8));
    expect(hashOf(whole)).toBe(hashOf({ key: kept, meta: meta(7) }));
  });

  test("differs when a row does", () => {
    const changed = HISTORY.map(([key, value], i): [string, string] => {
      return [key, i === 3 ? kv("a", 2, 4, 2, 6n) : value];
    });
    expect(hashOf({ key: HISTORY, meta: [] })).not.toBe(hashOf({ key: changed, meta: [] }));
    expect(hashOf({ key: HISTORY, meta: [] }, 3)).toBe(hashOf({ key: changed, meta: [] }, 3));
  });

  test("cannot be had before the compaction point and after the newest revision", () => {
    const codeOf = (revision: number): string => {
      try {
        hashOf({ key: HISTORY, meta: meta(7) }, revision);
        return "hashed";
      } catch (error) {
        if (!(error instanceof AetherError)) throw error;
        return error.code;
      }
    };
    expect([6, 7, 8, 9].map(codeOf)).toEqual(["compacted", "hashed", "hashed", "future_revision"]);
  });
});

describe("what is no state of etcd's is refused by name", () => {
  const cases: readonly (readonly [Buckets, string])[] = [
    [{ other: [] }, "no bucket key"],
    [{ key: [] }, "no bucket meta"],
    [{ key: [["short", ""]], meta: [] }, "is no revision"],
    [{ key: [[at(2), "\xff"]], meta: [] }, "revision 2 is no mvccpb.KeyValue"],
    [{ key: [[at(2), kv("a", 2, 3, 1)]], meta: [] }, "revision 2 holds version 1 of 3"],
    [{ key: [["\xff".repeat(8) + at(2).slice(8), ""]], meta: [] }, "is out of reach"],
    [{ key: [], meta: [], lease: [["x", "\xff"]] }, "a lease 78 is no leasepb.Lease"],
    [{ key: [], meta: [], authUsers: [["u", "\x0a\x01v"]] }, 'user "u" has another name'],
  ];
  for (const [buckets, why] of cases) {
    test(why, () => {
      expect(() => imported(database(buckets))).toThrow(why);
    });
  }
});
