/** etcd's rules for revisions, put and delete, one test a sentence (surface 3.1, 3.3, 3.4). */
import { describe, expect, test } from "bun:test";
import { keyFromText } from "../../src/base/bytes.ts";
import { PutRequest, RequestOp } from "../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { bytes, codeOf, Driver, decodeKv, encoded } from "./driver.ts";

const putOp = (key: string): RequestOp =>
  RequestOp.create({ requestPut: PutRequest.create({ key }) });

describe("revisions", () => {
  test("an empty store has revision 1 and no compaction point", () => {
    const { machine } = new Driver();
    expect([machine.revision, machine.compactRevision]).toEqual([1, -1]);
  });

  test("the first write makes revision 2", () => {
    const driver = new Driver();
    expect(driver.put("a").revision).toBe(2);
    expect(driver.machine.revision).toBe(2);
  });

  test("the revision survives a restart", () => {
    const driver = new Driver();
    driver.put("a");
    driver.put("a");
    driver.restart();
    expect(driver.machine.revision).toBe(3);
    expect(driver.put("b").revision).toBe(4);
  });

  test("a write request makes one revision, its changes ordered by sub", () => {
    const driver = new Driver();
    driver.txn({ success: [putOp("b"), putOp("a"), putOp("c")] });
    const rows = driver.machine.takeRows();
    expect(rows.map(({ key, revision, sub }) => [key, revision, sub])).toEqual([
      ["b", 2, 0],
      ["a", 2, 1],
      ["c", 2, 2],
    ]);
    expect(driver.machine.revision).toBe(2);
  });

  test("deleting several keys is one revision, in order of key", () => {
    const driver = new Driver();
    for (const key of ["c", "a", "b"]) driver.put(key);
    driver.machine.takeRows();
    expect(driver.delete("a", "\0").revision).toBe(5);
    const rows = driver.machine.takeRows();
    expect(rows.map(({ key, revision, sub }) => [key, revision, sub])).toEqual([
      ["a", 5, 0],
      ["b", 5, 1],
      ["c", 5, 2],
    ]);
  });

  test("what changes nothing makes no revision", () => {
    const driver = new Driver();
    driver.put("a");
    expect(driver.delete("nothing").revision).toBe(2);
    expect(driver.txn({ success: [] }).revision).toBe(2);
    expect(driver.grant(1n).revision).toBe(2);
    expect(driver.revoke(1n).revision).toBe(2);
    expect(driver.compact(2).revision).toBe(2);
    expect(driver.machine.revision).toBe(2);
  });

  test("version counts the puts of a life, create_revision is its first", () => {
    const driver = new Driver();
    driver.put("a");
    driver.put("b");
    driver.put("a");
    const kv = decodeKv(driver.machine.get("a") as Uint8Array);
    expect([kv.createRevision, kv.modRevision, kv.version]).toEqual([2, 4, 2]);
  });

  test("a put after a delete begins a new life", () => {
    const driver = new Driver();
    driver.put("a");
    driver.put("a");
    driver.delete("a");
    driver.put("a");
    const kv = decodeKv(driver.machine.get("a") as Uint8Array);
    expect([kv.createRevision, kv.modRevision, kv.version]).toEqual([5, 5, 1]);
  });

  test("a delete's key value holds only key and mod_revision", () => {
    const driver = new Driver();
    driver.grant(1n);
    driver.put("a", "x", { lease: 1n });
    driver.machine.takeRows();
    driver.delete("a");
    const [row] = driver.machine.takeRows();
    expect(row?.tombstone).toBe(true);
    expect(decodeKv(row?.kv as Uint8Array)).toEqual(KeyValue.create({ key: "a", modRevision: 3 }));
  });

  test("a range's header has the current revision, also when it reads the past", () => {
    const driver = new Driver();
    driver.put("a");
    driver.put("a");
    expect(driver.range({ key: "a", revision: 2 }).revision).toBe(3);
  });
});

describe("put", () => {
  const keep = (more: Partial<PutRequest>): string =>
    codeOf(() => new Driver().put("missing", "", more));

  test("ignore_value and ignore_lease need the key to exist", () => {
    expect(keep({ ignoreValue: true })).toBe("key_not_found");
    expect(keep({ ignoreLease: true })).toBe("key_not_found");
  });

  test("they keep what the key has", () => {
    const driver = new Driver();
    driver.grant(1n);
    driver.put("a", "value", { lease: 1n });
    driver.put("a", "", { ignoreValue: true });
    let kv = decodeKv(driver.machine.get("a") as Uint8Array);
    expect([Buffer.from(kv.value).toString(), kv.lease]).toEqual(["value", 0n]);
    driver.put("a", "", { lease: 1n });
    driver.put("a", "other", { ignoreLease: true });
    kv = decodeKv(driver.machine.get("a") as Uint8Array);
    expect([Buffer.from(kv.value).toString(), kv.lease]).toEqual(["other", 1n]);
    expect(driver.machine.lease(1n)?.keys).toEqual(["a"]);
  });

  test("an unknown lease is refused before a missing key is", () => {
    expect(keep({ lease: 7n })).toBe("lease_not_found");
    expect(keep({ lease: 7n, ignoreValue: true })).toBe("lease_not_found");
  });

  test("lease 0 detaches, another lease moves the key", () => {
    const driver = new Driver();
    driver.grant(1n);
    driver.grant(2n);
    driver.put("a", "", { lease: 1n });
    driver.put("a", "", { lease: 2n });
    expect([driver.machine.lease(1n)?.keys, driver.machine.lease(2n)?.keys]).toEqual([[], ["a"]]);
    driver.put("a");
    expect(driver.machine.lease(2n)?.keys).toEqual([]);
  });

  test("prev_kv is the version before, if there was one", () => {
    const driver = new Driver();
    expect(driver.put("a", "1", { prevKv: true }).previous).toBeUndefined();
    const { previous } = driver.put("a", "2", { prevKv: true });
    expect(decodeKv(previous as Uint8Array)).toEqual(
      KeyValue.create({
        key: "a",
        createRevision: 2,
        modRevision: 2,
        version: 1,
        value: bytes("1"),
      }),
    );
    driver.delete("a");
    expect(driver.put("a", "3", { prevKv: true }).previous).toBeUndefined();
  });

  test("it is not returned when it was only needed", () => {
    const driver = new Driver();
    driver.put("a", "1");
    expect(driver.put("a", "", { ignoreValue: true }).previous).toBeUndefined();
  });

  test("an empty value is legal, and putting the same value is a change", () => {
    const driver = new Driver();
    driver.put("a", "");
    expect(driver.put("a", "").revision).toBe(3);
    expect(driver.machine.takeRows()).toHaveLength(2);
    expect(driver.contents()).toEqual(["a="]);
  });

  test("keys and values are any bytes", () => {
    const driver = new Driver();
    const value = Uint8Array.from({ length: 256 }, (_, i) => i);
    const key = Buffer.from(value).latin1Slice();
    const body = encoded(PutRequest, { key, value });
    driver.command(CommandKind.put, body);
    const kv = decodeKv(driver.machine.get(key) as Uint8Array);
    expect([kv.key, Buffer.from(kv.value)]).toEqual([key, Buffer.from(value)]);
    expect(driver.machine.get(keyFromText("€"))).toBeUndefined();
  });

  test("values of every length around a varint's edges come back", () => {
    const driver = new Driver();
    for (const length of [0, 1, 127, 128, 129, 16_383, 16_384, 70_000]) {
      driver.put("a", "x".repeat(length));
      const { value } = decodeKv(driver.machine.get("a") as Uint8Array);
      expect(Buffer.from(value).equals(Buffer.alloc(length, "x"))).toBe(true);
    }
  });

  test("what is kept does not share memory with the entry", () => {
    const driver = new Driver();
    const payload = new Uint8Array(300).fill(97);
    driver.put("a", "", { value: payload });
    const kv = driver.machine.get("a") as Uint8Array;
    expect(kv.buffer.byteLength).toBeLessThan(400);
  });
});

describe("delete range", () => {
  const filled = (): Driver => {
    const driver = new Driver();
    for (const key of ["a", "b", "c"]) driver.put(key, key.toUpperCase());
    return driver;
  };

  test("range_end has the meanings it has for a range", () => {
    expect(filled().delete("b").deleted).toBe(1);
    expect(filled().delete("a", "c").deleted).toBe(2);
    expect(filled().delete("b", "\0").deleted).toBe(2);
    expect(filled().delete("\0", "\0").deleted).toBe(3);
    expect(filled().delete("c", "a").deleted).toBe(0);
    expect(filled().delete("c", "c").deleted).toBe(0);
  });

  test("prev_kvs come when asked for, in order of key", () => {
    expect(filled().delete("a", "\0").previous).toEqual([]);
    const { previous } = filled().delete("a", "\0", true);
    expect(previous.map((kv) => decodeKv(kv).key)).toEqual(["a", "b", "c"]);
    const one = filled().delete("b", "", true);
    expect(one.previous.map((kv) => decodeKv(kv).key)).toEqual(["b"]);
  });

  test("a deleted key is detached from its lease", () => {
    const driver = new Driver();
    driver.grant(1n);
    driver.put("a", "", { lease: 1n });
    driver.delete("a");
    expect(driver.machine.lease(1n)?.keys).toEqual([]);
    driver.put("a");
    expect(driver.revoke(1n).revision).toBe(4);
    expect(driver.contents()).toEqual(["a="]);
  });

  test("what was deleted is not deleted again", () => {
    const driver = filled();
    driver.delete("a", "c");
    expect(driver.delete("\0", "\0").deleted).toBe(1);
    expect(driver.delete("\0", "\0").deleted).toBe(0);
    expect(driver.machine.keyCount).toBe(0);
  });
});

describe("commands", () => {
  test("a batch's commands are applied in order and each has its outcome", () => {
    const driver = new Driver();
    const body = encoded(PutRequest, { key: "a" });
    const bad = encoded(PutRequest, { key: "a", lease: 9n });
    const kind = CommandKind.put;
    const outcomes = driver.entry([
      { kind, body },
      { kind, body: bad },
      { kind, body },
    ]);
    expect(outcomes.map((each) => (each instanceof Error ? each.code : each.revision))).toEqual([
      2,
      "lease_not_found",
      3,
    ]);
  });

  test("one that is no message, or lacks a key, changes nothing", () => {
    const driver = new Driver();
    const garbage = Uint8Array.of(0x0a, 0x50, 0x61);
    for (const kind of Object.values(CommandKind)) {
      if (kind === CommandKind.onBehalf) continue; // a prefix has no outcome
      expect(codeOf(() => raise(driver.command(kind, garbage)))).toBe("invalid_argument");
    }
    for (const kind of [CommandKind.put, CommandKind.deleteRange]) {
      expect(codeOf(() => raise(driver.command(kind, new Uint8Array(0))))).toBe("empty_key");
    }
    expect([driver.machine.revision, driver.machine.takeRows()]).toEqual([1, []]);
  });

  test("a batch of a newer format or an unknown command stops the machine", () => {
    const driver = new Driver();
    const unknown = { kind: 99 as CommandKind, body: new Uint8Array(0) };
    expect(() => driver.entry([unknown])).toThrow("unknown");
  });
});

function raise(outcome: unknown): void {
  if (outcome instanceof Error) throw outcome;
}
