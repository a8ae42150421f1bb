/**
 * One bucket's tree, built from its leaves upwards while its keys come in order: a full page goes
 * to the file and leaves a key and an id for the branch above, so a tree in the making holds two
 * pages' worth of elements a level, whatever its size.
 *
 *   level 2            [ a → 9 · m → 17 · …            not full yet
 *   level 1      [ a → 3 · d → 4 ] [ m → 12 · …        the first is page 9
 *   leaves     [a b c] [d e f] …                       pages 3, 4, … as they were filled
 *
 * A branch gets two children at least, since bbolt merges a page that has become small with one
 * beside it; so a level is written when it has more than a page, and what is left at the end is
 * one page or two halves.
 */
import { assert } from "../../base/assert.ts";
import { asBuffer } from "../../base/bytes.ts";
import {
  BUCKET_FLAG,
  BUCKET_HEAD_BYTES,
  ELEMENT_BYTES,
  KEY_BYTES_MAX,
  PAGE_BYTES,
  PAGE_HEAD_BYTES,
  PageFlag,
  putPageHead,
  VALUE_BYTES_MAX,
} from "./format.ts";
import type { PageWriter } from "./page-writer.ts";

/** A tree of one leaf up to this size lies in its bucket's value (bbolt: Bucket.inlineable). */
const INLINE_BYTES_MAX = PAGE_BYTES / 4;

/** For the elements of a page. */
const ROOM_BYTES = PAGE_BYTES - PAGE_HEAD_BYTES;

interface Element {
  readonly key: Uint8Array;
  /** Of a leaf. */
  readonly value: Uint8Array;
  readonly isBucket: boolean;
  /** Of a branch. */
  readonly child: number;
}

interface Level {
  elements: Element[];
  bytes: number;
}

export class TreeWriter {
  readonly #pages: PageWriter;
  readonly #levels: Level[] = [];
  #lastKey: Uint8Array | undefined;
  #hasBuckets = false;

  constructor(pages: PageWriter) {
    this.#pages = pages;
  }

  /** Adds a key above the last one. The bytes are read until their page is full. */
  put(key: Uint8Array, value: Uint8Array, isBucket = false): void {
    assert(key.length > 0 && key.length <= KEY_BYTES_MAX, "bbolt has keys of 1 to 32768 bytes");
    assert(value.length <= VALUE_BYTES_MAX, "bbolt has values below 2 GiB");
    const last = this.#lastKey;
    assert(last === undefined || Buffer.compare(last, key) < 0, "keys come in order");
    this.#lastKey = key;
    this.#hasBuckets ||= isBucket;
    this.#add(0, { key, value, isBucket, child: 0 });
  }

  /** Ends a bucket: what its leaf in the parent's tree has for a value. */
  finishBucket(): Uint8Array {
    const leaf = this.#levels[0];
    const bytes = PAGE_HEAD_BYTES + (leaf?.bytes ?? 0);
    const isSmall = this.#levels.length <= 1 && bytes <= INLINE_BYTES_MAX && !this.#hasBuckets;
    const value = Buffer.alloc(BUCKET_HEAD_BYTES + (isSmall ? bytes : 0));
    if (isSmall) fillPage(value.subarray(BUCKET_HEAD_BYTES), 0, 0, PageFlag.leaf, leaf?.elements);
    else value.writeBigUInt64LE(BigInt(this.finishRoot()), 0);
    return value;
  }

  /** Ends the tree; the id of its root page. */
  finishRoot(): number {
    if (this.#levels.length === 0) this.#levels.push({ elements: [], bytes: 0 });
    for (let depth = 0; ; depth++) {
      const level = this.#levels[depth] as Level;
      const isTop = depth === this.#levels.length - 1;
      if (isTop && fits(level, depth)) return this.#write(depth, level.elements);
      this.#finishLevel(depth, level);
    }
  }

  #finishLevel(depth: number, level: Level): void {
    if (fits(level, depth)) {
      this.#up(depth, level.elements);
      return;
    }
    const half = countWithin(level.elements, depth, level.bytes / 2);
    this.#up(depth, level.elements.slice(0, half));
    this.#up(depth, level.elements.slice(half));
  }

  #add(depth: number, element: Element): void {
    const level = this.#levels[depth] ?? { elements: [], bytes: 0 };
    this.#levels[depth] = level;
    level.elements.push(element);
    level.bytes += sizeOf(element);
    // A page's worth stays, so that the end of the level is never a branch with one child.
    while (level.bytes > 2 * ROOM_BYTES && level.elements.length >= 2 * leastOf(depth)) {
      const count = countWithin(level.elements, depth, ROOM_BYTES);
      const full = level.elements.splice(0, count);
      for (const each of full) level.bytes -= sizeOf(each);
      this.#up(depth, full);
    }
  }

  /** Writes a page of a level, and its place into the level above. */
  #up(depth: number, elements: readonly Element[]): void {
    const child = this.#write(depth, elements);
    const { key } = elements[0] as Element;
    this.#add(depth + 1, { key, value: NO_VALUE, isBucket: false, child });
  }

  #write(depth: number, elements: readonly Element[]): number {
    let bytes = PAGE_HEAD_BYTES;
    for (const element of elements) bytes += sizeOf(element);
    const { id, page, overflow } = this.#pages.take(bytes);
    fillPage(page, id, overflow, depth === 0 ? PageFlag.leaf : PageFlag.branch, elements);
    return id;
  }
}

const NO_VALUE = new Uint8Array(0);

function sizeOf({ key, value }: Element): number {
  return ELEMENT_BYTES + key.length + value.length;
}

/** Elements of a page, at least, at this depth: a branch has two children. */
function leastOf(depth: number): number {
  return depth === 0 ? 1 : 2;
}

/** Whether what is left of a level is one page; perhaps because it cannot be two. */
function fits({ elements, bytes }: Level, depth: number): boolean {
  return bytes <= ROOM_BYTES || elements.length < 2 * leastOf(depth);
}

/** How many of the first elements make a page of `bytes`, some of them left for another one. */
function countWithin(elements: readonly Element[], depth: number, bytes: number): number {
  const least = leastOf(depth);
  let count = 0;
  for (let size = 0; count < elements.length - least; count++) {
    size += sizeOf(elements[count] as Element);
    if (size > bytes && count >= least) break;
  }
  return count;
}

function fillPage(
  page: Buffer,
  id: number,
  overflow: number,
  flags: number,
  elements: readonly Element[] = [],
): void {
  putPageHead(page, { id, flags, count: elements.length, overflow });
  let head = PAGE_HEAD_BYTES;
  let at = head + ELEMENT_BYTES * elements.length;
  for (const { key, value, isBucket, child } of elements) {
    if (flags === PageFlag.leaf) {
      page.writeUInt32LE(isBucket ? BUCKET_FLAG : 0, head);
      page.writeUInt32LE(at - head, head + 4);
      page.writeUInt32LE(key.length, head + 8);
      page.writeUInt32LE(value.length, head + 12);
    } else {
      page.writeUInt32LE(at - head, head);
      page.writeUInt32LE(key.length, head + 4);
      page.writeBigUInt64LE(BigInt(child), head + 8);
    }
    asBuffer(page).set(key, at);
    page.set(value, at + key.length);
    head += ELEMENT_BYTES;
    at += key.length + value.length;
  }
  assert(at <= page.length, "a page holds what was measured for it");
}
