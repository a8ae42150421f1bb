/**
 * The table of everything that etcd's packages have (fields.txt) against the descriptors: each RPC,
 * field and enum value has its rule and a test that shows it, and no row is about anything else.
 * LeaseCheckpoint and its like, which only members of etcd send each other, are in no RPC.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ByteWriter } from "../../src/base/bytes.ts";
import {
  Permission,
  PermissionType,
  Role,
  User,
  UserAddOptions,
} from "../../src/proto/gen/authpb.ts";
import { MESSAGES, SERVICES } from "../../src/proto/gen/registry.ts";
import type { EnumType, MessageType } from "../../src/proto/message.ts";
import { type Row, readTable, type Table } from "./table.ts";

const TESTS = join(import.meta.dir, "..");
const PACKAGES = /^(etcdserverpb|authpb|mvccpb|v3lockpb|v3electionpb)\./;
const table = readTable(readFileSync(join(import.meta.dir, "fields.txt"), "utf8"));

const messages = MESSAGES.filter(({ typeName }) => PACKAGES.test(typeName));
const services = SERVICES.filter(({ typeName }) => PACKAGES.test(typeName));

/** What the table must have: names by title. */
function expected(): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  for (const { typeName, methods } of services) {
    sections.set(`service ${typeName}`, Object.keys(methods));
  }
  const enums = new Map<string, EnumType>();
  for (const { typeName, fields } of messages) {
    for (const { enumType } of fields) {
      if (enumType !== undefined) enums.set(enumType.typeName, enumType);
    }
    if (fields.length === 0) continue;
    sections.set(
      `message ${typeName}`,
      fields.map(({ name }) => name),
    );
  }
  for (const { typeName, values } of enums.values()) {
    sections.set(`enum ${typeName}`, Object.keys(values));
  }
  return sections;
}

/** Names that are missing in the table, and names that are too many. */
function gaps(of: Table): string[] {
  const found: string[] = [];
  const wanted = expected();
  for (const [title, names] of wanted) {
    const rows = (of.get(title) ?? []).map(({ name }) => name);
    for (const name of names) if (!rows.includes(name)) found.push(`no row: ${title} ${name}`);
    for (const name of rows) if (!names.includes(name)) found.push(`no such: ${title} ${name}`);
  }
  for (const title of of.keys()) if (!wanted.has(title)) found.push(`no such: ${title}`);
  return found;
}

/** The names under which a test may speak of a field: as in the proto file, or as in TypeScript. */
function namesOf({ name }: Row): string[] {
  return [name, name.replace(/_([a-zA-Z])/g, (_, letter: string) => letter.toUpperCase())];
}

function unshown(title: string, row: Row): string[] {
  const path = join(TESTS, row.file);
  if (!existsSync(path)) return [`${title} ${row.name}: no file test/${row.file}`];
  const text = readFileSync(path, "utf8");
  const speaks = namesOf(row).some((name) => new RegExp(`\\b${name}\\b`).test(text));
  if (speaks) return [];
  // Enum values and messages may be spoken of by the thing that they are part of.
  const [, owner = ""] = title.match(/\.([A-Za-z]+?)(Request|Response)?$/) ?? [];
  const isOwner = title.startsWith("message") && new RegExp(`\\b${owner}\\b`).test(text);
  return isOwner ? [] : [`${title} ${row.name}: test/${row.file} does not speak of it`];
}

function allUnshown(of: Table): string[] {
  return [...of].flatMap(([title, rows]) => rows.flatMap((row) => unshown(title, row)));
}

describe("the table", () => {
  test("has every RPC, field and enum value of etcd's packages, and nothing else", () => {
    expect(gaps(table)).toEqual([]);
    expect(services.length).toBe(8);
    expect(messages.length).toBeGreaterThan(100);
  });

  test("names tests that exist and speak of what they show", () => {
    expect(allUnshown(table)).toEqual([]);
  });

  test("leaves out only what no RPC carries", () => {
    const reached = new Set<string>();
    const reach = ({ typeName, fields }: MessageType<unknown>): void => {
      if (reached.has(typeName)) return;
      reached.add(typeName);
      for (const { message } of fields) if (message !== undefined) reach(message());
    };
    for (const { methods } of services) {
      for (const { request, response } of Object.values(methods)) {
        reach(request);
        reach(response);
      }
    }
    const apart = messages.filter(({ typeName }) => !reached.has(typeName));
    expect(apart.map(({ typeName }) => typeName)).toEqual([
      "authpb.User",
      "authpb.Role",
      "etcdserverpb.LeaseCheckpoint",
      "etcdserverpb.LeaseCheckpointRequest",
      "etcdserverpb.LeaseCheckpointResponse",
    ]);
  });
});

/** They travel in no RPC: they are rows of the database that snapshots are. */
describe("rows of etcd's database", () => {
  const bytesOf = <T>(type: MessageType<T>, partial: Partial<T>): string => {
    const out = new ByteWriter(64);
    type.encode(type.create(partial), out);
    return Buffer.from(out.view()).toString("latin1");
  };

  test("User: name, password, roles, options", () => {
    const options = UserAddOptions.create({ noPassword: true });
    const password = Buffer.from("hash");
    expect(bytesOf(User, { name: "u", password, roles: ["r", "s"], options })).toBe(
      "\x0a\x01u\x12\x04hash\x1a\x01r\x1a\x01s\x22\x02\x08\x01",
    );
  });

  test("Role: name, keyPermission", () => {
    const perm = Permission.create({ permType: PermissionType.WRITE, key: "a", rangeEnd: "b" });
    expect(bytesOf(Role, { name: "r", keyPermission: [perm] })).toBe(
      "\x0a\x01r\x12\x08\x08\x01\x12\x01a\x1a\x01b",
    );
  });
});

describe("each rule of the table can fail", () => {
  const rows = (text: string): Table => readTable(text);
  const row = "message etcdserverpb.PutRequest\nkey | rpc/kv.test.ts | rule\n";

  test("a field without a row, a row without a field, a message that is not there", () => {
    expect(gaps(rows(row))).toContain("no row: message etcdserverpb.PutRequest value");
    expect(gaps(rows(`${row}nothing | rpc/kv.test.ts | rule\n`))).toContain(
      "no such: message etcdserverpb.PutRequest nothing",
    );
    expect(gaps(rows("message a.B\nc | rpc/kv.test.ts | rule\n"))).toContain(
      "no such: message a.B",
    );
  });

  test("a test that is not there, one that speaks of something else, a line that is no row", () => {
    const named = (file: string): string[] =>
      allUnshown(rows(`message etcdserverpb.SnapshotResponse\nblob | ${file} | rule\n`));
    expect(named("rpc/nothing.test.ts")[0]).toContain("no file");
    expect(named("raft/parts.test.ts")[0]).toContain("does not speak of it");
    expect(named("rpc/snapshot.test.ts")).toEqual([]);
    expect(() => rows("key | rpc/kv.test.ts | rule\n")).toThrow("no row");
    expect(() => rows(`${row}key | rpc/kv.test.ts | rule\n`)).toThrow("twice");
    expect(() => rows(`${row}${row}`)).toThrow("twice");
  });
});
