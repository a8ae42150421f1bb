/**
 * What Raft wants durable, on its way to the log store.
 *
 * Writes are answered in order. Messages that are promises about our disk leave when the write
 * they depend on, and every earlier one, is durable (thesis §3.8).
 *
 * The commit index need not be durable at all (paper, figure 2: it is volatile); it only saves a
 * member that restarts from asking for what the state store has anyway. So it is neither worth an
 * fsync nor a second page in every write: it travels with the next term or vote, and with one
 * write in COMMIT_EVERY. Only that a change of the membership is committed is something others
 * rely on (raft/retire.ts): then Raft asks for a synced write, and it goes with that one.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/ports.ts";
import type { Message } from "../raft/message.ts";
import type { Persist, WriteAck } from "../raft/ready.ts";
import type { Entry, HardState, SnapshotMeta } from "../raft/types.ts";
import type { GroupMeter } from "./meter.ts";
import type { LogStore } from "./ports.ts";

export interface WriterPorts {
  readonly log: LogStore;
  readonly send: (messages: readonly Message[]) => void;
  readonly meter: Pick<GroupMeter, "logWritten">;
  readonly clock: Clock;
  /** Puts a received state in place once the log begins after it, then calls `onInstalled`. */
  readonly install: (snapshot: SnapshotMeta, onInstalled: () => void) => void;
}

/** A restart after a crash replays at most so many writes more than it had to learn of. */
const COMMIT_EVERY = 256;

interface PendingWrite {
  readonly ack: WriteAck;
  readonly snapshot: SnapshotMeta | undefined;
  readonly after: Message[];
  readonly sentMs: number;
  /** Of its entries. */
  readonly bytes: number;
}

export class LogWriter {
  readonly #ports: WriterPorts;
  readonly #onDurable: (ack: WriteAck) => void;
  /** Writes that the log store has not answered, oldest first. */
  readonly #pending: PendingWrite[] = [];
  readonly #answered = (): void => this.#onAnswer();
  /** Writes at the front that are durable and have not been told of. */
  #durable = 0;
  #installing = false;
  /** The newest hard state, if it is not written. */
  #hardState: HardState | undefined = undefined;
  #written: HardState | undefined = undefined;
  #writesSince = 0;
  /** No change of the membership lies after this index; at the start there may be one anywhere. */
  #lastConfigIndex: number;

  /** `onDurable` is told of each write, in order. */
  constructor(ports: WriterPorts, onDurable: (ack: WriteAck) => void) {
    this.#ports = ports;
    this.#onDurable = onDurable;
    this.#lastConfigIndex = ports.log.stored.lastIndex;
  }

  /** Writes what a Ready wants durable; `after` leaves once it is. */
  persist(persist: Persist, after: readonly Message[]): void {
    if (persist.hardState !== undefined) this.#hardState = persist.hardState;
    if (persist.mustSync) {
      const bytes = this.#note(persist.entries);
      const sentMs = this.#ports.clock.monotonicMs();
      const { ack, snapshot } = persist;
      this.#pending.push({ ack, snapshot, after: [...after], sentMs, bytes });
      this.#write(persist.entries, snapshot, this.#answered, this.#isHardStateDue());
      return;
    }
    assert(persist.entries.length === 0, "entries are always synced");
    if (after.length === 0) return;
    const last = this.#pending.at(-1);
    if (last === undefined) this.#ports.send(after);
    else last.after.push(...after);
  }

  /** Writes a hard state that was waiting, before the store is closed. */
  flush(): void {
    if (this.#hardState !== undefined) this.#write([], undefined, () => {}, true);
  }

  /** Looks for changes of the membership; returns how many bytes the entries carry. */
  #note(entries: Persist["entries"]): number {
    let bytes = 0;
    for (let i = 0; i < entries.length; i++) {
      const { kind, index, payload } = entries[i] as Entry;
      if (kind === "config") this.#lastConfigIndex = index;
      bytes += payload.length;
    }
    return bytes;
  }

  #isHardStateDue(): boolean {
    const now = this.#hardState;
    if (now === undefined) return false;
    const before = this.#written;
    if (before === undefined || this.#writesSince >= COMMIT_EVERY) return true;
    const tellsOfChange = now.commit > before.commit && before.commit < this.#lastConfigIndex;
    return now.term !== before.term || now.vote !== before.vote || tellsOfChange;
  }

  #write(
    entries: Persist["entries"],
    snapshot: Persist["snapshot"],
    onDurable: () => void,
    withHardState: boolean,
  ): void {
    let hardState: HardState | undefined;
    this.#writesSince++;
    if (withHardState) {
      hardState = this.#hardState;
      this.#written = hardState;
      this.#hardState = undefined;
      this.#writesSince = 0;
    }
    this.#ports.log.write({ hardState, entries, snapshot }, onDurable);
  }

  #onAnswer(): void {
    this.#durable++;
    assert(this.#durable <= this.#pending.length, "the log store answers what it was given");
    this.#tell();
  }

  /** Tells of durable writes in order; one with a snapshot waits until the state is in place. */
  #tell(): void {
    while (this.#durable > 0 && !this.#installing) {
      const { snapshot } = this.#pending[0] as PendingWrite;
      if (snapshot === undefined) this.#tellOne();
      else {
        this.#installing = true;
        this.#ports.install(snapshot, () => {
          this.#installing = false;
          this.#tellOne();
          this.#tell();
        });
      }
    }
  }

  #tellOne(): void {
    this.#durable--;
    const write = this.#pending.shift() as PendingWrite;
    this.#ports.meter.logWritten(write.bytes, this.#ports.clock.monotonicMs() - write.sentMs);
    if (write.after.length > 0) this.#ports.send(write.after);
    this.#onDurable(write.ack);
  }
}
