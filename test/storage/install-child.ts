/**
 * A process to be killed while it installs one received state after the other, with the log that
 * belongs to it. Tells on standard output, one line each, what is done:
 *
 *   bun install-child.ts <directory>   staged 20 · log 20 · installed 20 · written 25 · staged …
 */
import { copyFileSync, existsSync, mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogStore, StateStore } from "../../src/node/ports.ts";
import { openLogStore } from "../../src/storage/log-store.ts";
import { HeldFile } from "../../src/storage/state-holds.ts";
import { stageState } from "../../src/storage/state-staging.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { durable, entries, snapshotAt } from "./log-store.contract.ts";
import { fill, held, historyTo, installed } from "./state-snapshot.contract.ts";
import { ModelHistory } from "./state-store.contract.ts";

/** Entries that the sender applies between two copies. */
const STEP = 20;
/** Entries that the receiver applies itself after an install. */
const OWN = 5;

const [directory = ""] = process.argv.slice(2);
const path = join(directory, "state.db");
const onFatal = (error: Error): never => {
  throw error;
};

function tell(what: string, index: number): void {
  writeSync(1, `${what} ${index}\n`);
}

/** Copies of a sender's state, which at each index is what fill() makes of it. */
async function* copies(): AsyncGenerator<{ received: string; index: number }> {
  const home = join(directory, "sender");
  if (!existsSync(home)) mkdirSync(home);
  const sender = await openStateStore({
    ...{ path: join(home, `${process.pid}.db`), group: 1, onFatal, sync: false },
    logStart: undefined,
  });
  const history = new ModelHistory();
  for (let index = STEP; ; index += STEP) {
    await fill(sender, history, index - STEP + 1, index);
    const given = await held(sender);
    if (!(given instanceof HeldFile)) throw new Error("it is not a file that is held");
    const received = join(directory, "received.part");
    copyFileSync(given.path, received);
    given.release();
    yield { received, index };
  }
}

async function follow(log: LogStore, store: StateStore): Promise<void> {
  const begins = store.stored.appliedIndex;
  for await (const { received, index } of copies()) {
    if (index <= begins) continue;
    const term = 1 + (index >> 4);
    await stageState({ received, path, group: 1, index, term });
    tell("staged", index);
    const hardState = { term, vote: 0n, commit: index };
    await durable(log, { hardState, snapshot: snapshotAt(index, term) });
    tell("log", index);
    await installed(store, index);
    tell("installed", index);
    await durable(log, { entries: entries(index + 1, index + OWN + 1, term) });
    await fill(store, historyTo(index), index + 1, index + OWN);
    tell("written", index + OWN);
  }
}

const log = await openLogStore({ path: join(directory, "raft.db"), group: 1, onFatal });
const logStart = log.stored.snapshot?.index;
const store = await openStateStore({ path, group: 1, onFatal, logStart });
await follow(log, store);
