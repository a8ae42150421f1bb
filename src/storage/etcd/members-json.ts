/** Members as etcd keeps them: JSON (etcd server/etcdserver/api/membership/member.go). */
import type { Member } from "../../proto/gen/etcdserverpb.ts";

/** The key of a member. */
export function memberKey(id: bigint): string {
  return id.toString(16);
}

/** The id is a number there: by hand, since it has more digits than a number of ours. */
export function memberJson({ ID, name, peerURLs, clientURLs, isLearner }: Member): string {
  const rest = JSON.stringify({
    peerURLs,
    ...(isLearner ? { isLearner } : {}),
    ...(name === "" ? {} : { name }),
    ...(clientURLs.length === 0 ? {} : { clientURLs }),
  });
  return `{"id":${ID},${rest.slice(1)}`;
}

/** raftpb.ConfState: who votes, who learns. */
export function confStateJson(members: readonly Member[]): string {
  const ids = (isLearner: boolean): string => {
    const chosen = members.filter((member) => member.isLearner === isLearner);
    return chosen.map(({ ID }) => ID).join(",");
  };
  const learners = ids(true);
  const more = learners === "" ? "" : `"learners":[${learners}],`;
  return `{"voters":[${ids(false)}],${more}"auto_leave":false}`;
}
