/**
 * From header blocks to what they mean: through the cache of blocks seen before, or through HPACK
 * and the role. A block that cannot be decoded ends the connection (RFC 9113 §4.3); one that can,
 * and means nothing lawful, leaves `fault`.
 */
import { HpackDecoder } from "../hpack/decoder.ts";
import { HpackError } from "../hpack/error.ts";
import { BlockCache } from "./block-cache.ts";
import { ConnectionError } from "./errors.ts";
import { HEADER_LIST_BYTES_MAX, HEADER_TABLE_BYTES } from "./limits.ts";
import { Http2Code } from "./protocol.ts";
import type { Http2Head } from "./role.ts";

/** Of one connection, since both HPACK and the cache live from what it sent before. */
export class HeadReader<H extends Http2Head> {
  /** Why the last block was of no use. */
  fault: Http2Code = Http2Code.NO_ERROR;
  readonly #decoder = new HpackDecoder({
    tableBytesMax: HEADER_TABLE_BYTES,
    listBytesMax: HEADER_LIST_BYTES_MAX,
  });
  readonly #heads = new BlockCache<H>();
  #isKnown = false;
  readonly #meaningOf: (fields: readonly string[]) => H | undefined;

  /** `meaningOf` depends on nothing but the fields: its results are kept. */
  constructor(meaningOf: (fields: readonly string[]) => H | undefined) {
    this.#meaningOf = meaningOf;
  }

  /** What the last head takes, by estimate; one that is known is others' as well. */
  get ownBytes(): number {
    return this.#isKnown ? 0 : this.#decoder.ownBytes;
  }

  /** Bytes that blocks have put into the table so far. */
  get insertedBytes(): number {
    return this.#decoder.table.insertedBytes;
  }

  /** What is remembered of blocks, by estimate. */
  get keptBytes(): number {
    return this.#heads.keptBytes;
  }

  /** The meaning of the block, or undefined and `fault`. */
  readHead(bytes: Buffer, start: number, end: number): H | undefined {
    const { version } = this.#decoder;
    const known = this.#heads.find(bytes, start, end, version);
    this.#isKnown = known !== undefined;
    if (known !== undefined) return known;
    const fields = this.readFields(bytes, start, end);
    if (fields === undefined) return undefined;
    const head = this.#meaningOf(fields);
    if (head === undefined) this.fault = Http2Code.PROTOCOL_ERROR;
    else if (this.#decoder.version === version) this.#heads.keep(bytes, start, end, version, head);
    return head;
  }

  /** The list, or undefined and `fault`. Throws ConnectionError where decoding is over. */
  readFields(bytes: Buffer, start: number, end: number): string[] | undefined {
    try {
      const fields = this.#decoder.decode(bytes, start, end);
      if (this.#decoder.fieldsValid) return fields;
      this.fault = Http2Code.PROTOCOL_ERROR;
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      if (error.fault === "malformed") {
        throw new ConnectionError(Http2Code.COMPRESSION_ERROR, error.message);
      }
      this.fault = Http2Code.ENHANCE_YOUR_CALM;
    }
    return undefined;
  }
}
