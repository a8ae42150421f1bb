/** What the nodes of a cluster are and how far they have come, as a table. */
import type { Cluster } from "../../test/support/cluster.ts";
import type { Member, MemberStatus } from "../../test/support/member.ts";

const HEAD = ["node", "role", "term", "index", "applied", "revision", "clients", "pid"] as const;

/** One line a node, the leader marked; nodes that do not answer are shown as what they are. */
export async function clusterTable(cluster: Cluster): Promise<string> {
  const statuses = await cluster.statuses();
  const rows = cluster.members.map((member) => {
    return rowOf(
      member,
      statuses.find((status) => status.member === member),
    );
  });
  return columns([[...HEAD], ...rows]);
}

function rowOf(member: Member, status: MemberStatus | undefined): string[] {
  const pid = `${member.process.pid ?? "-"}`;
  const numbers = [status?.term, status?.index, status?.applied, status?.revision];
  const shown = numbers.map((value) => `${value ?? "-"}`);
  return [member.name, roleOf(member, status), ...shown, member.endpoint, pid];
}

function roleOf(member: Member, status: MemberStatus | undefined): string {
  if (member.process.pid === undefined) return "down";
  if (member.isPaused) return "paused";
  if (status === undefined) return "silent";
  if (status.isLearner) return "learner";
  if (status.leader === 0n) return "no leader";
  return status.leader === status.id ? "LEADER" : "follower";
}

function columns(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return rows.map(line).join("\n");
}
