/**
 * Copies of a state as a member sends them that is broken or not ours any more: whatever it
 * changed, all checksums and counts are right.
 */
import { Database } from "bun:sqlite";
import { copyFileSync } from "node:fs";
import { PermissionType } from "../../src/proto/gen/authpb.ts";
import { AlarmAction, AlarmType, Member } from "../../src/proto/gen/etcdserverpb.ts";
import { Alarms } from "../../src/state/alarms.ts";
import { AuthStore } from "../../src/state/auth/auth-store.ts";
import { ClusterVersion } from "../../src/state/cluster-version.ts";
import { Members } from "../../src/state/members.ts";
import type { Row, StateRecord } from "../../src/state/ports.ts";
import { recordChecksum, rowChecksum } from "../../src/storage/state-checksum.ts";
import type { HeldFile } from "../../src/storage/state-holds.ts";
import {
  type Applied,
  Bookkeeping,
  type Compaction,
  readApplied,
  readCompaction,
} from "../../src/storage/state-schema.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { damageIn } from "../../src/storage/storage-error.ts";
import { Driver } from "../state/driver.ts";
import { held } from "./state-snapshot.contract.ts";
import { compacted, stored } from "./state-store.contract.ts";

export type Changeable<T> = { -readonly [K in keyof T]: T[K] };
export type ChangeableRow = Changeable<Row>;
export type ChangeableRecord = { space: string; key: string; value: Uint8Array };

/** All that a state file holds; counts are made anew unless they are changed. */
export interface Content {
  rows: ChangeableRow[];
  records: ChangeableRecord[];
  applied: Changeable<Applied>;
  compaction: Changeable<Compaction>;
}

export const GROUP = 1;

/** A state with rows, and records of every kind; what a member would send of it lies at `path`. */
export async function makeSoundState(path: string): Promise<{ index: number; term: number }> {
  const driver = new Driver();
  driver.grant(1n);
  driver.grant(-7n, 3600);
  driver.grant(9n);
  for (let i = 0; i < 60; i++) {
    driver.put(`k${i % 20}`, `value ${i}`, { lease: [0n, 1n, 9n][i % 3] as bigint });
  }
  driver.revoke(9n); // keys went with it, and rows stay that name it
  for (let i = 0; i < 10; i++) driver.delete(`k${i}`);
  driver.compact(30);
  for (let i = 0; i < 40; i++) driver.put(`k${i % 16}`, `newer ${i}`);
  driver.flush();
  const { appliedIndex, appliedTerm, rows, records } = driver.history.stored();
  const options = { path: `${path}.made`, group: GROUP, logStart: undefined };
  const store = await openStateStore({ ...options, sync: false, onFatal: fail });
  const all = [...records, ...smallRecords()];
  await stored(store, { appliedIndex, appliedTerm, rows: [...rows], records: all });
  await compacted(store, 20);
  const copy = (await held(store)) as HeldFile;
  copyFileSync(copy.path, path);
  await store.close();
  return { index: appliedIndex, term: appliedTerm };
}

function smallRecords(): StateRecord[] {
  const records: StateRecord[] = [];
  const members = new Members();
  for (const ID of [1n, 2n, 3n, 0xfedcba9876543210n]) {
    members.add(Member.create({ ID, peerURLs: [`http://m${ID}:2380`] }), records);
  }
  members.remove(3n, records);
  new Alarms().run(
    { action: AlarmAction.ACTIVATE, memberID: 1n, alarm: AlarmType.CORRUPT },
    records,
  );
  new ClusterVersion().set("3.8", records);
  const auth = new AuthStore();
  auth.begin(Buffer.from("$2b$04$").toString("base64"), records);
  auth.addRole("reader", records);
  const perm = { permType: PermissionType.READ, key: "a", rangeEnd: "b" };
  auth.grantPermission({ name: "reader", perm }, records);
  auth.takeSigningKey(new Uint8Array(32).fill(1), records);
  return lastOf(records);
}

/** As a store keeps them: the last one under each key. */
function lastOf(records: readonly StateRecord[]): StateRecord[] {
  const last = new Map(records.map((record) => [`${record.space} ${record.key}`, record]));
  return [...last.values()].filter(({ value }) => value !== undefined);
}

export function fail(error: Error): never {
  throw error;
}

/** Writes the copy at `path` anew after `change`, and then does `sql`. */
export function rewrite(
  path: string,
  change: (content: Content) => void,
  sql: readonly string[] = [],
) {
  const db = new Database(path, { readwrite: true, strict: true });
  try {
    db.run("PRAGMA journal_mode = DELETE");
    const content = contentOf(db);
    const { rows, records } = content.applied;
    change(content);
    const { applied } = content;
    if (applied.rows === rows) applied.rows = content.rows.length;
    if (applied.records === records) applied.records = content.records.length;
    db.transaction(() => writeContent(db, content))();
    for (const each of sql) db.run(each);
  } finally {
    db.close(true);
  }
}

function contentOf(db: Database): Content {
  const damaged = damageIn("a copy");
  const rows = db.query("SELECT * FROM row ORDER BY seq").all() as (ChangeableRow & {
    crc: number;
  })[];
  const records = db.query("SELECT space, key, value FROM record ORDER BY space, key").all();
  return {
    rows: rows.map(({ crc: _, ...row }) => ({ ...row, tombstone: Boolean(row.tombstone) })),
    records: (records as { space: string; key: Uint8Array; value: Uint8Array }[]).map((record) => ({
      ...record,
      key: Buffer.from(record.key).toString("latin1"),
    })),
    applied: { ...readApplied(db, GROUP, damaged) },
    compaction: { ...readCompaction(db, GROUP, damaged) },
  };
}

function writeContent(db: Database, { rows, records, applied, compaction }: Content): void {
  db.run("DELETE FROM row");
  db.run("DELETE FROM record");
  const addRow = db.prepare("REPLACE INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const row of rows) {
    const { seq, revision, sub, prev, jump, depth, tombstone, kv } = row;
    const crc = rowChecksum(row, tombstone);
    addRow.run(seq, revision, sub, prev, jump, depth, tombstone ? 1 : 0, crc, kv);
  }
  const addRecord = db.prepare("REPLACE INTO record VALUES (?, ?, ?, ?)");
  for (const { space, key, value } of records) {
    const crc = recordChecksum(space, key, value);
    addRecord.run(space, Buffer.from(key, "latin1"), crc, value);
  }
  const books = new Bookkeeping(db, GROUP);
  books.saveApplied(applied);
  books.saveCompaction(compaction);
}
