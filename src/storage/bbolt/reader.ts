/**
 * Reads a bbolt file that somebody else wrote, perhaps damaged on the way: nothing in it is
 * believed before it is checked.
 *
 *   never a hang         a page is entered once in the life of a reader's walk: one that comes
 *                        again (a circle, or two parents) is an error, and trees are 64 pages deep
 *                        at most
 *   bounded memory       one page a level, each inside the file and at most RUN_BYTES_MAX long,
 *                        and a bit for each page of the file
 *   typed errors         AetherError "corrupt" with the page and what is wrong with it
 *
 * A file cut short is found at once, since the meta says how many pages there are.
 */
import { fstatSync, readSync } from "node:fs";
import { assert } from "../../base/assert.ts";
import { asBuffer } from "../../base/bytes.ts";
import { MIB } from "../../base/units.ts";
import type { Damaged } from "../storage-error.ts";
import {
  BUCKET_FLAG,
  BUCKET_HEAD_BYTES,
  ELEMENT_BYTES,
  type Meta,
  PAGE_HEAD_BYTES,
  PageFlag,
  type PageHead,
  pageHeadAt,
  pageIdAt,
  readMeta,
} from "./format.ts";

/** The longest page with those that belong to it: far beyond the largest value of etcd. */
export const RUN_BYTES_MAX = 256 * MIB;

/** A tree of 2^40 keys of 32 KiB is 40 pages deep. */
const DEPTH_MAX = 64;

/** Pages may be of these sizes; a system's own page size is what bbolt takes. */
const PAGE_BYTES_MIN = 1024;
const PAGE_BYTES_MAX = 16 * MIB;

/** Of a bucket's name, in a message. */
const NAME_SHOWN_MAX = 64;

/** What lies under a key. */
export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

/** A page and where its elements begin. */
interface Page extends PageHead {
  /** From the page's head on. */
  readonly bytes: Buffer;
  /** For messages: "page 7", or of which bucket it is the inner one. */
  readonly name: string;
}

/** Where a key must lie, given the branches above. */
interface Bounds {
  readonly from: Uint8Array | undefined;
  readonly below: Uint8Array | undefined;
}

const ANYWHERE: Bounds = { from: undefined, below: undefined };

export class BboltReader {
  readonly meta: Meta;
  readonly #file: number;
  readonly #damaged: Damaged;
  /** One bit for each page that was entered. */
  #seen: Uint8Array;

  /**
   * Of the open file `file`, whose first `bytes` are the database (a snapshot has its hash behind
   * it). Throws what `damaged` makes if it is none, or is cut short.
   */
  constructor(file: number, bytes: number, damaged: Damaged) {
    this.#file = file;
    this.#damaged = damaged;
    assert(bytes <= fstatSync(file).size, "a database lies inside its file");
    this.meta = this.#findMeta(bytes);
    const { pageBytes, pageCount, root } = this.meta;
    if (pageCount * pageBytes > bytes) {
      throw damaged(`it is cut short: ${bytes} bytes of ${pageCount} pages of ${pageBytes}`);
    }
    if (root < 2 || root >= pageCount) throw damaged(`its root page ${root} is none of its pages`);
    this.#seen = new Uint8Array(Math.ceil(pageCount / 8));
  }

  /** Bytes of the pages in use (bbolt: Tx.Size). */
  get bytes(): number {
    return this.meta.pageCount * this.meta.pageBytes;
  }

  /** The keys of the root bucket, in order: buckets. Forgets which pages were entered. */
  *root(): Generator<Entry, void, undefined> {
    this.#seen = new Uint8Array(this.#seen.length);
    yield* this.#walk(this.meta.root, ANYWHERE, 0);
  }

  /** What a bucket holds, in order; `bucket` is an entry that root() or this gave. */
  *entries(bucket: Entry): Generator<Entry, void, undefined> {
    const name = asBuffer(bucket.key.subarray(0, NAME_SHOWN_MAX)).latin1Slice();
    const { isBucket, value } = bucket;
    if (!isBucket || value.length < BUCKET_HEAD_BYTES) {
      throw this.#damaged(`${JSON.stringify(name)} is no bucket`);
    }
    const root = pageIdAt(asBuffer(value), 0);
    if (root !== 0) {
      yield* this.#walk(root, ANYWHERE, 0);
      return;
    }
    const bytes = asBuffer(value).subarray(BUCKET_HEAD_BYTES);
    const where = `the page inside bucket ${JSON.stringify(name)}`;
    if (bytes.length < PAGE_HEAD_BYTES) throw this.#damaged(`${where} is cut short`);
    yield* this.#leaf({ ...pageHeadAt(bytes, 0), bytes, name: where }, ANYWHERE);
  }

  /** The entry of the bucket called `name`, or undefined. */
  bucket(name: string): Entry | undefined {
    for (const entry of this.root()) {
      if (asBuffer(entry.key).latin1Slice() === name) return entry;
    }
    return undefined;
  }

  /**
   * Reads all of it; throws at the first thing that is wrong: pages that nobody refers to and that
   * are not free, or that are both (bbolt: Tx.Check).
   */
  check(visit: (bucket: Entry, entry: Entry) => void): void {
    for (const bucket of this.root()) this.#checkBucket(bucket, visit, 0);
    this.#checkFreelist();
  }

  #checkBucket(bucket: Entry, visit: (bucket: Entry, entry: Entry) => void, depth: number): void {
    if (depth === DEPTH_MAX) throw this.#damaged(`its buckets are deeper than ${DEPTH_MAX}`);
    for (const entry of this.entries(bucket)) {
      visit(bucket, entry);
      if (entry.isBucket) this.#checkBucket(entry, visit, depth + 1);
    }
  }

  #checkFreelist(): void {
    const { freelist, pageCount } = this.meta;
    if (freelist === undefined) return; // whoever writes finds the free pages as we would
    const page = this.#page(freelist);
    if (page.flags !== PageFlag.freelist) throw this.#wrong(page, "is not the freelist");
    const isLong = page.count === 0xffff;
    const room = (page.bytes.length - PAGE_HEAD_BYTES) / 8;
    const count = isLong ? 1 + pageIdAt(page.bytes, PAGE_HEAD_BYTES) : page.count;
    if (count > room) throw this.#wrong(page, `has no room for ${count} free pages`);
    for (let i = isLong ? 1 : 0; i < count; i++) {
      const id = pageIdAt(page.bytes, PAGE_HEAD_BYTES + 8 * i);
      if (id < 2 || id >= pageCount) throw this.#wrong(page, `names page ${id}, which is none`);
      if (!this.#enter(id)) throw this.#damaged(`page ${id} is free and in use, or free twice`);
    }
    for (let id = 2; id < pageCount; id++) {
      if (this.#enter(id)) throw this.#damaged(`page ${id} is neither free nor in use`);
    }
  }

  *#walk(id: number, bounds: Bounds, depth: number): Generator<Entry, void, undefined> {
    if (depth === DEPTH_MAX) throw this.#damaged(`page ${id} is deeper than ${DEPTH_MAX}`);
    const page = this.#page(id);
    if (page.flags === PageFlag.leaf) {
      yield* this.#leaf(page, bounds);
      return;
    }
    if (page.flags !== PageFlag.branch) throw this.#wrong(page, `has the flags ${page.flags}`);
    if (page.count === 0) throw this.#wrong(page, "is a branch without children");
    for (let i = 0; i < page.count; i++) {
      const at = PAGE_HEAD_BYTES + ELEMENT_BYTES * i;
      const below = i + 1 < page.count ? branchKey(this, page, i + 1) : bounds.below;
      const inner = { from: branchKey(this, page, i), below };
      if (!isWithin(inner.from, bounds) || !isWithin(inner.from, { from: undefined, below })) {
        throw this.#wrong(page, `has child ${i} out of order`);
      }
      yield* this.#walk(pageIdAt(page.bytes, at + 8), inner, depth + 1);
    }
  }

  *#leaf(page: Page, bounds: Bounds): Generator<Entry, void, undefined> {
    if (page.flags !== PageFlag.leaf) throw this.#wrong(page, `has the flags ${page.flags}`);
    let before: Uint8Array | undefined;
    for (let i = 0; i < page.count; i++) {
      const head = PAGE_HEAD_BYTES + ELEMENT_BYTES * i;
      const flags = this.elementAt(page, head, 0);
      const keyAt = head + this.elementAt(page, head, 4);
      const valueAt = keyAt + this.elementAt(page, head, 8);
      const key = this.part(page, keyAt, valueAt);
      const value = this.part(page, valueAt, valueAt + this.elementAt(page, head, 12));
      if (key.length === 0) throw this.#wrong(page, `has no key in element ${i}`);
      const isAfter = before === undefined || Buffer.compare(before, key) < 0;
      if (!isAfter || !isWithin(key, bounds)) {
        throw this.#wrong(page, `has element ${i} out of order`);
      }
      before = key;
      yield { key, value, isBucket: (flags & BUCKET_FLAG) !== 0 };
    }
  }

  /** A number of the element whose head is at `head`. Of this module. */
  elementAt(page: Page, head: number, offset: number): number {
    if (head + ELEMENT_BYTES > page.bytes.length) {
      throw this.#wrong(page, `has no room for ${page.count} elements`);
    }
    return page.bytes.readUInt32LE(head + offset);
  }

  /** A key or a value. Of this module. */
  part(page: Page, start: number, end: number): Buffer {
    if (end > page.bytes.length) throw this.#wrong(page, "has an element that ends outside of it");
    return page.bytes.subarray(start, end);
  }

  /** Reads a page that was not entered before, with those that belong to it. */
  #page(id: number): Page {
    const { pageBytes, pageCount } = this.meta;
    const name = `page ${id}`;
    if (id < 2 || id >= pageCount) throw this.#damaged(`${name} is none of its ${pageCount} pages`);
    const first = this.#read(id * pageBytes, pageBytes);
    const head = pageHeadAt(first, 0);
    const pages = 1 + head.overflow;
    if (head.id !== id) throw this.#damaged(`${name} says that it is page ${head.id}`);
    if (id + pages > pageCount || pages * pageBytes > RUN_BYTES_MAX) {
      throw this.#damaged(`${name} is ${pages} pages long, which is too much`);
    }
    for (let i = 0; i < pages; i++) {
      if (!this.#enter(id + i)) throw this.#damaged(`page ${id + i} is referred to twice`);
    }
    const bytes = pages === 1 ? first : this.#read(id * pageBytes, pages * pageBytes);
    return { ...head, bytes, name };
  }

  /** False if the page was entered before. */
  #enter(id: number): boolean {
    const mask = 1 << (id & 7);
    const byte = this.#seen[id >>> 3] as number;
    this.#seen[id >>> 3] = byte | mask;
    return (byte & mask) === 0;
  }

  /** The newest meta of those that are whole. */
  #findMeta(bytes: number): Meta {
    const found: Meta[] = [];
    let why = "it is empty";
    const take = (at: number): void => {
      const meta = readMeta(this.#read(at, Math.min(PAGE_BYTES_MIN, bytes - at)));
      if (typeof meta === "string") why = `its meta ${meta}`;
      else if (isPageSize(meta.pageBytes)) found.push(meta);
      else why = `its meta says that a page has ${meta.pageBytes} bytes`;
    };
    if (bytes >= PAGE_BYTES_MIN) take(0);
    // The second one is a page further, and how long that is the first one says, if it is whole.
    const known = found[0]?.pageBytes;
    for (let size = known ?? PAGE_BYTES_MIN; size + PAGE_BYTES_MIN <= bytes; size *= 2) {
      take(size);
      if (known !== undefined || found.length > 0 || size >= PAGE_BYTES_MAX) break;
    }
    found.sort((a, b) => (a.transaction < b.transaction ? 1 : -1));
    const [newest] = found;
    if (newest === undefined) throw this.#damaged(`not a bbolt database: ${why}`);
    return newest;
  }

  #read(at: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#file, bytes, done, length - done, at + done);
      if (count === 0) throw this.#damaged(`it ends at byte ${at + done}, while it is read`);
      done += count;
    }
    return bytes;
  }

  #wrong(page: Page, what: string): Error {
    return this.#damaged(`${page.name} ${what}`);
  }
}

function branchKey(reader: BboltReader, page: Page, i: number): Buffer {
  const head = PAGE_HEAD_BYTES + ELEMENT_BYTES * i;
  const at = head + reader.elementAt(page, head, 0);
  return reader.part(page, at, at + reader.elementAt(page, head, 4));
}

function isWithin(key: Uint8Array, { from, below }: Bounds): boolean {
  if (from !== undefined && Buffer.compare(from, key) > 0) return false;
  return below === undefined || Buffer.compare(key, below) < 0;
}

function isPageSize(bytes: number): boolean {
  const isPower = (bytes & (bytes - 1)) === 0;
  return isPower && bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX;
}
