/** Failures of a start that are no mistake of ours. */
import { AetherError } from "../base/errors.ts";
import { StorageError } from "../storage/storage-error.ts";

/** For callers that want one line: what is wrong, without a stack. */
export function isExpected(error: unknown): error is Error {
  if (error instanceof AetherError) return true;
  return error instanceof StorageError || (error instanceof Error && "code" in error);
}
