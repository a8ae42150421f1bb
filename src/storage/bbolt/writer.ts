/**
 * Writes a bbolt file in one pass: buckets and keys in order, each byte once. The metas come last,
 * so a file that was not finished is none.
 */
import { assert } from "../../base/assert.ts";
import { metaPage, PAGE_BYTES, PAGE_HEAD_BYTES, PageFlag, putPageHead } from "./format.ts";
import { PageWriter } from "./page-writer.ts";
import { TreeWriter } from "./tree-writer.ts";

/** Two metas that differ in nothing but this, as in a file that bbolt copies (Tx.WriteTo). */
const TRANSACTION = 2n;

/** A bucket that is being written; its keys and buckets come in order of their bytes. */
export class BucketWriter {
  readonly #pages: PageWriter;
  readonly #tree: TreeWriter;
  #child: Uint8Array | undefined;

  constructor(pages: PageWriter) {
    this.#pages = pages;
    this.#tree = new TreeWriter(pages);
  }

  /** Adds a key above all before. Its bytes are the caller's to keep: they are read later. */
  put(key: Uint8Array, value: Uint8Array): void {
    assert(this.#child === undefined, "a bucket goes on when the one in it has ended");
    this.#tree.put(key, value);
  }

  /** Adds a bucket, which `fill` fills. */
  bucket(name: Uint8Array, fill: (bucket: BucketWriter) => void): void {
    assert(this.#child === undefined, "a bucket goes on when the one in it has ended");
    this.#child = name;
    const bucket = new BucketWriter(this.#pages);
    fill(bucket);
    this.#child = undefined;
    this.#tree.put(name, bucket.#tree.finishBucket(), true);
  }

  /** Of the root alone: ends everything; the root page. */
  finish(): number {
    return this.#tree.finishRoot();
  }
}

/**
 * Writes a file to `file`, an open and empty one that the caller syncs and closes; `fill` gets the
 * root bucket. Returns the file's size in bytes. Throws what the system does (ENOSPC, EIO).
 */
export function writeBbolt(file: number, fill: (root: BucketWriter) => void): number {
  const pages = new PageWriter(file);
  const rootBucket = new BucketWriter(pages);
  fill(rootBucket);
  const root = rootBucket.finish();
  // An empty freelist that is there saves whoever opens the file a walk through all of it.
  const { id: freelist, page } = pages.take(PAGE_HEAD_BYTES);
  putPageHead(page, { id: freelist, flags: PageFlag.freelist, count: 0, overflow: 0 });
  pages.flush();
  const meta = { pageBytes: PAGE_BYTES, root, freelist, pageCount: pages.next };
  pages.put(0, metaPage(0, { ...meta, transaction: TRANSACTION }));
  pages.put(1, metaPage(1, { ...meta, transaction: TRANSACTION - 1n }));
  return pages.next * PAGE_BYTES;
}
