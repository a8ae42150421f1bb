/**
 * What may stand in a field of HTTP/2 (RFC 9113 §8.2.1), byte by byte. HTTP/2 adds the rules
 * about pseudo fields and about connection fields (§8.2.2, §8.3).
 */

/**
 * Bytes of a name: those of a token (RFC 9110 §5.6.2) without the capital letters. RFC 9113 asks
 * for less and lets us ask for the grammar; nothing legitimate is lost.
 */
const NAME_BYTES = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";

const inName = new Uint8Array(256);
for (let index = 0; index < NAME_BYTES.length; index++) inName[NAME_BYTES.charCodeAt(index)] = 1;

const inValue = new Uint8Array(256).fill(1);
for (const byte of [0x00, 0x0a, 0x0d]) inValue[byte] = 0;

const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;

/** Whether bytes[start, end) is a field name: lower case, not empty, a colon only in front. */
export function nameIsValid(bytes: Uint8Array, start: number, end: number): boolean {
  const first = bytes[start] === COLON ? start + 1 : start;
  if (first >= end) return false;
  let all = 1;
  for (let at = first; at < end; at++) all &= inName[bytes[at] as number] as number;
  return all === 1;
}

/** Whether bytes[start, end) is a field value: no NUL, CR, LF, no white space at either end. */
export function valueIsValid(bytes: Uint8Array, start: number, end: number): boolean {
  if (start >= end) return true;
  if (isBlank(bytes[start] as number) || isBlank(bytes[end - 1] as number)) return false;
  let all = 1;
  for (let at = start; at < end; at++) all &= inValue[bytes[at] as number] as number;
  return all === 1;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
