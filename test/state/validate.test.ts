/** What is refused before anything looks at the state, and in which order (surface 3.2, 3.5). */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { DEPTH_MAX } from "../../src/proto/reader.ts";
import { checkDuplicates } from "../../src/state/duplicates.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkRangeStream,
  checkTxn,
  isReadOnly,
  isSerializable,
  TXN_DEPTH_MAX,
} from "../../src/state/validate.ts";
import { bytes, codeOf } from "./driver.ts";

const rangeCode = (more: Partial<RangeRequest>): string =>
  codeOf(() => checkRange(RangeRequest.create({ key: "a", ...more })));
const putCode = (more: Partial<PutRequest>): string =>
  codeOf(() => checkPut(PutRequest.create({ key: "a", ...more })));
const txnCode = (request: Partial<TxnRequest>, max?: number): string =>
  codeOf(() => checkTxn(TxnRequest.create(request), max));

const put = (key: string, more: Partial<PutRequest> = {}): RequestOp =>
  RequestOp.create({ requestPut: PutRequest.create({ key, ...more }) });
const range = (key: string, more: Partial<RangeRequest> = {}): RequestOp =>
  RequestOp.create({ requestRange: RangeRequest.create({ key, ...more }) });
const del = (key: string, rangeEnd = ""): RequestOp =>
  RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key, rangeEnd }) });
const nested = (request: Partial<TxnRequest>): RequestOp =>
  RequestOp.create({ requestTxn: TxnRequest.create(request) });

describe("range", () => {
  test("an empty key, before an unknown order", () => {
    expect(rangeCode({ key: "" })).toBe("empty_key");
    expect(rangeCode({ key: "", sortOrder: 9 })).toBe("empty_key");
  });
  test("an unknown order or target", () => {
    for (const unknown of [-1, 3]) {
      expect(rangeCode({ sortOrder: unknown })).toBe("invalid_sort_option");
    }
    for (const unknown of [-1, 5]) {
      expect(rangeCode({ sortTarget: unknown })).toBe("invalid_sort_option");
    }
    expect(rangeCode({ sortOrder: 2, sortTarget: 4 })).toBe("none");
  });
  test("a stream takes neither orders nor bounds", () => {
    const code = (more: Partial<RangeRequest>): string =>
      codeOf(() => checkRangeStream(RangeRequest.create({ key: "a", ...more })));
    expect(code({})).toBe("none");
    expect(code({ sortOrder: 1 })).toBe("none");
    expect(code({ sortOrder: 2 })).toBe("unsupported_sort_stream");
    expect(code({ sortTarget: 1, sortOrder: 1 })).toBe("unsupported_sort_stream");
    expect(code({ sortTarget: 1 })).toBe("none");
    for (const bound of [
      { minModRevision: 1 },
      { maxModRevision: 1 },
      { minCreateRevision: 1 },
      { maxCreateRevision: 1 },
    ]) {
      expect(code(bound)).toBe("unsupported_filter_stream");
    }
    expect(code({ key: "" })).toBe("empty_key");
  });
});

describe("put and delete", () => {
  test("an empty key, then a value or a lease beside its ignore flag", () => {
    const value = bytes("x");
    expect(putCode({ key: "", ignoreValue: true, value })).toBe("empty_key");
    expect(putCode({ ignoreValue: true, value, ignoreLease: true, lease: 1n })).toBe(
      "value_provided",
    );
    expect(putCode({ ignoreLease: true, lease: -1n })).toBe("lease_provided");
    expect(putCode({ ignoreLease: true, ignoreValue: true })).toBe("none");
    expect(codeOf(() => checkDeleteRange(DeleteRangeRequest.create()))).toBe("empty_key");
    expect(codeOf(() => checkDeleteRange(DeleteRangeRequest.create({ key: "a" })))).toBe("none");
  });
});

describe("operations of a transaction", () => {
  const many = (count: number): RequestOp[] =>
    Array.from({ length: count }, (_, i) => put(`k${i}`));
  const compares = (count: number): Compare[] =>
    Array.from({ length: count }, () => Compare.create({ key: "a" }));

  test("the largest of the three lists counts, at most 128", () => {
    expect(txnCode({ success: many(128), failure: many(128), compare: compares(128) })).toBe(
      "none",
    );
    expect(txnCode({ success: many(129) })).toBe("too_many_ops");
    expect(txnCode({ failure: many(129) })).toBe("too_many_ops");
    expect(txnCode({ compare: compares(129) })).toBe("too_many_ops");
  });

  test("a nested one gets what is left over", () => {
    const inner = (count: number): RequestOp => nested({ success: many(count) });
    expect(txnCode({ success: [inner(127)] })).toBe("none");
    expect(txnCode({ success: [inner(128)] })).toBe("too_many_ops");
    expect(txnCode({ compare: compares(3), success: [inner(126)] })).toBe("too_many_ops");
    expect(txnCode({ success: [nested({ success: [inner(126)] })] })).toBe("none");
    expect(txnCode({ success: [nested({ success: [inner(127)] })] })).toBe("too_many_ops");
    expect(txnCode({ failure: [inner(3)] }, 3)).toBe("too_many_ops");
  });

  test("nests no deeper than its answer can be read, which holds one message more", () => {
    const deep = (levels: number): RequestOp => {
      let operation = range("a");
      for (let level = 0; level < levels; level++) operation = nested({ failure: [operation] });
      return operation;
    };
    expect(txnCode({ success: [deep(TXN_DEPTH_MAX)] })).toBe("none");
    expect(txnCode({ success: [deep(TXN_DEPTH_MAX + 1)] })).toBe("too_many_ops");
    // an operation and a transaction for each level; an operation, its answer, and its header
    expect(2 * TXN_DEPTH_MAX + 3).toBeLessThanOrEqual(DEPTH_MAX);
  });

  test("too many are refused before an empty key is", () => {
    expect(txnCode({ success: Array.from({ length: 129 }, () => put("")) })).toBe("too_many_ops");
  });

  test("conditions have keys, operations are valid on their own, in both branches", () => {
    expect(txnCode({ compare: [Compare.create()] })).toBe("empty_key");
    expect(txnCode({ failure: [put("")] })).toBe("empty_key");
    expect(txnCode({ failure: [range("a", { sortOrder: 7 })] })).toBe("invalid_sort_option");
    expect(txnCode({ success: [del("")] })).toBe("empty_key");
    expect(txnCode({ success: [put("a", { ignoreLease: true, lease: 1n })] })).toBe(
      "lease_provided",
    );
    expect(txnCode({ success: [nested({ failure: [put("")] })] })).toBe("empty_key");
  });

  test("an empty operation is key_not_found", () => {
    expect(txnCode({ success: [RequestOp.create()] })).toBe("key_not_found");
  });

  test("that is said before a key is found twice", () => {
    expect(txnCode({ success: [put("a"), put("a")], failure: [put("")] })).toBe("empty_key");
  });
});

describe("duplicate keys", () => {
  const twice = (...success: RequestOp[]): boolean => {
    const code = txnCode({ success });
    expect(txnCode({ failure: success })).toBe(code);
    return code === "duplicate_key";
  };

  test("a key put twice", () => {
    expect(twice(put("a"), put("a"))).toBe(true);
    expect(twice(put("a"), put("b"))).toBe(false);
  });
  test("a key put and deleted, in either order", () => {
    expect(twice(put("a"), del("a"))).toBe(true);
    expect(twice(del("a"), put("a"))).toBe(true);
    expect(twice(del("a", "c"), put("b"))).toBe(true);
    expect(twice(del("a", "c"), put("c"))).toBe(false);
    expect(twice(del("b"), put("b\0"), put("a"))).toBe(false);
  });
  test("what a range without end deletes is not looked at, as in etcd", () => {
    expect(twice(put("z"), del("b", "\0"))).toBe(false);
    expect(twice(del("\0", "\0"), put("b"))).toBe(false);
  });
  test("deletes may overlap, ranges are free", () => {
    expect(twice(del("a", "c"), del("b", "d"), range("a"), range("b"))).toBe(false);
    expect(twice(del("a", "c"), del("b", "f"), del("d"), put("e"))).toBe(true);
    expect(twice(range("a"), put("a"), range("a"))).toBe(false);
  });
  test("the two branches are apart", () => {
    expect(txnCode({ success: [put("a")], failure: [put("a"), del("b")] })).toBe("none");
  });
  test("both branches of a nested one may put a key, but not the level above as well", () => {
    const inner = nested({ success: [put("a")], failure: [put("a")] });
    expect(twice(inner)).toBe(false);
    expect(twice(inner, put("a"))).toBe(true);
    expect(twice(put("a"), inner)).toBe(true);
    expect(twice(inner, nested({ failure: [put("a")] }))).toBe(true);
    expect(twice(inner, del("a"))).toBe(true);
    expect(twice(nested({ success: [put("a")], failure: [del("a")] }))).toBe(false);
  });
  test("a nested delete meets later puts, not earlier nested ones", () => {
    expect(twice(nested({ success: [del("a")] }), nested({ success: [put("a")] }))).toBe(true);
    expect(twice(nested({ success: [put("a")] }), nested({ success: [del("a")] }))).toBe(false);
    expect(twice(nested({ failure: [del("a", "c")] }), put("b"))).toBe(true);
  });

  test("the check agrees with looking at every pair", () => {
    const rng = new Prng(7);
    let refused = 0;
    for (let round = 0; round < 4000; round++) {
      const operations = randomOperations(rng, 3);
      const expected = conflicts(operations, []);
      refused += expected ? 1 : 0;
      expect(codeOf(() => checkDuplicates(operations))).toBe(expected ? "duplicate_key" : "none");
    }
    expect(refused).toBeGreaterThan(1000);
    expect(refused).toBeLessThan(3000);
  });

  test("128 operations a level, nested, take no time", () => {
    const level = (depth: number, name: string): RequestOp[] =>
      Array.from({ length: 10 }, (_, i) => {
        const key = `${name}${i}`;
        if (depth > 0 && i > 2) return nested({ success: level(depth - 1, key) });
        return i === 0 ? del(`${key}x`, `${key}y`) : put(key);
      });
    const operations = level(4, "k");
    const started = process.cpuUsage().user;
    expect(codeOf(() => checkDuplicates(operations))).toBe("none");
    expect(process.cpuUsage().user - started).toBeLessThan(2_000_000);
  });
});

function randomOperations(rng: Prng, depth: number): RequestOp[] {
  const keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
  return Array.from({ length: rng.below(4) }, () => {
    const roll = rng.below(10);
    if (roll < 4) return put(rng.pick(keys));
    if (roll < 6) return del(rng.pick(keys), rng.pick(["", "", "c", "e", "z", "z", "\0", "a"]));
    if (roll < 7 || depth === 0) return range(rng.pick(keys));
    return nested({
      success: randomOperations(rng, depth - 1),
      failure: randomOperations(rng, depth - 1),
    });
  });
}

type Place = readonly { readonly index: number; readonly branch: number }[];
interface Change {
  readonly place: Place;
  readonly isPut: boolean;
  readonly key: string;
  readonly end: string;
}

function changesIn(operations: readonly RequestOp[], branch: number, above: Place): Change[] {
  return operations.flatMap((operation, index): Change[] => {
    const place = [...above, { index, branch }];
    const { requestPut, requestDeleteRange, requestTxn } = operation;
    if (requestPut) return [{ place, isPut: true, key: requestPut.key, end: "" }];
    if (requestDeleteRange) {
      const { key, rangeEnd } = requestDeleteRange;
      return [{ place, isPut: false, key, end: rangeEnd }];
    }
    if (requestTxn === undefined) return [];
    return [...changesIn(requestTxn.success, 0, place), ...changesIn(requestTxn.failure, 1, place)];
  });
}

/** The rule, told of two changes: where do their ways part? */
function conflicts(operations: readonly RequestOp[], above: Place): boolean {
  const changes = changesIn(operations, 0, above);
  return changes.some((a, i) => changes.some((b, j) => i < j && isConflict(a, b)));
}

function isConflict(a: Change, b: Change): boolean {
  if (!a.isPut && !b.isPut) return false;
  if (a.isPut && b.isPut && a.key !== b.key) return false;
  if (a.isPut !== b.isPut) {
    const [one, many] = a.isPut ? [a, b] : [b, a];
    const inside =
      many.end === "" ? one.key === many.key : one.key >= many.key && one.key < many.end;
    if (!inside) return false;
  }
  let level = 0;
  while (a.place[level]?.index === b.place[level]?.index) {
    level++;
    if (a.place[level]?.branch !== b.place[level]?.branch) return false;
  }
  if (a.isPut && b.isPut) return true;
  // One of them stands on the level itself: always refused. Both nested: only delete, then put.
  const [one, many] = a.isPut ? [a, b] : [b, a];
  const isDirect = one.place.length === level + 1 || many.place.length === level + 1;
  if (isDirect) return true;
  return (many.place[level]?.index ?? 0) < (one.place[level]?.index ?? 0);
}

describe("kinds of transactions", () => {
  test("read-only: ranges and nothing else, none nested", () => {
    const request = (...success: RequestOp[]): TxnRequest => TxnRequest.create({ success });
    expect(isReadOnly(request())).toBe(true);
    expect(isReadOnly(request(range("a")))).toBe(true);
    expect(isReadOnly(request(range("a"), put("b")))).toBe(false);
    expect(isReadOnly(request(nested({ success: [range("a")] })))).toBe(false);
    expect(isReadOnly(TxnRequest.create({ failure: [del("a")] }))).toBe(false);
  });
  test("serializable: every range says so, and there is one", () => {
    const local = range("a", { serializable: true });
    expect(isSerializable(TxnRequest.create({ success: [local], failure: [local] }))).toBe(true);
    expect(isSerializable(TxnRequest.create({ success: [local, range("b")] }))).toBe(false);
    expect(isSerializable(TxnRequest.create({ failure: [range("b")] }))).toBe(false);
    const compare = [Compare.create({ key: "a" })];
    expect(isSerializable(TxnRequest.create({ compare }))).toBe(false);
  });
});
