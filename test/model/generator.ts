/**
 * Seeded sequences of requests over a few keys: every option and every way to be refused comes up
 * within some hundred of them. The same seed and the same answers give the same sequence.
 */
import { Prng } from "../../src/base/prng.ts";
import type {
  CompareBody,
  DeleteRangeBody,
  ModelContext,
  ModelRequest,
  OpBody,
  PutBody,
  RangeBody,
  TxnBody,
  WatchBody,
} from "./requests.ts";

/** Few, so that they meet; with the smallest, the largest, prefixes of each other. */
export const KEYS = ["a", "aa", "ab", "b", "b\0", "c", "\0", "\xff", "\xff\xff", "dir/1", "dir/2"];

/** Leases that keys are attached to: far from expiry during a run. */
const LEASES = [1, 2, 3, 4];
const LEASE_TTL_SECONDS = 100_000;
/**
 * Leases from this id on are granted once each, with a TTL that the server must raise; they expire
 * when they please, so nothing is attached to them and nothing is asked of them.
 */
export const SHORT_LEASES_FROM = 1000;
const UNKNOWN_LEASE = 77;
const NEGATIVE_LEASE = -5;
const TTL_TOO_LARGE = 9_000_000_001;

/** Operations a transaction may hold; one more is refused. */
const TXN_OPS_MAX = 128;
const TXN_DEPTH_MAX = 3;

const LATEST_OF_A: RangeBody = {
  key: "a",
  rangeEnd: "",
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};

export class RequestGenerator {
  readonly #prng: Prng;
  #value = 0;
  #shortLease = SHORT_LEASES_FROM - 1;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  next(context: ModelContext): ModelRequest {
    const roll = this.#prng.below(100);
    if (roll < 30) return { rpc: "Put", body: this.#put() };
    if (roll < 50) return { rpc: "Range", body: this.#range(context) };
    if (roll < 60) return { rpc: "DeleteRange", body: this.#deleteRange() };
    if (roll < 82) return { rpc: "Txn", body: this.#txn(context, 0) };
    if (roll < 85) return { rpc: "Watch", body: this.#watch(context) };
    if (roll < 86) return { rpc: "CancelWatch", body: { watchId: this.#prng.below(8) } };
    if (roll < 89) return { rpc: "Compact", body: this.#compact(context) };
    return this.#lease();
  }

  #lease(): ModelRequest {
    const roll = this.#prng.below(100);
    const ID = this.#prng.pick([...LEASES, ...LEASES, UNKNOWN_LEASE, NEGATIVE_LEASE]);
    if (roll < 40) return this.#leaseGrant(ID);
    if (roll < 60) return { rpc: "LeaseRevoke", body: { ID } };
    if (roll < 85) return { rpc: "LeaseTimeToLive", body: { ID, keys: this.#prng.chance(70) } };
    return { rpc: "LeaseLeases", body: {} };
  }

  #leaseGrant(id: number): ModelRequest {
    const roll = this.#prng.below(10);
    if (roll === 0) return { rpc: "LeaseGrant", body: { TTL: TTL_TOO_LARGE, ID: id } };
    if (roll < 3) {
      this.#shortLease += 1;
      const TTL = this.#prng.pick([-1, 0, 1]);
      return { rpc: "LeaseGrant", body: { TTL, ID: this.#shortLease } };
    }
    const TTL = LEASE_TTL_SECONDS + this.#prng.below(1000);
    return { rpc: "LeaseGrant", body: { TTL, ID: id === UNKNOWN_LEASE ? 1 : id } };
  }

  /** Mostly 0 or a lease that was granted at some time. */
  #leaseOfPut(): number {
    if (this.#prng.chance(70)) return 0;
    return this.#prng.chance(90) ? this.#prng.pick(LEASES) : UNKNOWN_LEASE;
  }

  /** A key; seldom the empty one, which is refused. */
  #key(): string {
    return this.#prng.chance(1) ? "" : this.#prng.pick(KEYS);
  }

  #newValue(): string {
    if (this.#prng.chance(10)) return "";
    if (this.#prng.chance(20)) return this.#prng.pick(["same", "\0\x80\xff"]);
    this.#value += 1;
    return `v${this.#value}`;
  }

  #put(): PutBody {
    const ignoreValue = this.#prng.chance(6);
    const ignoreLease = this.#prng.chance(6);
    return {
      key: this.#key(),
      value: ignoreValue && this.#prng.chance(80) ? "" : this.#newValue(),
      lease: ignoreLease && this.#prng.chance(80) ? 0 : this.#leaseOfPut(),
      prevKv: this.#prng.chance(30),
      ignoreValue,
      ignoreLease,
    };
  }

  /** Single key, everything from it on, a range, an empty range. */
  #bounds(singlePercent: number): { key: string; rangeEnd: string } {
    const key = this.#key();
    if (this.#prng.chance(singlePercent)) return { key, rangeEnd: "" };
    const rangeEnd = this.#prng.pick(["\0", "\0", "b", "c", "dir0", "\xff", ...KEYS]);
    return { key: this.#prng.chance(20) ? "\0" : key, rangeEnd };
  }

  #range(context: ModelContext): RangeBody {
    const plain = this.#prng.chance(30);
    const maybe = (percent: number, value: () => number): number =>
      !plain && this.#prng.chance(percent) ? value() : 0;
    const near = (): number => this.#nearRevision(context);
    return {
      ...this.#bounds(30),
      limit: maybe(40, () => this.#prng.pick([1, 2, 3, 5, 100, -1])),
      revision: maybe(40, near),
      sortOrder: maybe(40, () => this.#prng.below(3)),
      sortTarget: maybe(40, () => this.#prng.below(5)),
      serializable: this.#prng.chance(30),
      keysOnly: this.#prng.chance(15),
      countOnly: this.#prng.chance(12),
      minModRevision: maybe(12, near),
      maxModRevision: maybe(12, near),
      minCreateRevision: maybe(12, near),
      maxCreateRevision: maybe(12, near),
    };
  }

  /** Around the present, at and below the compaction, in the future, negative. */
  #nearRevision({ revision, compactRevision }: ModelContext): number {
    const roll = this.#prng.below(10);
    if (roll < 6) return Math.max(revision - this.#prng.below(12), 1);
    if (roll < 8) return compactRevision + this.#prng.below(3) - 1;
    if (roll < 9) return revision + 1 + this.#prng.below(2);
    return this.#prng.pick([-1, 1, 2]);
  }

  #deleteRange(): DeleteRangeBody {
    return { ...this.#bounds(75), prevKv: this.#prng.chance(40) };
  }

  #compact(context: ModelContext): { revision: number; physical: boolean } {
    const { revision, compactRevision } = context;
    const roll = this.#prng.below(10);
    const behind = Math.max(revision - 3 - this.#prng.below(15), 1);
    let at = behind;
    if (roll === 0) at = revision + 1 + this.#prng.below(3);
    else if (roll === 1) at = compactRevision - this.#prng.below(2);
    else if (roll === 2) at = this.#prng.pick([0, -1]);
    else if (roll === 3) at = revision;
    return { revision: at, physical: this.#prng.chance(30) };
  }

  #txn(context: ModelContext, depth: number): TxnBody {
    const compares = this.#prng.pick([0, 1, 1, 2, 3]);
    const ops = (): OpBody[] => this.#ops(context, depth);
    return {
      compare: Array.from({ length: compares }, () => this.#compare(context)),
      success: ops(),
      failure: ops(),
    };
  }

  #ops(context: ModelContext, depth: number): OpBody[] {
    if (depth === 0 && this.#prng.chance(2)) {
      const count = TXN_OPS_MAX + this.#prng.below(2);
      return Array.from({ length: count }, () => ({ requestRange: LATEST_OF_A }));
    }
    const count = this.#prng.pick([0, 1, 1, 2, 2, 3, 4]);
    const ops = Array.from({ length: count }, () => this.#op(context, depth));
    // Duplicate keys refuse the whole: most transactions write a key once.
    return this.#prng.chance(85) ? withoutDuplicates(ops) : ops;
  }

  #op(context: ModelContext, depth: number): OpBody {
    const roll = this.#prng.below(100);
    if (roll < 1) return {};
    if (roll < 40) return { requestPut: this.#put() };
    if (roll < 68) return { requestRange: this.#range(context) };
    if (roll < 85) return { requestDeleteRange: this.#deleteRange() };
    if (depth + 1 >= TXN_DEPTH_MAX) return { requestPut: this.#put() };
    return { requestTxn: this.#txn(context, depth + 1) };
  }

  #compare(context: ModelContext): CompareBody {
    const target = this.#prng.below(5);
    const number = (): number => (this.#prng.chance(50) ? 0 : this.#nearRevision(context));
    const unset = this.#prng.chance(8);
    return {
      result: this.#prng.below(4),
      target,
      ...this.#bounds(75),
      ...(target === 0 && !unset && { version: this.#prng.below(4) }),
      ...(target === 1 && !unset && { createRevision: number() }),
      ...(target === 2 && !unset && { modRevision: number() }),
      ...(target === 3 && !unset && { value: this.#prng.pick(["", "same", `v${this.#value}`]) }),
      ...(target === 4 && !unset && { lease: this.#prng.pick([0, ...LEASES]) }),
    };
  }

  #watch(context: ModelContext): WatchBody {
    const { revision, compactRevision } = context;
    const past = Math.max(compactRevision - 2, 1);
    const anywhere = past + this.#prng.below(revision + 4 - past);
    return {
      ...this.#bounds(40),
      startRevision: this.#prng.chance(40) ? 0 : anywhere,
      filters: this.#prng.pick([[], [], [], [0], [1], [0, 1]]),
      prevKv: this.#prng.chance(60),
      watchId: this.#prng.chance(20) ? 1 + this.#prng.below(6) : 0,
    };
  }
}

/** Leaves out puts of keys that another op of the list writes; nested ones are not looked at. */
function withoutDuplicates(ops: readonly OpBody[]): OpBody[] {
  const written = new Set<string>();
  return ops.filter((op) => {
    const key = op.requestPut?.key;
    if (key === undefined) return true;
    if (written.has(key) || ops.some((other) => deletes(other, key))) return false;
    written.add(key);
    return true;
  });
}

function deletes(op: OpBody, key: string): boolean {
  const range = op.requestDeleteRange;
  if (range === undefined) return false;
  if (range.rangeEnd === "") return range.key === key;
  return range.key <= key && key < range.rangeEnd;
}
