/**
 * Taking in a copy of the state that another member sent. Its bytes are the sender's (the transfer
 * has compared their SHA-256), but the sender's file may be damaged: a state that took its place
 * would be refused at the next start, with nothing left to go back to. So the whole copy is checked
 * first, in a Worker of its own that lives as long as that: SQLite's quick_check, every checksum,
 * the counts. 1 GiB takes 2 to 3 s, and nobody waits but the sender.
 */

import type { Database } from "bun:sqlite";
import { checkFormat } from "./sqlite.ts";
import { layBeside, openCopy } from "./state-copy.ts";
import { StateReader } from "./state-reader.ts";
import { type Applied, readApplied, STATE_FORMAT } from "./state-schema.ts";
import { type Damaged, damageIn } from "./storage-error.ts";
import { WorkerLink } from "./worker-link.ts";
import type { WriteEngine } from "./write-loop.ts";

export interface StageOptions {
  /** The received file: given away, on the file system of `path`. Not touched if it is refused. */
  readonly received: string;
  /** The state in whose place it may come. */
  readonly path: string;
  readonly group: number;
  /** What Raft says the copy is the state after. */
  readonly index: number;
  readonly term: number;
}

const ADVICE = "it is not taken; this member's own state is as it was, its sender's may be damaged";

function nothing(): void {}

/**
 * Checks a received file and lays it beside the state, durably, for StateStore.install(). Rejects
 * with AetherError "corrupt" if it is damaged or not the state it is said to be, StorageError if it
 * is not a state file of this program's format.
 */
export async function stageState(options: StageOptions): Promise<void> {
  const link = new WorkerLink({
    file: "state-worker.ts",
    path: options.received,
    open: { stage: options },
    onCommitted: nothing,
    onEvent: nothing,
    onFatal: nothing, // after opened() it has nothing left to do that could fail
  });
  await link.opened();
  await link.close();
}

/** stageState() in the Worker: everything happens before it counts as opened. */
export function runStaging(options: StageOptions): WriteEngine {
  const { received, path } = options;
  openCopy(received, damageIn(received, ADVICE), (db, damaged) => {
    checkFormat(db, received, STATE_FORMAT);
    check(db, options, damaged);
  });
  for (const step of layBeside(received, path)) step();
  return {
    found: undefined,
    commit: nothing,
    work: () => false,
    quiet: () => false,
    close: nothing,
  };
}

function check(db: Database, options: StageOptions, damaged: Damaged): void {
  const applied = readApplied(db, options.group, damaged);
  if (applied.index !== options.index || applied.term !== options.term) {
    const found = `it is the state after ${applied.index} of term ${applied.term}`;
    throw damaged(`${found}, not after ${options.index} of ${options.term}`);
  }
  const [row] = db.query("PRAGMA quick_check(1)").all() as { quick_check: string }[];
  if (row?.quick_check !== "ok") throw damaged(row?.quick_check ?? "quick_check says nothing");
  checkContent(new StateReader(db, damaged), applied, damaged);
}

function checkContent(reader: StateReader, applied: Applied, damaged: Damaged): void {
  const rows = count(reader.rows());
  const records = count(reader.records());
  if (rows === applied.rows && records === applied.records) return;
  const expected = `${applied.rows} rows and ${applied.records} records`;
  throw damaged(`it holds ${rows} rows and ${records} records instead of ${expected}`);
}

function count(items: Iterable<unknown>): number {
  let found = 0;
  for (const _ of items) found++;
  return found;
}
