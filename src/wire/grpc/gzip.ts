/** gzip for gRPC messages: synchronous, and bounded by what may come out (a bomb is cut short). */
import { zlib } from "../../base/builtin.ts";
import { KIB } from "../../base/units.ts";

/**
 * What a message may grow by. zlib unpacks zeros a thousand times their size, and 2 KB would cost
 * us a millisecond and more, on the loop that serves everybody; at a hundred times a message costs
 * about what as many bytes of small requests do. Text and JSON grow by 5 to 30.
 */
export const EXPANSION_MAX = 100;
/** Small messages may grow by more: unpacking so much takes no time beside the call. */
export const EXPANSION_FREE_BYTES = 4 * KIB;

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
 */
export function gunzip(
  bytes: Uint8Array,
  start: number,
  end: number,
  bytesMax: number,
): Uint8Array {
  const room = Math.min(bytesMax, (end - start) * EXPANSION_MAX + EXPANSION_FREE_BYTES);
  try {
    // One byte of slack: zlib does not allow an output limit of 0.
    const plain = zlib().gunzipSync(bytes.subarray(start, end), { maxOutputLength: room + 1 });
    if (plain.length <= room) return plain;
  } catch (error) {
    if ((error as { code?: string }).code !== "ERR_BUFFER_TOO_LARGE") {
      throw new GunzipError("broken", "not valid gzip");
    }
  }
  if (room === bytesMax) throw new GunzipError("large", `over ${bytesMax} bytes`);
  throw new GunzipError("bomb", `grows more than ${EXPANSION_MAX} times`);
}

/** Packs bytes[start, end); the caller owns the result. */
export function gzip(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return zlib().gzipSync(bytes.subarray(start, end));
}
