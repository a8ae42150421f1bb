/**
 * What becomes of the keys that a range read meets: filtered, sorted, cut, shown. Rules (etcd's
 * range): with no order, or keys ascending, and no bounds on revisions, only the first keys up to
 * the limit are taken (limit + 1 if another target than the key sorts them); otherwise all keys
 * are taken, filtered, sorted, then cut. No order with another target sorts ascending. Keys that
 * compare equal stay in order of key, ascending (etcd leaves that to its sort).
 * A keys-only read shows a version without value and lease, but with its lease if values were
 * compared, as etcd 3.7 does, which serves the rest from its index.
 */
import { assert } from "../base/assert.ts";
import { type RangeRequest, SortOrder, SortTarget } from "../proto/gen/etcdserverpb.ts";
import { StoredKeyValue, withoutValue } from "../proto/hot/key-value.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { Row } from "./ports.ts";
import { SortedRuns } from "./sorted-runs.ts";
import { encodeKeyOnly, type KeyVersion } from "./stored-form.ts";

/** A version to be sorted. Its bytes are fetched after the cut, unless values are compared. */
interface Item {
  readonly entry: KeyEntry;
  readonly seq: number;
  readonly order: number;
  readonly kv: Uint8Array | undefined;
  readonly valueStart: number;
  readonly valueEnd: number;
  readonly heldBytes: number;
}

/** What JavaScript takes for an Item and its places, and for a Uint8Array beside its bytes. */
const ITEM_BYTES = 96;
const ARRAY_BYTES = 96;

export class RangeSelection {
  /** Encoded key values that are ready. */
  kvs: Uint8Array[] = [];
  /** No further key can change the answer, except for its count. */
  full = false;
  /** Only the first keys, in natural order, matter. */
  readonly #sliced: boolean;
  readonly #space: KeySpace;
  readonly #request: RangeRequest;
  readonly #sorted: boolean;
  readonly #filtered: boolean;
  readonly #takeMax: number;
  readonly #reader = new StoredKeyValue();
  readonly #items: SortedRuns<Item>;
  #taken = 0;
  /** Sorted versions that are to be shown. */
  #toEmit = 0;
  #kvsBytes = 0;

  constructor(space: KeySpace, request: RangeRequest) {
    this.#space = space;
    this.#request = request;
    const { limit, sortOrder, sortTarget } = request;
    const byKey = sortTarget === SortTarget.KEY;
    this.#sorted = !byKey || sortOrder === SortOrder.DESCEND;
    this.#filtered = isFiltered(request);
    const natural = sortOrder === SortOrder.NONE || (byKey && sortOrder === SortOrder.ASCEND);
    this.#sliced = limit > 0 && natural && !this.#filtered;
    this.#takeMax = byKey ? limit : limit + 1;
    const isDescending = sortOrder === SortOrder.DESCEND;
    const compare = isDescending ? (a: Item, b: Item) => compareItems(b, a) : compareItems;
    this.#items = new SortedRuns(compare, limit > 0 ? limit : Number.POSITIVE_INFINITY);
  }

  /** What the key values take that were collected. */
  get heldBytes(): number {
    return this.#kvsBytes + this.#items.heldBytes;
  }

  /** True if the answer may be known long before the end of the range. */
  get sliced(): boolean {
    return this.#sliced;
  }

  /** Takes in a visible version: the entry's latest, or `past`. Returns bytes that it holds. */
  add(entry: KeyEntry, past: Row | undefined): number {
    if (this.#filtered && !this.#passes(entry, past)) return 0;
    this.#taken++;
    if (this.#sliced && this.#taken >= this.#takeMax) this.full = true;
    if (this.#sorted) return this.#addItem(entry, past);
    // Filtered reads go on to see whether there is more than the limit.
    const limit = this.#request.limit;
    if (limit > 0 && this.#taken > limit) return 0;
    return this.#push(past === undefined ? this.#show(entry) : this.#showRow(past));
  }

  /** All keys were seen, `count` of them. Returns whether there is more than the limit. */
  finish(count: number): boolean {
    const { limit } = this.#request;
    if (!this.#sorted) return limit > 0 && (this.#filtered ? this.#taken : count) > limit;
    const more = limit > 0 && this.#taken > limit;
    this.#toEmit = more ? limit : this.#taken;
    return more;
  }

  /** Shows sorted versions, after finish(): at most `keysMax`. Returns whether all are shown. */
  emit(keysMax: number, bytesMax: number): boolean {
    let left = Math.min(this.#toEmit, keysMax);
    this.#toEmit -= left;
    let bytes = 0;
    for (; left > 0 && bytes < bytesMax; left--) bytes += this.#showNext();
    this.#toEmit += left;
    return this.#toEmit === 0;
  }

  #showNext(): number {
    const item = this.#items.take();
    assert(item !== undefined, "what was counted can be taken");
    if (item.kv === undefined || this.#request.keysOnly) return this.#push(this.#showItem(item));
    this.kvs.push(item.kv); // it is counted already
    return item.kv.length;
  }

  #passes(entry: KeyEntry, past: Row | undefined): boolean {
    const request = this.#request;
    const { modRevision, createRevision } = this.#version(entry, past);
    if (request.maxModRevision !== 0 && modRevision > request.maxModRevision) return false;
    if (request.minModRevision !== 0 && modRevision < request.minModRevision) return false;
    const { minCreateRevision, maxCreateRevision } = request;
    if (maxCreateRevision !== 0 && createRevision > maxCreateRevision) return false;
    return minCreateRevision === 0 || createRevision >= minCreateRevision;
  }

  #version(entry: KeyEntry, past: Row | undefined): Omit<KeyVersion, "key"> {
    return past === undefined ? entry : this.#reader.read(past.kv);
  }

  #addItem(entry: KeyEntry, past: Row | undefined): number {
    const target = this.#request.sortTarget;
    const seq = past === undefined ? entry.seq : past.seq;
    if (target === SortTarget.VALUE) {
      const kv = past === undefined ? this.#space.peekBytes(entry) : past.kv;
      const { valueStart, valueEnd } = this.#reader.read(kv);
      const heldBytes = ITEM_BYTES + ARRAY_BYTES + kv.length;
      this.#items.push({ entry, seq, order: 0, kv, valueStart, valueEnd, heldBytes });
      return kv.length;
    }
    const order = this.#orderOf(entry, past);
    const nothing = { kv: undefined, valueStart: 0, valueEnd: 0 };
    this.#items.push({ entry, seq, order, ...nothing, heldBytes: ITEM_BYTES });
    return 0;
  }

  #orderOf(entry: KeyEntry, past: Row | undefined): number {
    const target = this.#request.sortTarget;
    if (target === SortTarget.KEY) return this.#taken; // they come in order of key
    const version = this.#version(entry, past);
    if (target === SortTarget.VERSION) return version.version;
    return target === SortTarget.CREATE ? version.createRevision : version.modRevision;
  }

  #push(kv: Uint8Array): number {
    this.kvs.push(kv);
    this.#kvsBytes += kv.length + ARRAY_BYTES;
    return kv.length;
  }

  #show(entry: KeyEntry): Uint8Array {
    return this.#request.keysOnly ? encodeKeyOnly(entry) : this.#space.peekBytes(entry);
  }

  #showRow(row: Row): Uint8Array {
    return this.#request.keysOnly ? withoutValue(row.kv, true) : row.kv;
  }

  #showItem(item: Item): Uint8Array {
    if (item.kv !== undefined) {
      return this.#request.keysOnly ? withoutValue(item.kv, false) : item.kv;
    }
    if (item.entry.seq === item.seq) return this.#show(item.entry);
    const row = this.#space.rowAt(item.seq);
    assert(row !== undefined, "a version that a running read met stays readable");
    return this.#showRow(row);
  }
}

/** Whether the request bounds the revisions it wants to see. */
export function isFiltered(request: RangeRequest): boolean {
  return (
    request.minModRevision !== 0 ||
    request.maxModRevision !== 0 ||
    request.minCreateRevision !== 0 ||
    request.maxCreateRevision !== 0
  );
}

/** Of any Uint8Array: a Buffer on each of many small ones would take more than they do. */
const { compare: compareBytes } = Buffer.prototype;

function compareItems(a: Item, b: Item): number {
  if (a.kv === undefined || b.kv === undefined) return a.order - b.order;
  return compareBytes.call(
    a.kv as Buffer,
    b.kv,
    b.valueStart,
    b.valueEnd,
    a.valueStart,
    a.valueEnd,
  );
}
