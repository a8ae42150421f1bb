/** Every client command, in the order in which help lists them. A new one is a row here. */
import type { Command } from "./command.ts";
import { help, options, version } from "./commands/about.ts";
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
import { memberList } from "./commands/member.ts";
import { put } from "./commands/put.ts";
import { txn } from "./commands/txn.ts";
import { watch } from "./commands/watch.ts";

export const COMMANDS: readonly Command[] = [
  ...[get, put, del, txn, watch, compaction],
  ...[leaseGrant, leaseRevoke, leaseTimeToLive, leaseList, leaseKeepAlive],
  ...[endpointHealth, endpointStatus, endpointHashKv],
  ...[memberList],
  ...[completionBash, completionZsh, completionFish],
  ...[version, options, help],
];
