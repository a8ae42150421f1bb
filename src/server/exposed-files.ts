/** What others on the machine may use and should not: told at the start, and left as it is. */
import { statSync } from "node:fs";
import type { Log } from "../base/ports.ts";
import type { DataDir } from "../storage/data-dir.ts";
import type { Config } from "./config/config.ts";

/** Warns of a data directory, or files in it, that others than the owner may use. */
export function warnOfOpenData({ path, openToOthers }: DataDir, log: Log): void {
  const [first, ...rest] = openToOthers;
  if (first === undefined) return;
  const found = { open: first, ...(rest.length === 0 ? {} : { andOthers: rest.length }) };
  const advice = `chmod -R go= ${path}`;
  log.warn("others may use what is in the data directory", { ...found, advice });
}

/** What everybody may do; keys are often given to a group of the system's. */
const EVERYBODY = 0o007;

/**
 * Warns of files with secrets that everybody on the machine may read or change. Whoever reads the
 * first password of root (auth-beginning.ts) looks at its file himself, and more strictly.
 */
export function warnOfOpenSecrets(config: SecretPlaces, log: Log): void {
  const open = [...new Set(secretFilesOf(config))].filter(isOpen);
  if (open.length === 0) return;
  const files = open.join(", ");
  log.warn("everybody may use files with secrets", { files, advice: `chmod o= ${open.join(" ")}` });
}

type SecretPlaces = Pick<Config, "secretsFile" | "auth" | "clientTls" | "peerTls">;

function secretFilesOf({ secretsFile, auth, clientTls, peerTls }: SecretPlaces): string[] {
  const signing = /,priv-key=([^,]+)/.exec(auth.token)?.[1];
  const tls = [clientTls, peerTls].flatMap((files) => [files?.keyFile, files?.callerKeyFile]);
  return [secretsFile, signing, ...tls].filter((path) => path !== undefined);
}

/** Of one that is not there whoever needs it will complain. */
function isOpen(path: string): boolean {
  return ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & EVERYBODY) !== 0;
}
