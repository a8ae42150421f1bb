/**
 * A process to be killed: writes to a log and a state, and tells on standard output what was
 * answered, one line each, written before anything else happens.
 *
 *   bun crash-child.ts kill <directory>                    writes for ever
 *   bun crash-child.ts fsync <directory> <trigger file>    writes; makes the trigger file, by which
 *                                                          fsync starts to fail; writes on
 */
import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogStore } from "../../src/node/ports.ts";
import { openLogStore } from "../../src/storage/log-store.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { entry, writing } from "./log-store.contract.ts";

const [mode, directory = "", trigger = ""] = process.argv.slice(2);
const path = join(directory, "raft.db");

function tell(line: string): void {
  writeSync(1, `${line}\n`);
}

function dieOfFatal(error: Error): never {
  throw error;
}

/** Two rows a batch, so that half a batch would show. */
async function writeState(): Promise<void> {
  const store = await openStateStore({
    path: join(directory, "state.db"),
    group: 1,
    logStart: undefined,
    onFatal: dieOfFatal,
  });
  const kv = Buffer.from("k=v");
  const next = (index: number): void => {
    const row = (seq: number): Parameters<typeof store.write>[0]["rows"][0] => {
      const rest = { sub: 0, prev: 0, jump: 0, depth: 1, tombstone: false, kv };
      return { seq, revision: index, ...rest };
    };
    const rows = [row(2 * index - 1), row(2 * index)];
    const records = [{ space: "meta", key: "last", value: Buffer.from(`${index}`) }];
    store.write({ appliedIndex: index, appliedTerm: 1, rows, records }, () => {
      tell(`state ${index}`);
      next(index + 8);
    });
  };
  // Eight in flight, strictly in order of index: each answer sends the one eight later.
  for (let index = 1; index <= 8; index++) next(index);
}

async function writeLog(): Promise<void> {
  const store = await openLogStore({ path, group: 1, onFatal: dieOfFatal });
  const next = (index: number): void => {
    const hardState = { term: 1, vote: 1n, commit: index };
    store.write(writing({ entries: [entry(index)], hardState }), () => {
      tell(`log ${index}`);
      next(index + 8);
    });
  };
  for (let index = 1; index <= 8; index++) next(index);
}

async function failFsync(): Promise<void> {
  let fatal = 0;
  let answered = 0;
  const onFatal = (error: Error): void => {
    tell(`fatal ${++fatal} ${error.message}`);
    // Nothing may be answered any more, however long it waits and whatever is written.
    for (let i = 0; i < 20; i++) write(store, 1000 + i);
    void store.close().then(() => tell(`closed after ${answered} answers`));
  };
  const store: LogStore = await openLogStore({ path, group: 1, onFatal });
  let last = 0;
  const write = (log: LogStore, mark: number): void => {
    last++;
    log.write(writing({ entries: [entry(last)] }), () => {
      answered++;
      tell(`log ${mark}`);
      if (mark === 10) {
        writeFileSync(trigger, "");
        for (let i = 11; i <= 30; i++) write(log, i);
      }
    });
  };
  for (let i = 1; i <= 10; i++) write(store, i);
}

if (mode === "kill") await Promise.all([writeLog(), writeState()]);
else await failFsync();
