/**
 * Names of users and roles: text in requests and answers, bytes in authpb's messages and in the
 * keys of records. Their order is that of the bytes, as in etcd's buckets.
 */
import { type Key, keyFromText } from "../../base/bytes.ts";

/** A name's text, from its UTF-8 bytes. */
export function nameOf(key: Key): string {
  return Buffer.from(key, "latin1").toString("utf8");
}

/** Compares two names by their bytes. */
export function byName(a: string, b: string): number {
  const left = keyFromText(a);
  const right = keyFromText(b);
  return left < right ? -1 : left > right ? 1 : 0;
}
