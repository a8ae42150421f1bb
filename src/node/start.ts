/** How a group begins: as one of its founders, from what it had on disk, or empty, to join. */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Member } from "../proto/gen/etcdserverpb.ts";
import type { founding, Restored } from "../raft/restore.ts";
import type { LogReader, SnapshotMeta } from "../raft/types.ts";
import { StateMachine } from "../state/machine.ts";
import type { LogStore, StateStore } from "./ports.ts";

/** The start that all founders of a group share (raft/restore.ts), and who they are. */
export type Founding = ReturnType<typeof founding> & { readonly members: readonly Member[] };

/**
 * What Raft takes up, and the machine with it. A new log is given the founders' common start
 * first; without one it stays empty, and this member waits for a snapshot. Throws
 * AetherError("corrupt") if log and state contradict each other.
 */
export function takeUp(
  log: LogStore,
  machine: StateMachine,
  founding: Founding | undefined,
): { readonly restored: Restored; readonly reader: LogReader } {
  const { hardState, snapshot } = begun(log, founding, machine.appliedIndex);
  if (snapshot !== undefined) takeUpState(machine, snapshot, founding);
  const restored = { hardState, snapshot, appliedIndex: machine.appliedIndex };
  return { restored, reader: readerOf(log, snapshot?.index ?? 0) };
}

/**
 * Makes the founders' common state durable in an empty store, before their log begins: from then on
 * a start needs nobody to say who they were. The store is to be opened anew afterwards.
 */
export function storeFounding(
  store: StateStore,
  { snapshot, members }: Founding,
  onDurable: () => void,
): void {
  const machine = new StateMachine(store);
  machine.found(members, snapshot.index, snapshot.term);
  store.write(machine.takeBatch(), () => {});
  store.checkpoint(onDurable);
}

function begun(log: LogStore, start: Founding | undefined, appliedIndex: number): Restored {
  const { hardState, snapshot } = log.stored;
  if (snapshot !== undefined) {
    assert(hardState !== undefined, "a log that begins after a snapshot has a hard state");
    return { hardState, snapshot };
  }
  if (appliedIndex > (start?.snapshot.index ?? 0)) {
    throw new AetherError("corrupt", "the Raft log is gone and the state is not; restore both");
  }
  assert(log.stored.lastIndex === 0, "a log with entries has a start");
  if (start === undefined || hardState !== undefined) return { hardState };
  log.write({ hardState: start.hardState, entries: [], snapshot: start.snapshot }, () => {});
  return start;
}

/**
 * The state of a founder holds the founders where its log begins. Any other log begins where the
 * state was once durable: a state behind that has lost entries that nobody can give back to it.
 */
function takeUpState(
  machine: StateMachine,
  snapshot: SnapshotMeta,
  start: Founding | undefined,
): void {
  if (machine.appliedIndex >= snapshot.index) return;
  if (machine.appliedIndex > 0 || start === undefined || snapshot.index > start.snapshot.index) {
    const ends = `the state ends at ${machine.appliedIndex}`;
    const gap = `${ends}, its Raft log begins after ${snapshot.index}`;
    throw new AetherError("corrupt", `${gap}; restore both`);
  }
  machine.found(start.members, snapshot.index, snapshot.term);
}

/** `start` is where a log begins that was empty when it was opened. */
function readerOf(log: LogStore, start: number): LogReader {
  const { firstIndex, lastIndex } = log.stored;
  return {
    firstIndex: Math.max(firstIndex, start + 1),
    lastIndex: Math.max(lastIndex, start),
    term: (index) => log.term(index),
    entries: (from, to, bytesMax) => log.read(from, to, bytesMax),
  };
}
