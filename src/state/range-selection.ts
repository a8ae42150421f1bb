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
import { asBuffer } from "../base/bytes.ts";
import { type RangeRequest, SortOrder, SortTarget } from "../proto/gen/etcdserverpb.ts";
import { StoredKeyValue, withoutValue } from "../proto/hot/key-value.ts";
import type { KeyEntry } from "./key-entry.ts";
import type { KeySpace } from "./key-space.ts";
import type { Row } from "./ports.ts";
import { encodeKeyOnly, type KeyVersion } from "./stored-form.ts";

/** A version to be sorted. Its bytes are fetched after the cut, unless values are compared. */
interface Item {
  readonly entry: KeyEntry;
  readonly seq: number;
  readonly order: number;
  readonly kv: Uint8Array | undefined;
  readonly value: Buffer | undefined;
}

export class RangeSelection {
  /** Encoded key values that are ready. */
  kvs: Uint8Array[] = [];
  /** No further key can change the answer, except for its count. */
  full = false;
  /** Bytes of the key values that were collected. */
  heldBytes = 0;
  /** Only the first keys, in natural order, matter. */
  readonly #sliced: boolean;
  readonly #space: KeySpace;
  readonly #request: RangeRequest;
  readonly #sorted: boolean;
  readonly #filtered: boolean;
  readonly #takeMax: number;
  readonly #reader = new StoredKeyValue();
  readonly #items: Item[] = [];
  #taken = 0;
  #emitted = 0;

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

  /** All keys were seen, `count` of them: sorts and cuts. Returns whether there is more. */
  finish(count: number): boolean {
    const { limit, sortOrder, sortTarget } = this.#request;
    if (!this.#sorted) return limit > 0 && (this.#filtered ? this.#taken : count) > limit;
    const items = this.#items;
    const more = limit > 0 && items.length > limit;
    if (sortTarget === SortTarget.KEY) items.reverse();
    else if (sortOrder === SortOrder.DESCEND) items.sort((a, b) => compareItems(b, a));
    else items.sort(compareItems);
    if (more) items.length = limit;
    return more;
  }

  /** Shows sorted versions, after finish(): at most `keysMax`. Returns whether all are shown. */
  emit(keysMax: number, bytesMax: number): boolean {
    const items = this.#items;
    const end = Math.min(items.length, this.#emitted + keysMax);
    let bytes = 0;
    while (this.#emitted < end && bytes < bytesMax) {
      bytes += this.#push(this.#showItem(items[this.#emitted++] as Item));
    }
    return this.#emitted === items.length;
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
      const value = asBuffer(kv).subarray(valueStart, valueEnd);
      this.#items.push({ entry, seq, order: 0, kv, value });
      this.heldBytes += kv.length;
      return kv.length;
    }
    let order = 0;
    if (target !== SortTarget.KEY) {
      const version = this.#version(entry, past);
      if (target === SortTarget.VERSION) order = version.version;
      else if (target === SortTarget.CREATE) order = version.createRevision;
      else order = version.modRevision;
    }
    this.#items.push({ entry, seq, order, kv: undefined, value: undefined });
    return 0;
  }

  #push(kv: Uint8Array): number {
    this.kvs.push(kv);
    this.heldBytes += kv.length;
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

function compareItems(a: Item, b: Item): number {
  if (a.value !== undefined && b.value !== undefined) return a.value.compare(b.value);
  return a.order - b.order;
}
