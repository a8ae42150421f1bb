/** The comparison of a member that starts with the others (cluster/initial-check.ts), awaited. */
import type { Log } from "../base/ports.ts";
import type { ConsistencyPorts } from "../cluster/consistency.ts";
import { checkAtStart } from "../cluster/initial-check.ts";
import type { Group } from "../node/group.ts";
import type { MemberId } from "../raft/types.ts";
import type { HashQueue } from "../rpc/hash-queue.ts";

export interface StartCheckParts {
  readonly memberId: bigint;
  readonly group: Pick<Group, "configuration">;
  readonly hashes: HashQueue;
  readonly hashAt: ConsistencyPorts["hashAt"];
  readonly log: Log;
}

/** Rejects with AetherError "corrupt" if another member holds another state. */
export function statesCompared(parts: StartCheckParts): Promise<void> {
  const { memberId, group, hashes, hashAt, log } = parts;
  const { configuration } = group;
  const hashHere: ConsistencyPorts["hashHere"] = (isWanted, done) => hashes.take(0, isWanted, done);
  const ports = { memberId: memberId as MemberId, configuration, log, hashHere, hashAt };
  return new Promise((resolve, reject) => {
    checkAtStart(ports, (error) => (error === undefined ? resolve() : reject(error)));
  });
}
