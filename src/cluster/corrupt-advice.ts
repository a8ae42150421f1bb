/** What a CORRUPT alarm means at the member that reads it, and the way out of it. */
import type { Member } from "../proto/gen/etcdserverpb.ts";
import { WHOLE_CLUSTER } from "../state/alarms.ts";

/** One line for people; `record` is that of the member, if it still is one. */
export function corruptAdvice(memberId: bigint, isSelf: boolean, record?: Member): string {
  if (memberId === WHOLE_CLUSTER) {
    return (
      "CORRUPT alarm: the members' states differ and no majority agrees. Writes and linearizable " +
      "reads are refused everywhere; stale reads show what each member holds. Decide which one " +
      "is right, make it the leader (aether ctl move-leader), replace the others one after the " +
      "other (aether ctl member remove, member add), then: aether ctl alarm disarm"
    );
  }
  const id = memberId.toString(16);
  const name = record?.name || id;
  const urls = record?.peerURLs.join(",") ?? "";
  const who = isSelf ? "this member" : `member ${name} (${id})`;
  return (
    `CORRUPT alarm: ${who} holds another state than the majority and serves none of it. Replace ` +
    `it: aether ctl member remove ${id}, then aether ctl member add ${name} --peer-urls=${urls}, ` +
    "and start it with an empty data directory and cluster.state = existing; " +
    "aether ctl alarm disarm clears the alarm"
  );
}
