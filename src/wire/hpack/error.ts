/**
 * The two ways a header block can fail (RFC 7541 §2.3.3, §4.2, §5; RFC 9113 §4.3, §10.5.1).
 */

/**
 *   malformed       the bytes are no header block, or our table and the peer's no longer agree: the
 *                   decoder must not be used again (RFC 9113: connection error COMPRESSION_ERROR)
 *   list_too_large  the block is sound but its list is over listBytesMax; the whole block has been
 *                   read, so the table is still in step and only the one message need be refused
 */
export type HpackFault = "malformed" | "list_too_large";

/** The only thing HpackDecoder.decode throws. */
export class HpackError extends Error {
  override readonly name = "HpackError";
  readonly fault: HpackFault;

  constructor(fault: HpackFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** Ends decoding: the block is not what RFC 7541 allows. */
export function malformed(message: string): never {
  throw new HpackError("malformed", message);
}
