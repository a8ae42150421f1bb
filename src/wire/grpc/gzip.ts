/** gzip for gRPC messages: synchronous, and bounded by what may come out (a bomb is cut short). */
import { zlib } from "../../base/builtin.ts";
import { asBuffer } from "../../base/bytes.ts";
import { KIB } from "../../base/units.ts";

/**
 * What a message may grow by. zlib unpacks zeros a thousand times their size, and 2 KB would cost
 * us a millisecond and more, on the loop that serves everybody; at a hundred times a message costs
 * about what as many bytes of small requests do. Text and JSON grow by 5 to 30.
 */
export const EXPANSION_MAX = 100;
/** Up to this a message may grow by any factor, as repeated text does: a tenth of a millisecond,
 * and whoever sends many of them is read in small slices (net/input-share.ts). */
export const EXPANSION_FREE_BYTES = 128 * KIB;

/** Header and trailer of a member; RFC 1952 §2.3. */
const GZIP_BYTES_MIN = 18;

/** The bytes are no gzip; more would come out than the caller takes; they grow too much. */
type GunzipFault = "broken" | "large" | "bomb";

export class GunzipError extends Error {
  override readonly name = "GunzipError";
  readonly fault: GunzipFault;

  constructor(fault: GunzipFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/**
 * Unpacks bytes[start, end), to `bytesMax` and what EXPANSION_MAX allows; throws GunzipError and
 * nothing else. The caller owns the result.
 *
 * What a member says of its length at its end (RFC 1952 §2.3.1) is judged before anything is
 * unpacked, and no more than that is: a bomb costs nothing, and a liar what he claims. Several
 * members in a row, which no client of gRPC sends, are refused for it.
 */
export function gunzip(
  bytes: Uint8Array,
  start: number,
  end: number,
  bytesMax: number,
): Uint8Array {
  const size = end - start;
  if (size < GZIP_BYTES_MIN) throw new GunzipError("broken", "not valid gzip");
  const claimed = asBuffer(bytes).readUInt32LE(end - 4);
  if (claimed > bytesMax) throw new GunzipError("large", `over ${bytesMax} bytes`);
  if (claimed > size * EXPANSION_MAX + EXPANSION_FREE_BYTES) {
    throw new GunzipError("bomb", `grows more than ${EXPANSION_MAX} times`);
  }
  try {
    // One byte of slack: zlib does not allow an output limit of 0.
    const plain = zlib().gunzipSync(bytes.subarray(start, end), { maxOutputLength: claimed + 1 });
    if (plain.length === claimed) return plain;
  } catch {
    // Whatever zlib's reason: what stands there is not what a sender of gRPC writes.
  }
  throw new GunzipError("broken", "not valid gzip");
}

/** Packs bytes[start, end); the caller owns the result. */
export function gzip(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return zlib().gzipSync(bytes.subarray(start, end));
}
