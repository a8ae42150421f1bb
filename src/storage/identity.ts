/**
 * Who this node is: written once, when its data directory is new, and never changed. It is kept
 * beside the databases and not in the replicated state, since that is the same at every member.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DAMAGE_ADVICE, StorageError } from "./storage-error.ts";

export interface StoredIdentity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly name: string;
}

const FILE = "identity.json";
const FORMAT = 1;

/** The identity in `dataDir`, or undefined if it has none yet. Throws StorageError. */
export function readIdentity(dataDir: string): StoredIdentity | undefined {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StorageError("unusable", `${path}: cannot be read`, { cause: error });
  }
  try {
    const { format, clusterId, memberId, name } = JSON.parse(text) as Record<string, unknown>;
    if (format !== FORMAT) throw new StorageError("format", `${path}: format ${format} is unknown`);
    if (typeof name !== "string") throw new TypeError("no name");
    return { clusterId: fromHex(clusterId), memberId: fromHex(memberId), name };
  } catch (error) {
    if (error instanceof StorageError) throw error;
    throw new StorageError("unusable", `${path}: damaged; ${DAMAGE_ADVICE}`, { cause: error });
  }
}

/** Writes the identity of a new data directory; durable when it returns. */
export function writeIdentity(dataDir: string, identity: StoredIdentity): void {
  const path = join(dataDir, FILE);
  const text = JSON.stringify({
    format: FORMAT,
    clusterId: identity.clusterId.toString(16),
    memberId: identity.memberId.toString(16),
    name: identity.name,
  });
  const file = openSync(`${path}.part`, "w", 0o600);
  writeSync(file, `${text}\n`);
  fsyncSync(file);
  closeSync(file);
  renameSync(`${path}.part`, path);
  const directory = openSync(dataDir, "r");
  fsyncSync(directory);
  closeSync(directory);
}

function fromHex(value: unknown): bigint {
  if (typeof value !== "string" || !/^[0-9a-f]{1,16}$/.test(value)) throw new TypeError("no id");
  return BigInt(`0x${value}`);
}
