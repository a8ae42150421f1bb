/** Every offline command, in the order in which help lists them. */
import type { UtlCommand } from "./command.ts";
import { version } from "./commands/about.ts";
import { completion } from "./commands/completion.ts";
import { defrag, migrate } from "./commands/data-dir.ts";
import { hashKv } from "./commands/hash-kv.ts";
import { snapshotRestore, snapshotStatusCommand } from "./commands/snapshot.ts";

export const UTL_COMMANDS: readonly UtlCommand[] = [
  ...[snapshotStatusCommand, snapshotRestore, hashKv],
  ...[defrag, migrate, version, completion],
];
