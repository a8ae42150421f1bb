/**
 * etcd's InitialCorruptCheck: a member that starts compares its state with the others' before it
 * serves anybody, and does not serve if one of them holds another. Who does not answer, or stands
 * at another revision or compaction, says nothing (etcdserver/corrupt.go, InitialCheck).
 */
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import { membersOf } from "../raft/membership/configuration.ts";
import type { Configuration, MemberId } from "../raft/types.ts";
import type { ConsistencyPorts } from "./consistency.ts";
import type { StateHash } from "./state-verdict.ts";

export interface InitialCheckParts extends Pick<ConsistencyPorts, "hashHere" | "hashAt"> {
  readonly memberId: MemberId;
  readonly configuration: Configuration;
  readonly log: Log;
}

const ADVICE =
  "replace the one that is wrong (aether ctl member remove, member add, an empty directory), " +
  "or start without the feature InitialCorruptCheck: the leader then finds out which one it is";

/** Fails with corrupt if a member holds another state. `done` is called once. */
export function checkAtStart(
  { memberId, configuration, log, hashHere, hashAt }: InitialCheckParts,
  done: (error: AetherError | undefined) => void,
): void {
  const others = membersOf(configuration).filter((id) => id !== memberId);
  if (others.length === 0) {
    done(undefined);
    return;
  }
  hashHere(always, (own) => {
    if (own instanceof AetherError) {
      done(own);
      return;
    }
    let waiting = others.length;
    const differing: string[] = [];
    for (const id of others) {
      hashAt(id, own.revision, (theirs) => {
        if (differs(own, theirs)) differing.push(id.toString(16));
        waiting--;
        if (waiting > 0) return;
        if (differing.length === 0) {
          log.info("the states that could be compared are equal", { revision: own.revision });
          done(undefined);
          return;
        }
        const text = `at revision ${own.revision} this member's state is not that of`;
        done(new AetherError("corrupt", `${text} ${differing.join(", ")}; ${ADVICE}`));
      });
    }
  });
}

function differs(own: StateHash, theirs: StateHash | AetherError): boolean {
  if (theirs instanceof AetherError) return false;
  const { revision, compactRevision, hash } = theirs;
  if (revision !== own.revision || compactRevision !== own.compactRevision) return false;
  return hash !== own.hash;
}

function always(): boolean {
  return true;
}
