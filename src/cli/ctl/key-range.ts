/** Which keys a command means: one, a range, a prefix, or all from a key on. */
import type { Key } from "../../base/bytes.ts";
import { EXIT, ExitError } from "../exit.ts";

export interface KeyRange {
  readonly key: Key;
  /** As in a request: "" one key, "\0" everything from `key` on, else the first key after it. */
  readonly rangeEnd: Key;
}

/** Everything from a key on; as a key, the least there is. */
const ALL = "\0";

/** The first key after all those that begin with `prefix`; ALL when there is none. */
export function prefixEnd(prefix: Key): Key {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) length--;
  if (length === 0) return ALL;
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

export interface RangeFlags {
  readonly prefix: boolean;
  readonly fromKey: boolean;
}

/** The range that one or two arguments and the flags mean; the empty prefix is all keys. */
export function keyRange(keys: readonly Key[], flags: RangeFlags): KeyRange {
  const [key = "", end] = keys;
  if (flags.prefix && flags.fromKey) {
    const both = "`--prefix` and `--from-key` cannot be set at the same time, choose one";
    throw new ExitError(EXIT.BAD_ARGUMENTS, both);
  }
  if (end !== undefined && (flags.prefix || flags.fromKey)) {
    const when = "when `--prefix` or `--from-key` is set";
    throw new ExitError(EXIT.BAD_ARGUMENTS, `too many arguments, only accept one argument ${when}`);
  }
  if (flags.fromKey) return { key: key === "" ? ALL : key, rangeEnd: ALL };
  if (flags.prefix)
    return key === "" ? { key: ALL, rangeEnd: ALL } : { key, rangeEnd: prefixEnd(key) };
  return { key, rangeEnd: end ?? "" };
}
