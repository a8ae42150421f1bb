/**
 * Whether a descriptor is a terminal. To ask process.stdin or process.stdout makes a stream of it
 * and loads node:stream, a third of the time of a whole `ctl get`; so that is asked of what may be
 * one only: a character device other than /dev/null.
 */
import { fstatSync, statSync } from "node:fs";
import { tty } from "../base/builtin.ts";

export function isTerminal(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isCharacterDevice() || stat.rdev === statSync("/dev/null").rdev) return false;
  } catch {
    return false; // a closed descriptor
  }
  return tty().isatty(descriptor);
}
