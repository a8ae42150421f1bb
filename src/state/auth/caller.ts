/**
 * On whose behalf a command is proposed. While auth is enabled, a command of a client is preceded
 * in its batch by who asks and the auth revision that he was known at, so that every replica
 * judges it by the same rules at the same index, whichever member took the call.
 */
import { EMPTY_BYTES } from "../../base/bytes.ts";

export interface Caller {
  readonly user: string;
  /** 0 for nobody known (etcd's rule: who has no revision has no name). */
  readonly authRevision: number;
}

const REVISION_BYTES = 8;

/** The body of CommandKind.onBehalf: auth revision u64, big-endian, and the name. Empty: nobody. */
export function encodeCaller(caller: Caller | undefined): Uint8Array {
  if (caller === undefined) return EMPTY_BYTES;
  const name = Buffer.from(caller.user, "utf8");
  const body = Buffer.alloc(REVISION_BYTES + name.length);
  body.writeBigUInt64BE(BigInt(caller.authRevision));
  name.copy(body, REVISION_BYTES);
  return body;
}

/** What encodeCaller() wrote; a body that is too short stands for nobody. */
export function decodeCaller(bytes: Buffer, start: number, end: number): Caller | undefined {
  if (end - start < REVISION_BYTES) return undefined;
  const authRevision = Number(bytes.readBigUInt64BE(start));
  return { user: bytes.toString("utf8", start + REVISION_BYTES, end), authRevision };
}

/** Whether two commands need no other prefix between them. */
export function isSameCaller(a: Caller | undefined, b: Caller | undefined): boolean {
  if (a === b) return true;
  return a?.user === b?.user && a?.authRevision === b?.authRevision;
}
