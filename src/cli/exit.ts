import { oneLine } from "../base/one-line.ts";

/**
 * How a command ends. The numbers above 2 are etcdctl's, so that scripts need learn nothing; a
 * command line that cannot be understood is 2, as everywhere else in this program.
 */
export const EXIT = {
  OK: 0,
  /** The operation failed. */
  FAILED: 1,
  /** No such command, flag or value of a flag. */
  USAGE: 2,
  /** No server could be talked to (etcdctl's number, for the commands where it says so). */
  BAD_CONNECTION: 2,
  /** What was read from standard input makes no sense. */
  INVALID_INPUT: 3,
  /** The value is understood and not supported, as an output format. */
  UNSUPPORTED: 4,
  /** The server ended what should have gone on. */
  INTERRUPTED: 5,
  /** A file could not be read or written. */
  IO: 6,
  /** Too few, too many or wrong arguments of a command. */
  BAD_ARGUMENTS: 128,
  /** EX_SOFTWARE of sysexits.h: a mistake of ours. */
  CRASHED: 70,
} as const;

/** Ends a command with a status; `message` is shown after `Error: `. */
export class ExitError extends Error {
  override readonly name: string = "ExitError";
  readonly status: number;

  constructor(status: number, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.status = status;
  }
}

/** A command line that cannot be understood: a line about it, and what of our own goes below. */
export class UsageError extends ExitError {
  override readonly name = "UsageError";

  constructor(line: string, below = "") {
    super(EXIT.USAGE, oneLine(line) + below);
  }
}

/**
 * How a command ends that goes on until a person or a script stops it: silently, and with the
 * status that a shell gives to a program that the signal killed, which etcdctl lets it do.
 */
export function stopped(by: AbortSignal): ExitError {
  return new ExitError(by.reason === "SIGTERM" ? 143 : 130, "");
}
