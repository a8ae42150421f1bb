/**
 * Every client command, in the order in which help lists them. A new one is a row here: its name,
 * and where it is, so that a run loads the command it needs and nothing else.
 */
import type { Command } from "./command.ts";
import type { CommandEntry } from "./command-info.ts";

export interface CommandRow extends CommandEntry {
  load(): Promise<Command>;
}

const get = () => import("./commands/get.ts");
const put = () => import("./commands/put.ts");
const del = () => import("./commands/del.ts");
const txn = () => import("./commands/txn.ts");
const watch = () => import("./commands/watch.ts");
const compaction = () => import("./commands/compaction.ts");
const lease = () => import("./commands/lease.ts");
const endpoint = () => import("./commands/endpoint.ts");
const member = () => import("./commands/member.ts");
const moveLeader = () => import("./commands/move-leader.ts");
const alarm = () => import("./commands/alarm.ts");
const snapshot = () => import("./commands/snapshot.ts");
const migrate = () => import("./commands/migrate.ts");
const defrag = () => import("./commands/defrag.ts");
const downgrade = () => import("./commands/downgrade.ts");
const lock = () => import("./commands/lock.ts");
const elect = () => import("./commands/elect.ts");
const auth = () => import("./commands/auth.ts");
const user = () => import("./commands/user.ts");
const role = () => import("./commands/role.ts");
const makeMirror = () => import("./commands/make-mirror.ts");
const check = () => import("./commands/check.ts");
const completion = () => import("./commands/completion.ts");
const about = () => import("./commands/about.ts");

export const COMMANDS: readonly CommandRow[] = [
  { name: "get", load: async () => (await get()).get },
  { name: "put", load: async () => (await put()).put },
  { name: "del", load: async () => (await del()).del },
  { name: "txn", load: async () => (await txn()).txn },
  { name: "watch", load: async () => (await watch()).watch },
  { name: "compaction", load: async () => (await compaction()).compaction },
  { name: "lease grant", load: async () => (await lease()).leaseGrant },
  { name: "lease revoke", load: async () => (await lease()).leaseRevoke },
  { name: "lease timetolive", load: async () => (await lease()).leaseTimeToLive },
  { name: "lease list", load: async () => (await lease()).leaseList },
  { name: "lease keep-alive", load: async () => (await lease()).leaseKeepAlive },
  { name: "endpoint health", load: async () => (await endpoint()).endpointHealth },
  { name: "endpoint status", load: async () => (await endpoint()).endpointStatus },
  { name: "endpoint hashkv", load: async () => (await endpoint()).endpointHashKv },
  { name: "member add", load: async () => (await member()).memberAdd },
  { name: "member remove", load: async () => (await member()).memberRemove },
  { name: "member update", load: async () => (await member()).memberUpdate },
  { name: "member promote", load: async () => (await member()).memberPromote },
  { name: "member list", load: async () => (await member()).memberList },
  { name: "move-leader", load: async () => (await moveLeader()).moveLeader },
  { name: "alarm list", load: async () => (await alarm()).alarmList },
  { name: "alarm disarm", load: async () => (await alarm()).alarmDisarm },
  { name: "defrag", load: async () => (await defrag()).defrag },
  { name: "downgrade validate", load: async () => (await downgrade()).downgradeValidate },
  { name: "downgrade enable", load: async () => (await downgrade()).downgradeEnable },
  { name: "downgrade cancel", load: async () => (await downgrade()).downgradeCancel },
  { name: "snapshot save", load: async () => (await snapshot()).snapshotSave },
  { name: "snapshot status", load: async () => (await snapshot()).snapshotStatus },
  { name: "snapshot restore", load: async () => (await snapshot()).snapshotRestore },
  { name: "migrate", load: async () => (await migrate()).migrate },
  { name: "lock", load: async () => (await lock()).lock },
  { name: "elect", load: async () => (await elect()).elect },
  { name: "auth enable", load: async () => (await auth()).authEnable },
  { name: "auth disable", load: async () => (await auth()).authDisable },
  { name: "auth status", load: async () => (await auth()).authStatus },
  { name: "user add", load: async () => (await user()).userAdd },
  { name: "user delete", load: async () => (await user()).userDelete },
  { name: "user get", load: async () => (await user()).userGet },
  { name: "user list", load: async () => (await user()).userList },
  { name: "user passwd", load: async () => (await user()).userPasswd },
  { name: "user grant-role", load: async () => (await user()).userGrantRole },
  { name: "user revoke-role", load: async () => (await user()).userRevokeRole },
  { name: "role add", load: async () => (await role()).roleAdd },
  { name: "role delete", load: async () => (await role()).roleDelete },
  { name: "role get", load: async () => (await role()).roleGet },
  { name: "role list", load: async () => (await role()).roleList },
  { name: "role grant-permission", load: async () => (await role()).roleGrantPermission },
  { name: "role revoke-permission", load: async () => (await role()).roleRevokePermission },
  { name: "make-mirror", load: async () => (await makeMirror()).makeMirror },
  { name: "check perf", load: async () => (await check()).checkPerf },
  { name: "check datascale", load: async () => (await check()).checkDatascale },
  { name: "completion", load: async () => (await completion()).completion },
  { name: "version", load: async () => (await about()).version },
  { name: "options", load: async () => (await about()).options },
  { name: "help", load: async () => (await about()).help },
];
