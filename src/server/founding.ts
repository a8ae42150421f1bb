/** How a node without data comes to be one: what it asks for, and writes down before its log. */
import type { Founding } from "../node/start.ts";
import { configurationOf } from "../raft/membership/configuration.ts";
import { founding } from "../raft/restore.ts";
import type { MemberId } from "../raft/types.ts";
import { type StoredIdentity, writeIdentity } from "../storage/identity.ts";
import { StorageError } from "../storage/storage-error.ts";
import { rootPasswordOf } from "./auth-beginning.ts";
import { type Beginning, type BeginningParts, findBeginning } from "./beginning.ts";
import type { Config } from "./config/config.ts";
import type { Doors } from "./doors.ts";

/** Decides with the others how a node without data begins. */
export async function begin(parts: BeginningParts & { readonly doors: Doors }): Promise<Beginning> {
  const { config, log, doors } = parts;
  const isNew = config.initialState === "new";
  if (isNew && config.auth.beginning !== undefined) rootPasswordOf(config.auth.beginning, log);
  if (isNew && config.founders.length > 1) await doors.openPeers();
  return findBeginning(parts);
}

/** The identity is durable before the log begins: a log without one is somebody's, not ours. */
export function rememberBeginning(
  config: Config,
  beginning: Beginning | undefined,
): StoredIdentity {
  if (beginning === undefined) throw new StorageError("unusable", "nobody knows who this node is");
  const { clusterId, memberId } = beginning;
  const identity = { clusterId, memberId, name: config.name, begun: false };
  writeIdentity(config.dataDir, identity);
  return identity;
}

export function foundingOf({ members }: Beginning): Founding {
  const voters = members.map(({ ID }) => ID as MemberId);
  return { ...founding(configurationOf(voters)), members };
}
