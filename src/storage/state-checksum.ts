/**
 * The CRC-32 of rows and records of state.db. Taken on the main thread before they travel to the
 * Worker and checked there whenever they are read, so it sees what the Worker, SQLite and the disk
 * do to them on the way. A row costs 0.1 µs each way.
 */

import type { Key } from "../base/bytes.ts";
import type { Row } from "../state/ports.ts";
import { crc32 } from "./crc32.ts";

/**
 * The numbers of a row, as the checksum sees them: written as doubles and words in the order of
 * this machine, which is little-endian wherever Bun runs; byte by byte would cost as much as the
 * checksum itself.
 */
const head = new ArrayBuffer(4 * 8 + 3 * 4);
const counters = new Float64Array(head, 0, 4);
const words = new Uint32Array(head, 4 * 8, 3);
const headBytes = new Uint8Array(head);

/** Of everything a row holds; a tombstone is true, or not 0. */
export function rowChecksum(row: Omit<Row, "tombstone">, tombstone: boolean): number {
  counters[0] = row.seq;
  counters[1] = row.revision;
  counters[2] = row.prev;
  counters[3] = row.jump;
  words[0] = row.sub;
  words[1] = row.depth;
  words[2] = tombstone ? 1 : 0;
  return crc32(row.kv, crc32(headBytes));
}

/** Of everything a record holds; the lengths keep its parts apart. */
export function recordChecksum(space: string, key: Key, value: Uint8Array): number {
  return crc32(value, crc32(`${space.length} ${key.length} ${space}${key}`));
}
