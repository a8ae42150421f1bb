/** What a member hears that the cluster has removed. */
import { StorageError } from "../storage/storage-error.ts";

const ADVICE =
  "its id cannot come back: to return, set the data directory aside, add the member anew " +
  "(aether ctl member add) and start it with cluster.state = existing";

export function removed(memberId: bigint): StorageError {
  const text = `member ${memberId.toString(16)} was removed from the cluster`;
  return new StorageError("unusable", `${text}; ${ADVICE}`);
}
