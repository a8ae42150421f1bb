/**
 * Elements of DER (X.690 §8.1, §10.1): tag, length, content. As much of it as is needed to take a
 * long list apart; what the elements mean is the library's to know (x509.ts), which needs
 * a second of CPU time and 150 MB for a list of 20,000.
 */

/** Tags of what is looked for here. */
export const DerTag = { INTEGER: 0x02, UTC_TIME: 0x17, TIME: 0x18, SEQUENCE: 0x30 } as const;

/** Where one element is: its tag, and what it holds. */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
}

/** Bytes that are no DER. */
export class DerError extends Error {
  override readonly name = "DerError";
}

/** Lengths of more bytes are those of no file that anybody reads whole. */
const LENGTH_BYTES_MAX = 4;
const LONG_FORM = 0x80;
/** Tags of more than one byte; X.509 has none. */
const LONG_TAG = 0x1f;

/** The element at `at`, which ends before `end`. Throws DerError. */
export function derElement(bytes: Uint8Array, at: number, end: number): DerElement {
  const tag = byteAt(bytes, at, end);
  if ((tag & LONG_TAG) === LONG_TAG) throw new DerError(`an unknown tag at ${at}`);
  const first = byteAt(bytes, at + 1, end);
  const count = first < LONG_FORM ? 0 : first - LONG_FORM;
  if (first === LONG_FORM || count > LENGTH_BYTES_MAX) throw new DerError(`no length at ${at + 1}`);
  let length = count === 0 ? first : 0;
  for (let i = 0; i < count; i++) length = length * 256 + byteAt(bytes, at + 2 + i, end);
  const contentStart = at + 2 + count;
  if (contentStart + length > end) throw new DerError(`an element at ${at} that goes too far`);
  return { tag, start: at, contentStart, end: contentStart + length };
}

/** The elements inside one. Throws DerError. */
export function* derElements(bytes: Uint8Array, outer: DerElement): Generator<DerElement> {
  for (let at = outer.contentStart; at < outer.end; ) {
    const element = derElement(bytes, at, outer.end);
    yield element;
    at = element.end;
  }
}

/** A SEQUENCE of elements that are there already. */
export function derSequence(parts: readonly Uint8Array[]): Uint8Array {
  const content = Buffer.concat(parts);
  const { length } = content;
  if (length < LONG_FORM) return Buffer.concat([Buffer.of(DerTag.SEQUENCE, length), content]);
  const digits = Buffer.alloc(LENGTH_BYTES_MAX);
  digits.writeUInt32BE(length);
  const head = Buffer.of(DerTag.SEQUENCE, LONG_FORM | LENGTH_BYTES_MAX);
  return Buffer.concat([head, digits, content]);
}

function byteAt(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) throw new DerError(`the end at ${end} comes too soon`);
  return bytes[at] as number;
}
