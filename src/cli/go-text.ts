/**
 * Go's quoted strings: `%q` as etcdctl prints keys in fields mode and in the variables of watch's
 * commands, and the same notation read back, which txn's comparisons use. Both sides work on byte
 * strings (base/bytes: Key), since a key need not be UTF-8.
 */
import { asBuffer, bytesOf, type Key, keyFromText, latin1 } from "../base/bytes.ts";

const NAMED: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** What Go's unicode.IsPrint accepts: letters, marks, numbers, punctuation, symbols, the space. */
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** The bytes as `%q` shows them; the result is text, no longer a byte string. */
export function quoteBytes(key: Key | Uint8Array): string {
  const bytes = asBuffer(typeof key === "string" ? bytesOf(key) : key);
  let quoted = '"';
  for (let at = 0; at < bytes.length; ) {
    const length = runeLength(bytes, at);
    if (length === 0) {
      quoted += `\\x${hex(bytes[at++] as number, 2)}`;
      continue;
    }
    const rune = bytes.toString("utf8", at, at + length);
    at += length;
    quoted += NAMED[rune] ?? (PRINTABLE.test(rune) ? rune : escaped(rune));
  }
  return `${quoted}"`;
}

/** `%q` of a text. */
export function quoteText(text: string): string {
  return quoteBytes(keyFromText(text));
}

function escaped(rune: string): string {
  const point = rune.codePointAt(0) as number;
  if (point < 0x80) return `\\x${hex(point, 2)}`;
  return point < 0x10000 ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Bytes of the UTF-8 sequence that starts at `at`; 0 when it is not a whole valid one. */
function runeLength(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (at + length > bytes.length) return 0;
  try {
    STRICT.decode(bytes.subarray(at, at + length));
    return length;
  } catch {
    return 0; // not UTF-8: the caller shows the byte alone
  }
}

export interface Unquoted {
  readonly value: Key;
  /** The position after the closing quote. */
  readonly end: number;
}

/** Letters after a backslash that stand for one character. */
const MEANING: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};

const DIGIT = "[0-9a-fA-F]";
const ESCAPE = new RegExp(
  `\\\\(?:([abfnrtv\\\\"])|x(${DIGIT}{2})|([0-7]{3})|u(${DIGIT}{4})|U(${DIGIT}{8}))`,
  "y",
);

/** The "double quoted" or `raw` string in a byte string at `at`; undefined when there is none. */
export function unquoteAt(text: Key, at: number): Unquoted | undefined {
  if (text[at] === "`") {
    const close = text.indexOf("`", at + 1);
    return close === -1 ? undefined : { value: text.slice(at + 1, close), end: close + 1 };
  }
  if (text[at] !== '"') return undefined;
  let value = "";
  for (let i = at + 1; i < text.length; ) {
    const char = text[i] as string;
    if (char === '"') return { value, end: i + 1 };
    if (char !== "\\") {
      value += char;
      i++;
      continue;
    }
    ESCAPE.lastIndex = i;
    const match = ESCAPE.exec(text);
    const meant = match === null ? undefined : meaningOf(match);
    if (match === null || meant === undefined) return undefined;
    value += meant;
    i += match[0].length;
  }
  return undefined; // never closed
}

/** The bytes an escape stands for; undefined when it is no character. */
function meaningOf(match: RegExpExecArray): Key | undefined {
  const [, letter, byte, octal, short, long] = match;
  if (letter !== undefined) return MEANING[letter];
  if (byte !== undefined) return String.fromCharCode(Number.parseInt(byte, 16));
  if (octal !== undefined) {
    const value = Number.parseInt(octal, 8);
    return value < 256 ? String.fromCharCode(value) : undefined;
  }
  const point = Number.parseInt(short ?? (long as string), 16);
  if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return undefined;
  return latin1(Buffer.from(String.fromCodePoint(point), "utf8"));
}
