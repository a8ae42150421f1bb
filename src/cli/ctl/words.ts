/**
 * Arguments of commands and lines of standard input, taken apart. Lines are byte strings
 * (base/bytes: Key), since a value typed there need not be UTF-8.
 */
import type { Key } from "../../base/bytes.ts";
import { EXIT, ExitError } from "../exit.ts";
import { unquoteAt } from "../go-text.ts";
import { NumberError } from "../integers.ts";

/** A number that `read` parses; its failure as `what (why)after`, a bad argument. */
export function numberArgument<T>(what: string, after: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NumberError)) throw error;
    throw new ExitError(EXIT.BAD_ARGUMENTS, `${what} (${error.message})${after}`);
  }
}

/** White space in a byte string: ASCII's only, since \xa0 is a part of letters in UTF-8. */
const SPACE = /[\t\n\v\f\r ]/;

/** A line of a byte string without white space at its ends. */
export function trimmed(line: Key): Key {
  let start = 0;
  let end = line.length;
  while (start < end && SPACE.test(line[start] as string)) start++;
  while (end > start && SPACE.test(line[end - 1] as string)) end--;
  return line.slice(start, end);
}

/**
 * The words of a line: bare, 'single quoted' (as it is) or "double quoted" (Go's escapes). A quote
 * inside a bare word is part of it; one that is never closed is an error.
 */
export function splitWords(line: Key): Key[] {
  const words: Key[] = [];
  for (let at = 0; ; ) {
    while (SPACE.test(line[at] ?? "")) at++;
    const first = line[at];
    if (first === undefined) return words;
    if (first === '"') {
      const quoted = unquoteAt(line, at);
      if (quoted === undefined) throw badQuote(line);
      words.push(quoted.value);
      at = quoted.end;
    } else if (first === "'") {
      const close = line.indexOf("'", at + 1);
      if (close === -1) throw badQuote(line);
      words.push(line.slice(at + 1, close));
      at = close + 1;
    } else {
      const start = at;
      while (at < line.length && !SPACE.test(line[at] as string)) at++;
      words.push(line.slice(start, at));
    }
  }
}

function badQuote(line: Key): ExitError {
  return new ExitError(EXIT.INVALID_INPUT, `a quoted string does not end: ${textOf(line)}`);
}

/** A byte string for people. */
export function textOf(bytes: Key): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
