/**
 * Taking in a copy of the state that another member sent. Its bytes are the sender's (the transfer
 * has compared their SHA-256), but the sender's file may be damaged: a state that took its place
 * would be refused at the next start, with nothing left to go back to. And the sender may be
 * broken itself, or not ours any more, and make checksums for nonsense. So the whole copy is
 * checked first, in a Worker of its own that lives as long as that: tables and layout, SQLite's
 * quick_check, every checksum, the counts, and whether it is a state that can be
 * (state/stored-check.ts). 1 GiB takes 2 to 3 s, nobody waits but the sender, and one row is in
 * memory at a time.
 */

import type { Database } from "bun:sqlite";
import { StoredCheck } from "../state/stored-check.ts";
import { checkFormat, strangenessOf } from "./sqlite.ts";
import { layBeside, openCopy } from "./state-copy.ts";
import { StateReader } from "./state-reader.ts";
import {
  type Applied,
  type Compaction,
  readApplied,
  readCompaction,
  STATE_FORMAT,
} from "./state-schema.ts";
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

/** Where a pass of compaction begins that has nothing to look at. */
const NO_SEQ = Number.MAX_SAFE_INTEGER;

function nothing(): void {}

/**
 * Checks a received file and lays it beside the state, durably, for StateStore.install(). Rejects
 * with AetherError "corrupt" if it is damaged, cannot be, or is not the state it is said to be;
 * StorageError if it is not a state file of this program's format.
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
  const strange = strangenessOf(db, STATE_FORMAT);
  if (strange !== undefined) throw damaged(`it is no copy of a state: it has ${strange}`);
  const applied = readApplied(db, options.group, damaged);
  if (applied.index !== options.index || applied.term !== options.term) {
    const found = `it is the state after ${applied.index} of term ${applied.term}`;
    throw damaged(`${found}, not after ${options.index} of ${options.term}`);
  }
  const [row] = db.query("PRAGMA quick_check(1)").all() as { quick_check: string }[];
  if (row?.quick_check !== "ok") throw damaged(row?.quick_check ?? "quick_check says nothing");
  const reader = new StateReader(db, damaged);
  const { newest } = checkContent(reader, applied, damaged);
  checkCompaction(readCompaction(db, options.group, damaged), newest, damaged);
}

/** Every row and record has its checksum, and together they are a state that can be. */
function checkContent(reader: StateReader, applied: Applied, damaged: Damaged): StoredCheck {
  const secret = crypto.getRandomValues(new BigUint64Array(1))[0] as bigint;
  const content = new StoredCheck({ refuse: damaged, read: (seq) => reader.read(seq), secret });
  let records = 0;
  for (const { space, key, value } of reader.stillRecords()) {
    content.record(space, key, value);
    records++;
  }
  let rows = 0;
  for (const row of reader.stillRows()) {
    content.row(row);
    rows++;
  }
  if (rows !== applied.rows || records !== applied.records) {
    const expected = `${applied.rows} rows and ${applied.records} records`;
    throw damaged(`it holds ${rows} rows and ${records} records instead of ${expected}`);
  }
  content.end();
  return content;
}

/** Where removal of rows stands, and goes on when the copy is in place. */
function checkCompaction(
  { done, requested, target, nextSeq }: Compaction,
  newest: { readonly revision: number; readonly seq: number },
  damaged: Damaged,
): void {
  const isCounted = [done, requested, target, nextSeq].every(
    (n) => Number.isSafeInteger(n) && n >= 0,
  );
  const isOrdered = done <= requested && requested <= newest.revision && target <= requested;
  const isPass =
    target === 0 || (target > done && (nextSeq <= newest.seq + 1 || nextSeq === NO_SEQ));
  if (isCounted && isOrdered && isPass) return;
  const found = `${done} to ${target} of ${requested}, at row ${nextSeq}`;
  throw damaged(`it cannot be compacted from ${found}: it ends with revision ${newest.revision}`);
}
