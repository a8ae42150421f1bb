/** Random requests over a small world, so that they meet: few keys, few values, few leases. */
import type { Prng } from "../../src/base/prng.ts";
import {
  Compare,
  DeleteRangeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";

const KEYS = [
  "a",
  "a\0",
  "aa",
  "ab",
  "b",
  "b/1",
  "b/2",
  "b/\xff",
  "c",
  "d",
  "\x80",
  "\xff",
  "\xff\xff",
];
const ENDS = ["", "", "", "\0", "\0", "b", "b0", "c", "d", "\xff", "a", "aa"];

export class Requests {
  readonly #rng: Prng;
  /** The current revision: past ones are asked for now and then. */
  revision = 1;

  constructor(rng: Prng) {
    this.#rng = rng;
  }

  key(): string {
    return this.#rng.pick(KEYS);
  }

  lease(): bigint {
    return this.#rng.pick([1n, 2n, 3n, -4n, 0x7fffffffffffffffn]);
  }

  #value(): Uint8Array {
    const length = this.#rng.pick([0, 1, 1, 2, 3, 40]);
    return Uint8Array.from({ length }, () => this.#rng.pick([0, 97, 98, 255]));
  }

  #pastRevision(): number {
    const rng = this.#rng;
    if (rng.chance(60)) return 0;
    return Math.max(rng.chance(5) ? -3 : 0, this.revision + 1 - rng.below(30));
  }

  put(): PutRequest {
    const rng = this.#rng;
    const ignoreValue = rng.chance(10);
    const ignoreLease = rng.chance(10);
    return PutRequest.create({
      key: this.key(),
      value: ignoreValue ? new Uint8Array(0) : this.#value(),
      lease: !ignoreLease && rng.chance(30) ? this.lease() : 0n,
      prevKv: rng.chance(40),
      ignoreValue,
      ignoreLease,
    });
  }

  deleteRange(): DeleteRangeRequest {
    const rng = this.#rng;
    const rangeEnd = rng.chance(60) ? "" : rng.pick(ENDS);
    return DeleteRangeRequest.create({ key: this.key(), rangeEnd, prevKv: rng.chance(50) });
  }

  range(): RangeRequest {
    const rng = this.#rng;
    const bound = (): number => (rng.chance(15) ? Math.max(0, this.revision - rng.below(40)) : 0);
    return RangeRequest.create({
      key: rng.chance(40) ? "\0" : this.key(),
      rangeEnd: rng.pick(ENDS),
      limit: rng.chance(50) ? 0 : rng.below(6),
      revision: this.#pastRevision(),
      sortOrder: rng.chance(50) ? 0 : rng.below(3),
      sortTarget: rng.chance(50) ? 0 : rng.below(5),
      keysOnly: rng.chance(20),
      countOnly: rng.chance(10),
      minModRevision: bound(),
      maxModRevision: bound(),
      minCreateRevision: bound(),
      maxCreateRevision: bound(),
    });
  }

  #compare(): Compare {
    const rng = this.#rng;
    const target = rng.below(5);
    const near = (): number => Math.max(0, this.revision - rng.below(20));
    return Compare.create({
      key: this.key(),
      rangeEnd: rng.chance(70) ? "" : rng.pick(ENDS),
      target,
      result: rng.below(4),
      ...(target === 0 && rng.chance(90) ? { version: rng.below(4) } : {}),
      ...(target === 1 && rng.chance(90) ? { createRevision: rng.chance(50) ? 0 : near() } : {}),
      ...(target === 2 && rng.chance(90) ? { modRevision: rng.chance(50) ? 0 : near() } : {}),
      ...(target === 3 && rng.chance(90) ? { value: this.#value() } : {}),
      ...(target === 4 && rng.chance(90) ? { lease: rng.chance(40) ? 0n : this.lease() } : {}),
    });
  }

  operation(depth: number): RequestOp {
    const roll = this.#rng.below(100);
    if (roll < 35) return RequestOp.create({ requestPut: this.put() });
    if (roll < 55) return RequestOp.create({ requestDeleteRange: this.deleteRange() });
    if (roll < 80 || depth === 0) return RequestOp.create({ requestRange: this.range() });
    return RequestOp.create({ requestTxn: this.txn(depth - 1) });
  }

  txn(depth = 2): TxnRequest {
    const many = <T>(make: () => T, max: number): T[] =>
      Array.from({ length: this.#rng.below(max + 1) }, make);
    return TxnRequest.create({
      compare: many(() => this.#compare(), 2),
      success: many(() => this.operation(depth), 3),
      failure: many(() => this.operation(depth), 3),
    });
  }
}
