/** etcd's rules for transactions, one test a sentence (surface 3.5). */
import { describe, expect, test } from "bun:test";
import {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { RangeResult, TxnResult } from "../../src/state/results.ts";
import { bytes, codeOf, Driver, texts } from "./driver.ts";

const put = (key: string, value = "", more: Partial<PutRequest> = {}): RequestOp =>
  RequestOp.create({ requestPut: PutRequest.create({ key, value: bytes(value), ...more }) });
const range = (key: string, more: Partial<RangeRequest> = {}): RequestOp =>
  RequestOp.create({ requestRange: RangeRequest.create({ key, ...more }) });
const del = (key: string, rangeEnd = "", prevKv = false): RequestOp =>
  RequestOp.create({
    requestDeleteRange: DeleteRangeRequest.create({ key, rangeEnd, prevKv }),
  });
const nested = (request: Partial<TxnRequest>): RequestOp =>
  RequestOp.create({ requestTxn: TxnRequest.create(request) });

const { EQUAL, GREATER, LESS, NOT_EQUAL } = CompareResult;

/** a=1 (version 2, lease 1), b=2; revision 4. */
function filled(): Driver {
  const driver = new Driver();
  driver.grant(1n);
  driver.put("a", "0");
  driver.put("b", "2");
  driver.put("a", "1", { lease: 1n });
  return driver;
}

function holds(compare: Partial<Compare>, driver = filled()): boolean {
  return driver.txn({ compare: [Compare.create(compare)] }).succeeded;
}

/** Which of =, >, <, ≠ hold, as a string. */
function relations(compare: Partial<Compare>): string {
  const names = { "=": EQUAL, ">": GREATER, "<": LESS, "≠": NOT_EQUAL };
  return Object.entries(names)
    .filter(([, result]) => holds({ ...compare, result }))
    .map(([name]) => name)
    .join("");
}

describe("compare", () => {
  const { CREATE, LEASE, MOD, VALUE, VERSION } = CompareTarget;

  test("five targets and four operators", () => {
    const a = { key: "a" };
    expect(relations({ ...a, target: VERSION, version: 2 })).toBe("=");
    expect(relations({ ...a, target: VERSION, version: 1 })).toBe(">≠");
    expect(relations({ ...a, target: CREATE, createRevision: 2 })).toBe("=");
    expect(relations({ ...a, target: CREATE, createRevision: 3 })).toBe("<≠");
    expect(relations({ ...a, target: MOD, modRevision: 4 })).toBe("=");
    expect(relations({ ...a, target: MOD, modRevision: 3 })).toBe(">≠");
    expect(relations({ ...a, target: VALUE, value: bytes("1") })).toBe("=");
    expect(relations({ ...a, target: VALUE, value: bytes("0zz") })).toBe(">≠");
    expect(relations({ ...a, target: VALUE, value: bytes("10") })).toBe("<≠");
    expect(relations({ ...a, target: LEASE, lease: 1n })).toBe("=");
    expect(relations({ ...a, target: LEASE, lease: 2n })).toBe("<≠");
    expect(relations({ ...a, target: LEASE, lease: -2n })).toBe(">≠");
  });

  test("without a key the value never holds, the others compare with 0", () => {
    const none = { key: "none" };
    expect(relations({ ...none, target: VALUE, value: bytes("") })).toBe("");
    expect(relations({ ...none, target: VERSION, version: 0 })).toBe("=");
    expect(relations({ ...none, target: CREATE, createRevision: 0 })).toBe("=");
    expect(relations({ ...none, target: MOD, modRevision: 1 })).toBe("<≠");
    expect(relations({ ...none, target: LEASE, lease: 0n })).toBe("=");
    expect(relations({ ...none, target: LEASE, lease: -1n })).toBe(">≠");
  });

  test("a deleted key is no key", () => {
    const driver = filled();
    driver.delete("a");
    expect(holds({ key: "a", target: CREATE, createRevision: 0 }, driver)).toBe(true);
  });

  test("an operand that is missing or of another kind is 0 or empty", () => {
    expect(relations({ key: "a", target: VERSION })).toBe(">≠");
    expect(relations({ key: "a", target: VERSION, modRevision: 2 })).toBe(">≠");
    expect(relations({ key: "a", target: VALUE })).toBe(">≠");
    expect(relations({ key: "b", target: LEASE })).toBe("=");
  });

  test("with range_end every key in the range must satisfy it", () => {
    const all = { key: "\0", rangeEnd: "\0" };
    expect(relations({ ...all, target: VERSION, version: 1 })).toBe("");
    expect(holds({ ...all, target: VERSION, version: 0, result: GREATER })).toBe(true);
    expect(holds({ ...all, target: VERSION, version: 1, result: GREATER })).toBe(false);
    const empty = { key: "x", rangeEnd: "z" };
    expect(relations({ ...empty, target: VERSION, version: 0 })).toBe("=");
    expect(relations({ ...empty, target: VALUE })).toBe("");
  });

  test("all conditions must hold; none at all do", () => {
    const yes = Compare.create({ key: "a", target: VERSION, version: 2 });
    const no = Compare.create({ key: "b", target: VERSION, version: 2 });
    expect(filled().txn({ compare: [yes, yes] }).succeeded).toBe(true);
    expect(filled().txn({ compare: [yes, no] }).succeeded).toBe(false);
    expect(filled().txn({}).succeeded).toBe(true);
  });

  test("the value is compared where it was stored", () => {
    const driver = new Driver(0);
    driver.put("a", "1");
    driver.flush();
    expect(holds({ key: "a", target: VALUE, value: bytes("1") }, driver)).toBe(true);
  });
});

describe("operations", () => {
  const never = [Compare.create({ key: "a", target: CompareTarget.VERSION, version: 99 })];

  test("run in order, and later ones see what earlier ones did", () => {
    const { responses, revision } = filled().txn({
      success: [range("c"), put("c", "3"), range("c"), del("b"), range("\0", { rangeEnd: "\0" })],
    });
    const [before, , after, , all] = responses as RangeResult[];
    expect(texts(before as RangeResult)).toEqual([]);
    expect(texts(after as RangeResult)).toEqual(["c=3"]);
    expect(texts(all as RangeResult)).toEqual(["a=1", "c=3"]);
    expect(revision).toBe(5);
  });

  test("one header revision each: the one they see or make", () => {
    const { responses } = filled().txn({
      success: [range("a"), del("none"), put("c"), range("a"), del("none")],
    });
    const revisions = responses.map((each) => each.revision);
    expect(revisions).toEqual([4, 4, 5, 5, 5]);
  });

  test("an explicit revision shows the past, without what the transaction did", () => {
    const { responses } = filled().txn({
      success: [put("b", "new"), range("\0", { rangeEnd: "\0", revision: 4 })],
    });
    expect(texts(responses[1] as RangeResult)).toEqual(["a=1", "b=2"]);
  });

  test("the failure branch runs when a condition fails; an empty one gives no responses", () => {
    const driver = filled();
    const result = driver.txn({ compare: never, success: [put("c")] });
    expect([result.succeeded, result.responses, result.revision]).toEqual([false, [], 4]);
    expect(driver.txn({ compare: never, failure: [put("c")] }).responses).toHaveLength(1);
    expect(driver.contents()).toEqual(["a=1", "b=2", "c="]);
  });

  test("prev_kv is what earlier operations left", () => {
    const { responses } = filled().txn({
      success: [nested({ success: [put("c", "3")] }), nested({ success: [del("c", "d", true)] })],
    });
    const [, second] = responses as TxnResult[];
    expect(second?.responses[0]).toMatchObject({ kind: "deleteRange", deleted: 1 });
  });
});

describe("nested transactions", () => {
  test("have a header of zeros", () => {
    const { responses } = filled().txn({ success: [nested({ success: [put("c")] })] });
    const [inner] = responses as TxnResult[];
    expect([inner?.kind, inner?.revision, inner?.succeeded]).toEqual(["txn", 0, true]);
    expect(inner?.responses).toEqual([{ kind: "put", revision: 5, previous: undefined }]);
  });

  test("their conditions see the state before the whole transaction", () => {
    const isNew = Compare.create({ key: "c", target: CompareTarget.VERSION, version: 0 });
    const { responses } = filled().txn({
      success: [put("c"), nested({ compare: [isNew], success: [put("d")], failure: [put("e")] })],
    });
    expect((responses[1] as TxnResult).succeeded).toBe(true);
  });

  test("branches that do not run decide nothing for the others", () => {
    const no = Compare.create({ key: "a", target: CompareTarget.VERSION, version: 99 });
    const driver = filled();
    const deep = nested({ success: [put("deep")] });
    driver.txn({
      success: [
        nested({ compare: [no], success: [deep, deep], failure: [put("f")] }),
        nested({ success: [nested({ compare: [no], failure: [put("g")] }), put("h")] }),
      ],
    });
    expect(driver.contents()).toEqual(["a=1", "b=2", "f=", "g=", "h="]);
  });

  test("all changes are of one revision, in order of execution", () => {
    const driver = filled();
    driver.machine.takeRows();
    driver.txn({ success: [put("z"), nested({ success: [put("y")] }), put("x")] });
    const rows = driver.machine.takeRows().map(({ key, revision, sub }) => [key, revision, sub]);
    expect(rows).toEqual([
      ["z", 5, 0],
      ["y", 5, 1],
      ["x", 5, 2],
    ]);
  });
});

describe("checks before anything is written", () => {
  const fails = (operations: RequestOp[], driver = filled()): string => {
    const before = driver.machine.revision;
    const code = codeOf(() => driver.txn({ success: [put("first"), ...operations] }));
    expect([driver.machine.get("first"), driver.machine.revision]).toEqual([undefined, before]);
    return code;
  };

  test("a lease exists", () => {
    expect(fails([put("x", "", { lease: 9n })])).toBe("lease_not_found");
  });

  test("a key to keep something of exists, before the transaction", () => {
    expect(fails([put("x", "", { ignoreValue: true })])).toBe("key_not_found");
    expect(fails([put("x", "", { ignoreLease: true })])).toBe("key_not_found");
    expect(fails([put("first", "", { ignoreValue: true })])).toBe("key_not_found");
  });

  test("the lease is missed before the key is", () => {
    expect(fails([put("x", "", { ignoreValue: true, lease: 9n })])).toBe("lease_not_found");
  });

  test("a revision is not in the future, also not the one being made, nor compacted", () => {
    expect(fails([range("a", { revision: 5 })])).toBe("future_revision");
    const driver = filled();
    driver.compact(3);
    expect(fails([range("a", { revision: 2 })], driver)).toBe("compacted");
    expect(codeOf(() => driver.txn({ success: [range("a", { revision: 3 })] }))).toBe("none");
  });

  test("nested operations are checked, too, but only those that will run", () => {
    const bad = put("x", "", { lease: 9n });
    expect(fails([nested({ success: [bad] })])).toBe("lease_not_found");
    expect(codeOf(() => filled().txn({ success: [nested({ failure: [bad] })] }))).toBe("none");
    expect(codeOf(() => filled().txn({ failure: [bad] }))).toBe("none");
  });

  test("an operation that is none, or without a key, fails it all", () => {
    expect(fails([RequestOp.create()])).toBe("key_not_found");
    expect(fails([put("")])).toBe("empty_key");
    expect(fails([range("")])).toBe("empty_key");
    expect(fails([del("")])).toBe("empty_key");
  });

  test("a key to keep that the transaction itself deleted is put empty", () => {
    const driver = filled();
    driver.txn({ success: [del("a"), put("a", "", { ignoreValue: true })] });
    expect(driver.contents()).toEqual(["a=", "b=2"]);
  });
});

test("a transaction that only reads needs no entry", () => {
  const { machine } = filled();
  const request = TxnRequest.create({ success: [range("a")] });
  const result = machine.readTxn(request);
  expect(texts(result.responses[0] as RangeResult)).toEqual(["a=1"]);
  expect([result.revision, machine.revision]).toEqual([4, 4]);
});
