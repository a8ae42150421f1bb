/** KV: puts, ranges, deletes, transactions, compactions, valid and not. */
import type { Prng } from "../../../src/base/prng.ts";
import { type Body, type Call, call, type Open, type WatchStep } from "../steps.ts";
import { LEASES, UNKNOWN_LEASE } from "./leases.ts";

/** Few, so that they meet; with the smallest, the largest, prefixes of each other. */
export const KEYS = ["a", "aa", "ab", "b", "b\0", "c", "\0", "\xff", "\xff\xff", "dir/1", "dir/2"];

/** Operations a transaction may hold; one more is refused. */
const TXN_OPS_MAX = 128;
const TXN_DEPTH_MAX = 3;
/** Streams of watchers beside the one that keeps the history. */
export const WATCH_STREAMS = 3;
/** No field of etcd's messages has this number: fields 16 bits on, as a varint 5. */
const UNKNOWN_FIELD = "\xc0\xe2\x04\x05";
/** What comes along with some requests, and changes no answer. */
const UNUSUAL = [
  { appended: UNKNOWN_FIELD },
  { metadata: { hasleader: "true" } },
  { metadata: { "client-api-version": "3.7" } },
];

type Op = Body;

/** What a sequence leaves out. */
export interface Limits {
  /** For etcd 3.4: without what came later. */
  readonly isOld: boolean;
  /** Hashes are compared: no key holds what a server drew, and none is made of nothing. */
  readonly isHashed: boolean;
}

export class KeyGenerator {
  readonly #prng: Prng;
  /** What the older etcd cannot do is left out. */
  readonly #isOld: boolean;
  readonly #isHashed: boolean;
  #value = 0;

  constructor(prng: Prng, { isOld, isHashed }: Limits) {
    this.#prng = prng;
    this.#isOld = isOld;
    this.#isHashed = isHashed;
  }

  next(): Call {
    const roll = this.#prng.below(100);
    const more = this.#prng.chance(4) ? this.#prng.pick(UNUSUAL) : {};
    if (roll < 34) return call("KV/Put", this.put(), more);
    if (roll < 53) return call("KV/Range", this.range(), more);
    if (roll < 57 && !this.#isOld) return call("KV/RangeStream", this.#streamed(), more);
    if (roll < 67) return call("KV/DeleteRange", this.#deleteRange(), more);
    if (roll < 94) return call("KV/Txn", this.#survivable(), more);
    return call("KV/Compact", this.#compact());
  }

  watch(): WatchStep {
    const stream = this.#prng.below(WATCH_STREAMS);
    if (this.#prng.chance(20)) return { do: "cancelWatch", stream, watchId: this.#prng.below(8) };
    return {
      do: "watch",
      stream,
      body: {
        ...this.bounds(40),
        startRevision: this.#prng.chance(40) ? 0 : { $: "between", share: this.#prng.unit() },
        filters: this.#prng.pick([[], [], [], [0], [1], [0, 1]]),
        prevKv: this.#prng.chance(60),
        watchId: this.#prng.chance(20) ? 1 + this.#prng.below(6) : 0,
        fragment: this.#prng.chance(20),
        progressNotify: this.#prng.chance(20),
      },
    };
  }

  put(): Body {
    const ignoreValue = this.#prng.chance(6);
    const ignoreLease = this.#prng.chance(6);
    return present({
      key: this.#key(),
      value: ignoreValue && this.#prng.chance(80) ? "" : this.#newValue(),
      lease: ignoreLease && this.#prng.chance(80) ? 0 : this.#leaseOfPut(),
      prevKv: this.#prng.chance(30),
      ignoreValue,
      ignoreLease,
    });
  }

  range(): Body {
    const plain = this.#prng.chance(30);
    const maybe = <T>(percent: number, value: () => T): T | 0 =>
      !plain && this.#prng.chance(percent) ? value() : 0;
    const near = (): number | Open => this.#nearRevision();
    // 3.4 takes an order that it does not know for none.
    const unknown = !this.#isOld && this.#prng.chance(1) ? 7 : undefined;
    return present({
      ...this.bounds(30),
      limit: maybe(40, () => this.#prng.pick([1, 2, 3, 5, 100, -1])),
      revision: maybe(40, near),
      sortOrder: unknown ?? maybe(40, () => this.#prng.below(3)),
      sortTarget: maybe(40, () => this.#prng.below(!this.#isOld && this.#prng.chance(2) ? 7 : 5)),
      serializable: this.#prng.chance(30),
      keysOnly: this.#prng.chance(15),
      countOnly: this.#prng.chance(12),
      minModRevision: maybe(12, near),
      maxModRevision: maybe(12, near),
      minCreateRevision: maybe(12, near),
      maxCreateRevision: maybe(12, near),
    });
  }

  /** Single key, everything from it on, a range, an empty range. */
  bounds(singlePercent: number): { key: string; rangeEnd: string } {
    const key = this.#key();
    if (this.#prng.chance(singlePercent)) return { key, rangeEnd: "" };
    const rangeEnd = this.#prng.pick(["\0", "\0", "b", "c", "dir0", "\xff", ...KEYS]);
    return { key: this.#prng.chance(20) ? "\0" : key, rangeEnd };
  }

  /** As a stream takes it: mostly without order and filters. */
  #streamed(): Body {
    if (this.#prng.chance(10)) return this.range();
    const { key, rangeEnd, limit, revision, serializable, keysOnly, countOnly } = this.range();
    const all = { key, rangeEnd, limit, revision, serializable, keysOnly, countOnly };
    return Object.fromEntries(
      Object.entries(all).filter(([, value]) => value !== undefined),
    ) as Body;
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

  /** Mostly 0 or a lease that was granted at some time. */
  #leaseOfPut(): number {
    if (this.#prng.chance(70)) return 0;
    return this.#prng.chance(90) ? this.#prng.pick(LEASES) : UNKNOWN_LEASE;
  }

  /** Around the present, at and below the compaction, in the future, negative. */
  #nearRevision(): number | Open {
    const roll = this.#prng.below(10);
    if (roll < 6) return { $: "revision", plus: -this.#prng.below(12), min: 1 };
    if (roll < 8) return { $: "compact", plus: this.#prng.below(3) - 1 };
    if (roll < 9) return { $: "revision", plus: 1 + this.#prng.below(2) };
    return this.#prng.pick([-1, 1, 2]);
  }

  #deleteRange(): Body {
    return present({ ...this.bounds(75), prevKv: this.#prng.chance(40) });
  }

  #compact(): Body {
    const roll = this.#prng.below(10);
    let revision: number | Open = { $: "revision", plus: -3 - this.#prng.below(15), min: 1 };
    if (roll === 0) revision = { $: "revision", plus: 1 + this.#prng.below(3) };
    else if (roll === 1) revision = { $: "compact", plus: -this.#prng.below(2) };
    else if (roll === 2) {
      // etcd keeps the hash that it makes while it compacts, and takes one of revision 0 for an
      // answer to whoever asks for the latest.
      revision = this.#isHashed ? -1 : this.#prng.pick([0, -1]);
    } else if (roll === 3) revision = { $: "revision", plus: 0 };
    return { revision, physical: this.#prng.chance(30) };
  }

  /**
   * etcd dies of a put that keeps something of a key which the same transaction has deleted: only
   * a range without an end gets past its check for keys that are written twice.
   */
  #survivable(): Body {
    for (;;) {
      const drawn = this.#txn(0);
      const text = JSON.stringify(drawn);
      const deletesAll = /"requestDeleteRange":\{[^}]*"rangeEnd":"\\u0000"/.test(text);
      if (!deletesAll || !/"ignore(Value|Lease)":true/.test(text)) return drawn;
    }
  }

  #txn(depth: number): Body {
    const compares = this.#prng.pick([0, 1, 1, 2, 3]);
    return {
      compare: Array.from({ length: compares }, () => this.#compare()),
      success: this.#ops(depth),
      failure: this.#ops(depth),
    };
  }

  #ops(depth: number): Op[] {
    // As many as are allowed, or one more: what is nested may have the rest of them.
    if (this.#prng.chance(2)) {
      const count = this.#prng.pick([100, TXN_OPS_MAX - 2, TXN_OPS_MAX, TXN_OPS_MAX + 1]);
      const filler = { requestRange: { key: "a" } };
      const inner = depth + 1 < TXN_DEPTH_MAX ? [{ requestTxn: this.#txn(depth + 1) }] : [];
      return [...inner, ...Array.from({ length: count - inner.length }, () => filler)];
    }
    const count = this.#prng.pick([0, 1, 1, 2, 2, 3, 4]);
    const ops = Array.from({ length: count }, () => this.#op(depth));
    // Duplicate keys refuse the whole: most transactions write a key once.
    return this.#prng.chance(85) ? withoutDuplicates(ops) : ops;
  }

  #op(depth: number): Op {
    const roll = this.#prng.below(100);
    if (roll < 1) return {};
    if (roll < 40) return { requestPut: this.put() };
    if (roll < 68) return { requestRange: this.range() };
    if (roll < 85) return { requestDeleteRange: this.#deleteRange() };
    if (depth + 1 >= TXN_DEPTH_MAX) return { requestPut: this.put() };
    return { requestTxn: this.#txn(depth + 1) };
  }

  #compare(): Body {
    const target = this.#prng.below(5);
    const number = (): number | Open => (this.#prng.chance(50) ? 0 : this.#nearRevision());
    const unset = this.#prng.chance(8);
    return {
      ...present({ result: this.#prng.below(4), target, ...this.bounds(75) }),
      ...(target === 0 && !unset && { version: this.#prng.below(4) }),
      ...(target === 1 && !unset && { createRevision: number() }),
      ...(target === 2 && !unset && { modRevision: number() }),
      ...(target === 3 && !unset && { value: this.#prng.pick(["", "same", `v${this.#value}`]) }),
      ...(target === 4 && !unset && { lease: this.#prng.pick([0, ...LEASES]) }),
    };
  }
}

/**
 * Without fields that have their default, as every canonical encoder sends it. Written out, an
 * empty rangeEnd would mean "to the end of the key space" to etcd: Go tells an empty slice from
 * none.
 */
export function present(body: Body): Body {
  const isDefault = (value: unknown): boolean => value === 0 || value === "" || value === false;
  return Object.fromEntries(Object.entries(body).filter(([, value]) => !isDefault(value)));
}

/** Leaves out puts of keys that another op of the list writes; nested ones are not looked at. */
function withoutDuplicates(ops: readonly Op[]): Op[] {
  const written = new Set<unknown>();
  return ops.filter((op) => {
    const put = op.requestPut as Body | undefined;
    if (put === undefined) return true;
    if (written.has(put.key) || ops.some((other) => deletes(other, String(put.key)))) return false;
    written.add(put.key);
    return true;
  });
}

function deletes(op: Op, key: string): boolean {
  const range = op.requestDeleteRange as { key: string; rangeEnd?: string } | undefined;
  if (range === undefined) return false;
  if (range.rangeEnd === undefined) return range.key === key;
  return range.key <= key && key < range.rangeEnd;
}
