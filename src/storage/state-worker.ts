/**
 * The Worker that owns state.db of one group: rows are stored, superseded ones removed and
 * checkpoints made here, never on the main thread. An entry point of its own, see worker-link.ts.
 */
import { StateDatabase, type StateDatabaseOptions } from "./state-database.ts";
import { runWriteLoop } from "./write-loop.ts";

runWriteLoop((options: StateDatabaseOptions, post) => StateDatabase.open(options, post));
