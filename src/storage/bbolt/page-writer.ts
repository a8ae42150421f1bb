/**
 * Pages on their way into a file: given out one after the other and written in that order, through
 * one buffer, so that a file of any size takes no more memory than that and its largest page.
 */
import { writeSync } from "node:fs";
import { assert } from "../../base/assert.ts";
import { MIB } from "../../base/units.ts";
import { PAGE_BYTES } from "./format.ts";

const BUFFER_BYTES = MIB;

/** The first page after the two metas. */
const FIRST_PAGE = 2;

export class PageWriter {
  readonly #file: number;
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #filled = 0;
  #next = FIRST_PAGE;

  /** Writes to the open file `file`; the caller closes it. */
  constructor(file: number) {
    this.#file = file;
  }

  /** The id of the page that is taken next; after the last one, how many there are. */
  get next(): number {
    return this.#next;
  }

  /**
   * Room for a page of `bytes`, with the pages that belong to it, all zero: to be filled before the
   * next one is taken.
   */
  take(bytes: number): { readonly id: number; readonly page: Buffer; readonly overflow: number } {
    const pages = Math.ceil(bytes / PAGE_BYTES);
    assert(pages > 0, "a page has a head at least");
    const id = this.#next;
    const size = pages * PAGE_BYTES;
    if (this.#filled + size > this.#buffer.length) this.flush();
    if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(size);
    const page = this.#buffer.subarray(this.#filled, this.#filled + size);
    page.fill(0);
    this.#filled += size;
    this.#next += pages;
    return { id, page, overflow: pages - 1 };
  }

  /** Writes what was taken so far. Throws what the system does. */
  flush(): void {
    const at = this.#next * PAGE_BYTES - this.#filled;
    this.#write(this.#buffer.subarray(0, this.#filled), at);
    this.#filled = 0;
    if (this.#buffer.length > BUFFER_BYTES) this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Writes a page of the caller's, at its place. */
  put(id: number, page: Buffer): void {
    this.#write(page, id * PAGE_BYTES);
  }

  #write(bytes: Buffer, at: number): void {
    for (let done = 0; done < bytes.length; ) {
      done += writeSync(this.#file, bytes, done, bytes.length - done, at + done);
    }
  }
}
