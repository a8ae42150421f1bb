/**
 * Who this node is: written when its data directory is new and once more when its log has begun,
 * and never changed. It is kept beside the databases and not in the replicated state, since that is
 * the same at every member.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../base/crc32.ts";
import { writeDurably } from "./durable-file.ts";
import { DAMAGE_ADVICE, StorageError } from "./storage-error.ts";

export interface StoredIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly name: string;
  /** Its log has begun, durably: from then on a directory without one has lost it. */
  readonly begun: boolean;
}

/** In the data directory. */
export const IDENTITY_FILE = "identity.json";
const FORMAT = 2;

/** The identity in `dataDir`, or undefined if it has none yet. Throws StorageError. */
export function readIdentity(dataDir: string): StoredIdentity | undefined {
  const path = join(dataDir, IDENTITY_FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StorageError("unusable", `${path}: cannot be read`, { cause: error });
  }
  try {
    return decode(path, JSON.parse(text) as Record<string, unknown>);
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError("unusable", `${path}: damaged; ${DAMAGE_ADVICE}`, { cause: error });
  }
}

function decode(path: string, stored: Record<string, unknown>): StoredIdentity {
  const { crc, ...fields } = stored;
  const { format, clusterId, memberId, name, begun } = fields;
  if (crc !== checksum(fields)) throw new TypeError("it fails its checksum");
  if (format !== FORMAT) {
    const text = `${path}: format ${format} is not this program's ${FORMAT}`;
    throw new StorageError("format", `${text}: start the newer program`);
  }
  if (typeof name !== "string" || typeof begun !== "boolean") throw new TypeError("no name");
  return { clusterId: fromHex(clusterId), memberId: fromHex(memberId), name, begun };
}

/** Writes the identity of a data directory; durable when it returns. */
export function writeIdentity(dataDir: string, identity: StoredIdentity): void {
  const path = join(dataDir, IDENTITY_FILE);
  const fields = {
    format: FORMAT,
    clusterId: identity.clusterId.toString(16),
    memberId: identity.memberId.toString(16),
    name: identity.name,
    begun: identity.begun,
  };
  const text = JSON.stringify({ ...fields, crc: checksum(fields) });
  writeDurably(path, `${path}.part`, `${text}\n`);
}

/** Of what the file says, in the order in which it says it. */
function checksum(fields: Record<string, unknown>): number {
  return crc32(JSON.stringify(fields));
}

function fromHex(value: unknown): bigint {
  if (typeof value !== "string" || !/^[0-9a-f]{1,16}$/.test(value)) throw new TypeError("no id");
  return BigInt(`0x${value}`);
}
