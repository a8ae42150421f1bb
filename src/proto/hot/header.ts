/**
 * The response header, which opens every answer. Cluster and member never change and revision and
 * term change far less often than answers are sent, so the encoded field is kept and copied.
 */
import { assert } from "../../base/assert.ts";
import { putBigint, putNumber } from "../writer.ts";

/** Field 1, delimited: where every answer has its header. */
const TAG_HEADER = 0x0a;
const TAG_CLUSTER = 0x08;
const TAG_MEMBER = 0x10;
const TAG_REVISION = 0x18;
const TAG_TERM = 0x20;

/** Tag, length, and four fields of a tag and ten bytes at most: the length is always one byte. */
const FIELD_BYTES_MAX = 2 + 4 * 11;

/** Writes headers of one member. `new HeaderEncoder(0n, 0n)` makes those inside transactions. */
export class HeaderEncoder {
  /** Bytes of the field that put() writes. */
  size = 0;
  readonly #bytes = new Uint8Array(FIELD_BYTES_MAX);
  /** Where the fields that change begin. */
  readonly #fixedEnd: number;
  #revision = 0;
  #term = 0;

  constructor(clusterId: bigint, memberId: bigint) {
    const bytes = this.#bytes;
    bytes[0] = TAG_HEADER;
    let at = 2;
    if (clusterId !== 0n) {
      bytes[at++] = TAG_CLUSTER;
      at = putBigint(bytes, at, clusterId);
    }
    if (memberId !== 0n) {
      bytes[at++] = TAG_MEMBER;
      at = putBigint(bytes, at, memberId);
    }
    this.#fixedEnd = at;
    this.#finish(at);
  }

  /** Sets what the next headers say; returns this. */
  at(revision: number, term: number): this {
    if (revision === this.#revision && term === this.#term) return this;
    const bytes = this.#bytes;
    let at = this.#fixedEnd;
    if (revision !== 0) {
      bytes[at++] = TAG_REVISION;
      at = putNumber(bytes, at, revision);
    }
    if (term !== 0) {
      bytes[at++] = TAG_TERM;
      at = putNumber(bytes, at, term);
    }
    this.#revision = revision;
    this.#term = term;
    this.#finish(at);
    return this;
  }

  /** Writes the header as field 1 at `at`, where there are `size` bytes of room. */
  put(bytes: Uint8Array, at: number): number {
    const from = this.#bytes;
    const size = this.size;
    for (let i = 0; i < size; i++) bytes[at + i] = from[i] as number;
    return at + size;
  }

  #finish(end: number): void {
    this.size = end;
    this.#bytes[1] = end - 2;
    assert(end <= FIELD_BYTES_MAX, "a header fits in its buffer");
  }
}
