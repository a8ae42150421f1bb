/**
 * What goes wrong beside a client's request: a data directory that cannot be used, a disk that
 * failed. Both end the process, so they never have a code on the wire (damaged rows do:
 * AetherError "corrupt").
 */

import { AetherError, type ErrorCode } from "../base/errors.ts";

export type StorageErrorKind =
  | "locked" // another process holds the directory
  | "format" // written by a newer program, or not ours
  | "unusable" // cannot be created, opened or read
  | "failed"; // a write or fsync failed while running: fatal, never retried

/** One clear line in `message`: what is wrong, with which file, and what to do. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly kind: StorageErrorKind;

  constructor(kind: StorageErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** What to do about a damaged file: the same advice wherever damage is found. */
export const DAMAGE_ADVICE =
  "remove this member from the cluster, delete its data directory and add it as a new member";

/** False if damage made another type of a column, which a STRICT table does not see. */
export function isBlob(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array;
}

/** The text of anything thrown, with SQLite's own code where there is one. */
export function causeText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? `${code}: ${error.message}` : error.message;
}

/** Makes the error for something in a file that is not as it was written. */
export type Damaged = (what: string, cause?: unknown) => AetherError;

/** Damage in the file at `path`, with what to do about it. */
export function damageIn(path: string, advice = DAMAGE_ADVICE): Damaged {
  return (what, cause) => new AetherError("corrupt", `${path}: ${what}; ${advice}`, { cause });
}

/**
 * SQLite found that a file is not what it wrote: not a database any more, malformed, or without a
 * table or column that every file of ours has (SQLITE_ERROR: our statements are right).
 */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|ERROR)/.test(causeText(error));
}

/** An error as it travels between threads, where a class would be lost. */
export interface PackedError {
  readonly name: string;
  /** The code of an AetherError or the kind of a StorageError. */
  readonly code: string;
  readonly message: string;
}

/** The parts of a refusal that the other thread needs to throw it again. */
export function packError(error: unknown): PackedError {
  if (error instanceof AetherError)
    return { name: error.name, code: error.code, message: error.message };
  if (error instanceof StorageError)
    return { name: error.name, code: error.kind, message: error.message };
  const advice = isDamage(error) ? `; ${DAMAGE_ADVICE}` : "";
  return { name: "Error", code: "", message: `${causeText(error)}${advice}` };
}

/** The error of packError's parts; anything that is neither of ours says `path` is unusable. */
export function unpackError(packed: PackedError, path: string): Error {
  const { name, code, message } = packed;
  if (name === "AetherError") {
    // The constructor puts the code before the detail; it is in the message already.
    return new AetherError(code as ErrorCode, message.slice(code.length + 2));
  }
  if (name === "StorageError") return new StorageError(code as StorageErrorKind, message);
  return new StorageError("unusable", `${path}: cannot be opened: ${message}`);
}
