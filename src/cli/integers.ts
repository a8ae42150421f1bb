/**
 * Numbers as people type them and as etcdctl prints them: 64-bit integers in a base, lease and
 * member ids in hexadecimal. The texts of failures are those of Go's strconv, which scripts grep.
 */

const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;
const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** An error whose message is `strconv.ParseInt: parsing "x": invalid syntax` or out of range. */
export class NumberError extends Error {
  override readonly name = "NumberError";
}

/** `id`: any int64; `counter`: an int64 that a number holds exactly (revisions, counts, TTLs). */
export type Int64Kind = "id" | "counter";

const DIGITS = { 10: /^[0-9]+$/, 16: /^[0-9a-f]+$/i } as const;

/** The int64 that `text` is in `base` (0: decimal or 0x…). Throws NumberError. */
export function parseInt64(text: string, base: 0 | 10 | 16, kind: Int64Kind = "id"): bigint {
  const { negative, digits } = signOf(text);
  const magnitude = magnitudeOf(digits, base);
  if (magnitude === undefined) throw failure("ParseInt", text, "invalid syntax");
  const limit = kind === "counter" ? SAFE_MAX : INT64_MAX + (negative ? 1n : 0n);
  if (magnitude > limit) throw failure("ParseInt", text, "value out of range");
  return negative ? -magnitude : magnitude;
}

/** A uint64 in hexadecimal without sign or prefix (member ids). Throws NumberError. */
export function parseHexId(text: string): bigint {
  const value = magnitudeOf(text, 16);
  if (value === undefined) throw failure("ParseUint", text, "invalid syntax");
  if (value > UINT64_MAX) throw failure("ParseUint", text, "value out of range");
  return value;
}

function signOf(text: string): { negative: boolean; digits: string } {
  const negative = text.startsWith("-");
  return { negative, digits: negative || text.startsWith("+") ? text.slice(1) : text };
}

function magnitudeOf(digits: string, base: 0 | 10 | 16): bigint | undefined {
  const prefixed = base === 0 && /^0x/i.test(digits);
  const real = base === 16 || prefixed ? 16 : 10;
  const bare = prefixed ? digits.slice(2) : digits;
  if (!DIGITS[real].test(bare)) return undefined;
  return BigInt(real === 16 ? `0x${bare}` : bare);
}

function failure(what: string, text: string, why: string): NumberError {
  return new NumberError(`strconv.${what}: parsing ${JSON.stringify(text)}: ${why}`);
}

/** Go's `%016x` of an int64: a negative id has its sign first, as etcdctl prints it. */
export function leaseHex(id: bigint): string {
  return id < 0n ? `-${(-id).toString(16).padStart(15, "0")}` : id.toString(16).padStart(16, "0");
}
