/** gzip for gRPC messages: synchronous, and bounded by what may come out (a bomb is cut short). */
import { zlib } from "../../base/builtin.ts";

/** The bytes are no gzip, or more would come out than was allowed (`tooLarge`). */
export class GunzipError extends Error {
  override readonly name = "GunzipError";
  readonly tooLarge: boolean;

  constructor(tooLarge: boolean, message: string) {
    super(message);
    this.tooLarge = tooLarge;
  }
}

/** Unpacks bytes[start, end); throws GunzipError and nothing else. The caller owns the result. */
export function gunzip(
  bytes: Uint8Array,
  start: number,
  end: number,
  bytesMax: number,
): Uint8Array {
  try {
    // One byte of slack: zlib does not allow an output limit of 0.
    const plain = zlib().gunzipSync(bytes.subarray(start, end), { maxOutputLength: bytesMax + 1 });
    if (plain.length <= bytesMax) return plain;
  } catch (error) {
    if ((error as { code?: string }).code !== "ERR_BUFFER_TOO_LARGE") {
      throw new GunzipError(false, "not valid gzip");
    }
  }
  throw new GunzipError(true, `over ${bytesMax} bytes`);
}

/** Packs bytes[start, end); the caller owns the result. */
export function gzip(bytes: Uint8Array, start: number, end: number): Uint8Array {
  return zlib().gzipSync(bytes.subarray(start, end));
}
