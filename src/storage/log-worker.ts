/**
 * The Worker that owns raft.db (architecture: the event loop never waits for a disk). An entry
 * point of its own: the executable is built with this file on the command line, see
 * worker-link.ts.
 */
import { LogDatabase, type LogDatabaseOptions } from "./log-database.ts";
import { runWriteLoop } from "./write-loop.ts";

runWriteLoop((options: LogDatabaseOptions) => LogDatabase.open(options));
