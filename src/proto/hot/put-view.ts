/**
 * A PutRequest looked at in place: no object, no copy of the value. One PutView serves many
 * requests. It takes the same bytes as PutRequest.decode and refuses the same.
 */
import type { Key } from "../../base/bytes.ts";
import { readerOf } from "../reader.ts";

export class PutView {
  key: Key = "";
  /** The value is bytes[valueStart, valueEnd) of what read() was given, valid while that is. */
  valueStart = 0;
  valueEnd = 0;
  lease = 0n;
  prevKv = false;
  ignoreValue = false;
  ignoreLease = false;

  /** Reads the etcdserverpb.PutRequest in bytes[start, end). DecodeError. */
  read(bytes: Uint8Array, start: number, end: number): this {
    const reader = readerOf(bytes, start, end);
    this.key = "";
    this.valueStart = this.valueEnd = start;
    this.lease = 0n;
    this.prevKv = this.ignoreValue = this.ignoreLease = false;
    while (reader.more()) {
      const tag = reader.tag();
      switch (tag) {
        case 10:
          this.key = reader.key();
          break;
        case 18: {
          const length = reader.length();
          this.valueStart = reader.position;
          reader.position += length;
          this.valueEnd = reader.position;
          break;
        }
        case 24:
          this.lease = reader.int64();
          break;
        case 32:
          this.prevKv = reader.bool();
          break;
        case 40:
          this.ignoreValue = reader.bool();
          break;
        case 48:
          this.ignoreLease = reader.bool();
          break;
        default:
          reader.skip(tag);
      }
    }
    return this;
  }
}
