/**
 * Copies of a state whose checksums are right and whose content cannot be: each is refused before
 * anything is installed, by name, and the member's own state stays as it is.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteWriter } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import { User } from "../../src/proto/gen/authpb.ts";
import { Member } from "../../src/proto/gen/etcdserverpb.ts";
import { encodeKeyValue } from "../../src/proto/hot/key-value.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { encodeTombstone } from "../../src/state/stored-form.ts";
import { stageState } from "../../src/storage/state-staging.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { decodeKv } from "../state/driver.ts";
import { type ChangeableRow, type Content, makeSoundState, rewrite } from "./rewritten-state.ts";

const home = mkdtempSync(join(tmpdir(), "aether-nonsense-"));
const sound = join(home, "sound.db");
const { index, term } = await makeSoundState(sound);
afterAll(() => rmSync(home, { recursive: true }));

let count = 0;

/** Stages the sound copy after `change` and `sql`; where it was to come. */
async function stage(change: (content: Content) => void, sql: string[] = []): Promise<string> {
  const [received, path] = [join(home, `${++count}.part`), join(home, `${count}.db`)];
  copyFileSync(sound, received);
  rewrite(received, change, sql);
  try {
    await stageState({ received, path, group: 1, index, term });
  } catch (error) {
    expect([existsSync(received), existsSync(`${path}.next`)]).toEqual([true, false]);
    throw error;
  }
  return path;
}

function encoded<T>(type: MessageType<T>, message: Partial<T>): Uint8Array {
  const out = new ByteWriter(64);
  type.encode(type.create(message), out);
  return out.copy();
}

/** A number of a record, of 8 bytes. */
function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

function last(rows: readonly ChangeableRow[]): ChangeableRow {
  return rows.at(-1) as ChangeableRow;
}

/** A live row that follows another one of its key. */
function linked({ rows }: Content): ChangeableRow {
  const row = rows.findLast(({ prev, tombstone }) => prev !== 0 && !tombstone);
  if (row === undefined) throw new Error("no row follows another");
  return row;
}

function set<T extends object>(what: T, change: Partial<T>): void {
  Object.assign(what, change);
}

function raise<Name extends string>(what: Record<Name, number>, name: Name, by: number): void {
  what[name] += by;
}

function recode(row: ChangeableRow, change: Partial<ReturnType<typeof decodeKv>>): void {
  row.kv = encodeKeyValue({ ...decodeKv(row.kv), ...change });
}

function record(content: Content, space: string, key?: string): { key: string; value: Uint8Array } {
  const found = content.records.find(
    (each) => each.space === space && (key ?? each.key) === each.key,
  );
  if (found === undefined) throw new Error(`no record of ${space}`);
  return found;
}

type Nonsense = readonly [name: string, change: (content: Content) => void, message: string];

const ROWS: readonly Nonsense[] = [
  ["a revision that falls", ({ rows }) => set(last(rows), { revision: 40 }), "revision 40 follows"],
  [
    "a revision above all others",
    ({ rows }) => set(last(rows), { revision: 2 ** 52 }),
    "there is no revision 4503599627370496",
  ],
  ["no revision", ({ rows }) => set(rows[0] as ChangeableRow, { revision: 0 }), "no revision 0"],
  [
    "two changes of one place",
    ({ rows }) => {
      const [a, b] = rows.slice(-2) as [ChangeableRow, ChangeableRow];
      Object.assign(b, { revision: a.revision, sub: a.sub });
    },
    "change 0 of revision",
  ],
  ["a row before all others", ({ rows }) => set(last(rows), { seq: -5 }), "it stands after row 0"],
  ["a sub that no row can have", ({ rows }) => set(last(rows), { sub: 2 ** 32 }), "no change 429"],
  [
    "revisions that the compaction point denies",
    (content) => {
      const value = Buffer.from(record(content, "meta", "compact").value);
      value.writeBigInt64BE(1000n, 9);
      record(content, "meta", "compact").value = value;
    },
    "ended revision 1000",
  ],
  ["a row before itself", (content) => raise(linked(content), "prev", 500), "it cannot follow row"],
  ["a jump ahead", (content) => raise(linked(content), "jump", 500), "or jump to"],
  ["no depth", ({ rows }) => set(last(rows), { depth: 0 }), "at depth 0"],
  ["a depth beyond all", ({ rows }) => set(last(rows), { depth: 2 ** 32 - 1 }), "at depth 42949"],
  [
    "a depth that is not one more",
    (content) => raise(linked(content), "depth", 1),
    "is another key's",
  ],
  [
    "another key's row before it",
    (content) => {
      const row = linked(content);
      const other = content.rows.findLast(({ seq, depth }) => {
        return seq < row.seq && seq !== row.prev && depth === row.depth - 1;
      });
      Object.assign(row, { prev: (other as ChangeableRow).seq, jump: 0 });
    },
    "what stands before it is another key's",
  ],
  [
    "another key's row to jump to",
    (content) => {
      const row = content.rows.findLast(({ jump, prev }) => jump !== 0 && jump !== prev);
      if (row === undefined) throw new Error("no row jumps");
      row.jump--;
    },
    "what stands before it is another key's",
  ],
  ["no bytes", ({ rows }) => set(last(rows), { kv: new Uint8Array() }), "holds no key and value"],
  [
    "bytes that end too early",
    ({ rows }) => set(last(rows), { kv: last(rows).kv.subarray(0, -1) }),
    "holds no key and value",
  ],
  ["an empty key", ({ rows }) => recode(last(rows), { key: "" }), "holds no key and value"],
  [
    "another revision inside",
    ({ rows }) => recode(last(rows), { modRevision: 3 }),
    "of revision 3",
  ],
  ["no version", ({ rows }) => recode(last(rows), { version: 0 }), "it cannot be version 0"],
  [
    "a creation in the future",
    ({ rows }) => recode(last(rows), { createRevision: 5000 }),
    "since revision 5000",
  ],
  [
    "a tombstone with a value",
    ({ rows }) => set(last(rows), { tombstone: true }),
    "it cannot be version",
  ],
  [
    "a live row without a version",
    ({ rows }) => {
      const row = last(rows);
      row.kv = encodeTombstone(decodeKv(row.kv).key, row.revision);
    },
    "it cannot be version 0",
  ],
  [
    "a lease that is not there",
    ({ rows }) => recode(last(rows), { lease: 77n }),
    "a lease that is",
  ],
  [
    "a lease that is no number",
    ({ rows }) => {
      const row = last(rows);
      row.kv = Buffer.concat([row.kv, Buffer.from([0x30, 0x80, 0x00])]);
    },
    "it names no lease",
  ],
];

const RECORDS: readonly Nonsense[] = [
  [
    "leases gone that keys name",
    (content) => {
      content.records = content.records.filter(({ space }) => space !== "lease");
    },
    "its key is there, and names a lease that is not",
  ],
  ["a lease of no id", (content) => set(record(content, "lease"), { key: "\0" }), "under its id"],
  [
    "a lease of two records",
    (content) => {
      const { key, value } = record(content, "lease");
      content.records.push({ space: "lease", key: `${key}\0`, value });
    },
    "a lease's record lies under its id",
  ],
  [
    "a lease for ever",
    (content) => {
      record(content, "lease").value = Buffer.concat([Buffer.from([1]), u64(2n ** 60n)]);
    },
    "a time that can be granted",
  ],
  [
    "a lease cut short",
    (content) => set(record(content, "lease"), { value: Buffer.from([1, 0]) }),
    "a lease record is whole",
  ],
  [
    "a compaction to the future",
    (content) => {
      const value = Buffer.from(record(content, "meta", "compact").value);
      value.writeBigInt64BE(10_000n, 1);
      record(content, "meta", "compact").value = value;
    },
    "no compaction to 10000",
  ],
  [
    "a member under another id",
    (content) => set(record(content, "member"), { value: encoded(Member, { ID: 99n }) }),
    "a member's record lies under its id",
  ],
  [
    "a member that is no message",
    (content) => set(record(content, "member"), { value: Buffer.from([8]) }),
    "a record of member cannot be",
  ],
  [
    "a member of id 0",
    (content) => {
      const key = u64(0n).toString("latin1");
      content.records.push({ space: "member", key, value: encoded(Member, { ID: 0n }) });
    },
    "the ids of members rise, and 0 is none",
  ],
  [
    "a member that was removed",
    (content) => {
      const { key } = record(content, "member");
      content.records.push({ space: "member-gone", key, value: Buffer.from([1]) });
    },
    "who was removed is no member",
  ],
  [
    "one address of two members",
    (content) => {
      const value = encoded(Member, { ID: 55n, peerURLs: ["http://m1:2380"] });
      content.records.push({ space: "member", key: u64(55n).toString("latin1"), value });
    },
    "a peer URL belongs to one member",
  ],
  [
    "more members than can be",
    (content) => {
      for (let id = 100n; id < 1200n; id++) {
        const key = u64(id).toString("latin1");
        content.records.push({ space: "member", key, value: encoded(Member, { ID: id }) });
      }
    },
    "too many records of member",
  ],
  [
    "an alarm of no type",
    (content) => set(record(content, "alarm"), { key: "\0".repeat(12) }),
    "NONE is no alarm",
  ],
  [
    "a version of no form",
    (content) => set(record(content, "version"), { value: Buffer.from("\x01newest") }),
    "a version is kept without its patch level",
  ],
  [
    "auth without root",
    (content) => {
      content.records = content.records.filter(({ space }) => space !== "auth-user");
    },
    "while auth is enabled, root is root",
  ],
  [
    "a user under another name",
    (content) => set(record(content, "auth-user"), { value: encoded(User, { name: "eve" }) }),
    "a user's record lies under his name",
  ],
  [
    "a user without a password who has one",
    (content) => {
      const user = { name: "u", password: Buffer.from("x"), options: { noPassword: true } };
      content.records.push({ space: "auth-user", key: "u", value: encoded(User, user) });
    },
    "who has no password keeps no hash",
  ],
  [
    "a role cut short",
    (content) => {
      const role = record(content, "auth-role", "reader");
      role.value = role.value.subarray(0, -1);
    },
    "a record of auth-role cannot be",
  ],
  [
    "an auth revision cut short",
    (content) => set(record(content, "auth", "authRevision"), { value: Buffer.from([1]) }),
    "a record of auth cannot be",
  ],
  [
    "an auth revision beyond all",
    (content) => set(record(content, "auth", "authRevision"), { value: u64(2n ** 60n) }),
    "no such auth revision",
  ],
  [
    "tokens of the future",
    (content) => {
      content.records.push({ space: "auth", key: "aetherTokensFrom", value: u64(99n) });
    },
    "tokens count from a revision on that has been",
  ],
  [
    "a signing key of nothing",
    (content) => set(record(content, "auth", "aetherSigningKey"), { value: new Uint8Array(3) }),
    "a signing key is long enough",
  ],
];

const BOOKS: readonly Nonsense[] = [
  ["another index", ({ applied }) => raise(applied, "index", 5), "it is the state after"],
  ["another term", ({ applied }) => raise(applied, "term", 1), "it is the state after"],
  ["a row too few", ({ applied }) => raise(applied, "rows", 1), "rows and"],
  ["a record too few", ({ applied }) => raise(applied, "records", -1), "records instead of"],
  [
    "a compaction that was never asked for",
    ({ compaction }) => raise(compaction, "done", 500),
    "it cannot be compacted from 520",
  ],
  [
    "a compaction of what is to come",
    ({ compaction }) => set(compaction, { requested: 2 ** 40 }),
    "it ends with revision",
  ],
  [
    "a compaction that goes on beyond the end",
    ({ compaction }) => Object.assign(compaction, { requested: 30, target: 30, nextSeq: 9000 }),
    "at row 9000",
  ],
];

const TABLES: readonly (readonly [name: string, sql: string[], message: string])[] = [
  ["a table too many", ["CREATE TABLE more (a)"], 'it has table "more"'],
  ["a table too few", ["DROP TABLE compaction"], 'no table "compaction"'],
  [
    "a trigger",
    ["CREATE TRIGGER t AFTER INSERT ON row BEGIN DELETE FROM row; END"],
    'it has trigger "t"',
  ],
  ["an index", ["CREATE INDEX i ON row (prev)"], 'it has index "i"'],
  [
    "a condition on new rows",
    [
      "ALTER TABLE record RENAME TO old",
      `CREATE TABLE record (space TEXT NOT NULL, key BLOB NOT NULL, crc INTEGER NOT NULL,
       value BLOB NOT NULL CHECK (length(value) < 99), PRIMARY KEY (space, key))
       STRICT, WITHOUT ROWID`,
      "INSERT INTO record SELECT * FROM old",
      "DROP TABLE old",
    ],
    'it has table "record"',
  ],
  ["two formats", ["INSERT INTO format SELECT * FROM format"], "it has 2 formats"],
  ["a newer format", ["UPDATE format SET version = 4"], "newer than this program's"],
  ["an older format", ["UPDATE format SET version = 2"], "from before the first release"],
  [
    "pages that cannot move",
    ["PRAGMA auto_vacuum = NONE", "VACUUM"],
    "pages that cannot be given back",
  ],
];

test("the sound copy is taken, written anew, too", async () => {
  const path = await stage(() => {});
  expect(existsSync(`${path}.next`)).toBe(true);
});

for (const [what, table] of [
  ["rows", ROWS],
  ["records", RECORDS],
  ["books", BOOKS],
] as const) {
  describe(`a copy with nonsense in its ${what} is refused:`, () => {
    for (const [name, change, message] of table) {
      test(name, async () => {
        const refusal = await refusalOf(stage(change));
        expect(refusal).toBeInstanceOf(AetherError);
        expect((refusal as AetherError).code).toBe("corrupt");
        expect(refusal.message).toContain(message);
      });
    }
  });
}

describe("a copy whose file is not as ours is refused:", () => {
  for (const [name, sql, message] of TABLES) {
    test(name, async () => {
      const refusal = await refusalOf(stage(() => {}, sql));
      expect(refusal instanceof AetherError || refusal instanceof StorageError).toBe(true);
      expect(refusal.message).toContain(message);
    });
  }
});

function refusalOf(staging: Promise<unknown>): Promise<Error> {
  return staging.then(
    () => new Error("it was taken"),
    (error: Error) => error,
  );
}
