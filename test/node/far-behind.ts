/** A driven cluster with a member that needs a copy of the state, brought to a certain point. */
import { expect } from "bun:test";
import { DrivenCluster, ELECTION_MS } from "./driven-cluster.ts";
import { TICK_MS } from "./driven-group.ts";
import type { DrivenMember } from "./driven-member.ts";

/** The log is cut so often that whoever is away needs a copy soon. */
export const CLOSE_CUT = { snapshotTriggerEntries: 8, keptEntries: 2 };

export interface Behind {
  readonly cluster: DrivenCluster;
  readonly leader: DrivenMember;
  readonly behind: DrivenMember;
}

/** A follower that was cut off while the leader wrote, and compacted its log. */
export function farBehind(members = 3): Behind {
  const { cluster, leader } = DrivenCluster.leading({ members, ...CLOSE_CUT });
  leader.put("before", "0");
  cluster.settle();
  const behind = cluster.others(leader)[0] as DrivenMember;
  cluster.isolate(behind);
  cluster.pass(2 * ELECTION_MS); // while it is thought to be there, the log is kept for it
  writeMany(cluster, leader, 30);
  expect(leader.logDisk.firstIndex).toBeGreaterThan(behind.logDisk.lastIndex + 1);
  return { cluster, leader, behind };
}

export function writeMany(cluster: DrivenCluster, member: DrivenMember, count: number): void {
  for (let i = 0; i < count; i++) {
    member.put(`k${i}`, String(i));
    cluster.settle();
  }
  cluster.pass(4 * ELECTION_MS); // who is away counts as away, and the log is cut
}

/** Lets everybody be heard again, but keeps the copy of the state on its way. */
export function untilCopyLeaves({ cluster }: Behind): void {
  cluster.network.heal();
  cluster.network.hold(({ what }) => what === "snapshot");
  for (let ms = 0; ms < 4 * ELECTION_MS; ms += TICK_MS) {
    if (cluster.network.waiting.some(({ what }) => what === "snapshot")) return;
    cluster.pass(TICK_MS);
  }
  throw new Error("no snapshot was sent");
}

/** The copy has come and Raft has taken it; the log's restart is not durable yet. */
export function untilTaken(where: Behind): void {
  untilCopyLeaves(where);
  where.behind.logStalls = true;
  where.cluster.network.heal();
  for (let ms = 0; ms < ELECTION_MS && !isInstalling(where); ms += TICK_MS) {
    where.cluster.pass(TICK_MS);
  }
  expect(isInstalling(where)).toBe(true);
}

export function isInstalling({ behind }: Behind): boolean {
  return (
    behind.receives && behind.stateDisk.stagedIndex !== undefined && behind.log.pendingCount > 0
  );
}
