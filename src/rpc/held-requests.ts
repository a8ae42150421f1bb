/**
 * What has been said on calls that wait for their tokens to be known. Whoever says it has proved
 * nothing yet: a thousand calls with a token that nobody gave would hold a gigabyte and a half for
 * five seconds, so all of them together are bounded.
 */
import { AetherError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";

/** Of a process; a member that is a moment behind has a few requests of some kilobytes to keep. */
export const HELD_REQUESTS_BYTES_MAX = 64 * MIB;

export class HeldRequests {
  heldBytes = 0;
  /** Requests for which there was no room. */
  refusedCount = 0;

  /** A copy, which counts until it is released. Throws too_many_requests. */
  hold(bytes: Uint8Array, start: number, end: number): Uint8Array {
    if (this.heldBytes + end - start > HELD_REQUESTS_BYTES_MAX) {
      this.refusedCount++;
      const held = `calls whose tokens are not known yet hold ${this.heldBytes} bytes`;
      throw new AetherError("too_many_requests", held);
    }
    this.heldBytes += end - start;
    return bytes.slice(start, end);
  }

  release(copy: Uint8Array): void {
    this.heldBytes -= copy.length;
  }
}
