/** What /cluster shows: every member as this one sees it. */
import type { PeerStatus } from "../net/peers/peers.ts";
import type { Group } from "../node/group.ts";
import type { Identity } from "../rpc/headers.ts";

export interface ClusterViewParts {
  readonly group: Group;
  readonly identity: Identity;
  readonly peers: readonly PeerStatus[];
}

export function clusterView({ group, identity, peers }: ClusterViewParts): unknown {
  const { clusterId, memberId } = identity;
  const progress = new Map(group.progress().map((peer) => [peer.id as bigint, peer]));
  const status = new Map(peers.map((peer) => [peer.id as bigint, peer]));
  const members = group.machine.members().map(({ ID, name, clientURLs, peerURLs, isLearner }) => {
    const isSelf = ID === memberId;
    const peer = status.get(ID);
    return {
      ...{ id: ID.toString(16), name, clientURLs, peerURLs },
      role: ID === group.leader ? "leader" : isLearner ? "learner" : "follower",
      reachable: isSelf || peer?.up === true,
      ...(peer === undefined || peer.up ? {} : { reason: peer.reason }),
      ...(isSelf ? { applied: group.appliedIndex, revision: group.machine.revision } : {}),
      ...(progress.has(ID) ? { match: progress.get(ID)?.match } : {}),
    };
  });
  return {
    clusterId: clusterId.toString(16),
    answeredBy: memberId.toString(16),
    leader: group.leader.toString(16),
    term: group.term,
    committed: group.committedIndex,
    applied: group.appliedIndex,
    revision: group.machine.revision,
    members,
  };
}
