/** What goes wrong with files, as a command says it. */
import { statSync } from "node:fs";
import { AetherError } from "../../base/errors.ts";
import { StorageError } from "../../storage/storage-error.ts";
import { EXIT, ExitError } from "../exit.ts";

/** As Go's os.Stat says it. Throws ExitError unless there is something at `path`. */
export function requireFile(path: string, describe = (why: string): string => why): void {
  try {
    statSync(path);
  } catch (error) {
    throw new ExitError(EXIT.FAILED, describe(`stat ${path}: ${systemText(error)}`));
  }
}

/** Runs `work`; what it is refused with for a reason that a person can do something about. */
export async function orExit<T>(
  work: () => T | Promise<T>,
  describe = (why: string): string => why,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new ExitError(EXIT.FAILED, describe(reason(cause)), { cause });
  }
}

/** Throws on what nobody expected. */
function reason(error: unknown): string {
  if (error instanceof AetherError) return error.detail === "" ? error.message : error.detail;
  if (error instanceof ExitError || error instanceof StorageError) return error.message;
  const { code, path } = error as NodeJS.ErrnoException;
  if (typeof code !== "string") throw error;
  return path === undefined ? systemText(error) : `${path}: ${systemText(error)}`;
}

const SYSTEM_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
  ENOTDIR: "not a directory",
  ENOSPC: "no space left on device",
  EEXIST: "file exists",
};

/** The text that a Go program has for a system's error. */
function systemText(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return SYSTEM_TEXTS[code ?? ""] ?? message;
}
