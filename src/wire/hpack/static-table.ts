/**
 * The static table (RFC 7541 Appendix A). Entries of one name stand next to each other, so a
 * lookup finds the first by name and walks on from there.
 */

/** One-based index of the first dynamic entry: everything below is static (RFC 7541 §2.3.3). */
export const DYNAMIC_INDEX_FIRST = 62;

const ROWS: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

/** Names by one-based index; place 0 is unused, as index 0 is (RFC 7541 §6.1). */
export const STATIC_NAMES: readonly string[] = ["", ...ROWS.map((row) => row[0])];

/** Values by one-based index. */
export const STATIC_VALUES: readonly string[] = ["", ...ROWS.map((row) => row[1])];

const FIRST_BY_NAME = new Map<string, number>();
for (let index = DYNAMIC_INDEX_FIRST - 1; index > 0; index--) {
  FIRST_BY_NAME.set(STATIC_NAMES[index] as string, index);
}

/** The lowest index whose entry has this name, 0 if none has. */
export function staticNameIndex(name: string): number {
  return FIRST_BY_NAME.get(name) ?? 0;
}

/** The index of exactly this field among the entries from `nameIndex` on; 0 if there is none. */
export function staticFieldIndex(nameIndex: number, name: string, value: string): number {
  if (nameIndex === 0) return 0;
  for (let index = nameIndex; STATIC_NAMES[index] === name; index++) {
    if (STATIC_VALUES[index] === value) return index;
  }
  return 0;
}
