/**
 * Writing: what Raft wants durable goes to the log store, what was applied to the state store.
 *
 * Log writes are answered in order. Messages that are promises about our disk leave when the write
 * they depend on, and every earlier one, is durable (thesis §3.8). A commit index alone is not
 * worth an fsync: it travels with the next write.
 */
import { assert } from "../base/assert.ts";
import { MIB } from "../base/units.ts";
import type { Message } from "../raft/message.ts";
import type { Persist, WriteAck } from "../raft/ready.ts";
import type { HardState } from "../raft/types.ts";
import type { StateMachine } from "../state/machine.ts";
import type { LogStore, StateStore } from "./ports.ts";

/**
 * Applied rows which the state store has not taken yet, in bytes of their key values. They are
 * held in memory until then; beyond this new proposals are refused. About a second of the store's
 * writing at full speed.
 */
export const STORE_BACKLOG_BYTES_MAX = 128 * MIB;

export interface WriterPorts {
  readonly log: LogStore;
  readonly send: (messages: readonly Message[]) => void;
}

interface PendingWrite {
  readonly ack: WriteAck;
  readonly after: Message[];
}

export class Writer {
  readonly #ports: WriterPorts;
  readonly #onDurable: (ack: WriteAck) => void;
  /** Writes that the log store has not answered, oldest first. */
  readonly #pending: PendingWrite[] = [];
  readonly #answered = (): void => this.#answer();
  /** A hard state that waits for the next write. */
  #hardState: HardState | undefined = undefined;
  #backlogBytes = 0;

  /** `onDurable` is told of each write, in order. */
  constructor(ports: WriterPorts, onDurable: (ack: WriteAck) => void) {
    this.#ports = ports;
    this.#onDurable = onDurable;
  }

  /** Bytes of applied rows that the store has not taken. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  get storeBacklogFull(): boolean {
    return this.#backlogBytes > STORE_BACKLOG_BYTES_MAX;
  }

  /** Writes what a Ready wants durable; `after` leaves once it is. */
  persist(persist: Persist, after: readonly Message[]): void {
    if (persist.hardState !== undefined) this.#hardState = persist.hardState;
    if (persist.mustSync) {
      this.#pending.push({ ack: persist.ack, after: [...after] });
      this.#write(persist.entries, persist.snapshot, this.#answered);
      return;
    }
    assert(persist.entries.length === 0, "entries are always synced");
    if (after.length === 0) return;
    const last = this.#pending.at(-1);
    if (last === undefined) this.#ports.send(after);
    else last.after.push(...after);
  }

  /** Hands what was applied to the state store, which says when it can read it. */
  store(store: StateStore, machine: StateMachine): void {
    const batch = machine.takeBatch();
    let bytes = 0;
    for (const row of batch.rows) bytes += row.kv.length;
    this.#backlogBytes += bytes;
    const lastSeq = batch.rows.at(-1)?.seq;
    store.write(batch, () => {
      this.#backlogBytes -= bytes;
      if (lastSeq !== undefined) machine.stored(lastSeq);
    });
  }

  /** Writes a hard state that was waiting, before the store is closed. */
  flush(): void {
    if (this.#hardState !== undefined) this.#write([], undefined, () => {});
  }

  #write(entries: Persist["entries"], snapshot: Persist["snapshot"], onDurable: () => void): void {
    const hardState = this.#hardState;
    this.#hardState = undefined;
    this.#ports.log.write({ hardState, entries, snapshot }, onDurable);
  }

  #answer(): void {
    const write = this.#pending.shift();
    assert(write !== undefined, "the log store answers what it was given");
    if (write.after.length > 0) this.#ports.send(write.after);
    this.#onDurable(write.ack);
  }
}
