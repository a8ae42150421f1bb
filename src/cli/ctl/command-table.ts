/** Every client command, in the order in which help lists them. A new one is a row here. */
import type { Command } from "./command.ts";
import { help, options, version } from "./commands/about.ts";
import { alarmDisarm, alarmList } from "./commands/alarm.ts";
import { compaction } from "./commands/compaction.ts";
import { completionBash, completionFish, completionZsh } from "./commands/completion.ts";
import { del } from "./commands/del.ts";
import { endpointHashKv, endpointHealth, endpointStatus } from "./commands/endpoint.ts";
import { get } from "./commands/get.ts";
import {
  leaseGrant,
  leaseKeepAlive,
  leaseList,
  leaseRevoke,
  leaseTimeToLive,
} from "./commands/lease.ts";
import {
  memberAdd,
  memberList,
  memberPromote,
  memberRemove,
  memberUpdate,
} from "./commands/member.ts";
import { moveLeader } from "./commands/move-leader.ts";
import { put } from "./commands/put.ts";
import { txn } from "./commands/txn.ts";
import { watch } from "./commands/watch.ts";

export const COMMANDS: readonly Command[] = [
  ...[get, put, del, txn, watch, compaction],
  ...[leaseGrant, leaseRevoke, leaseTimeToLive, leaseList, leaseKeepAlive],
  ...[endpointHealth, endpointStatus, endpointHashKv],
  ...[memberAdd, memberRemove, memberUpdate, memberPromote, memberList],
  ...[moveLeader, alarmList, alarmDisarm],
  ...[completionBash, completionZsh, completionFish],
  ...[version, options, help],
];
