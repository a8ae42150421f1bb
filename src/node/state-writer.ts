/**
 * What was applied, on its way to the state store. Rows go there a few hundred at a time or with
 * the next tick, not with each entry: the log already holds them durably, so nothing waits for
 * the store, and a transaction and a wake-up of its Worker are shared by many entries. Until the
 * store has them they are read from the machine's tail.
 */
import type { Clock } from "../base/ports.ts";
import { KIB, MIB } from "../base/units.ts";
import type { Row } from "../state/ports.ts";
import type { CurrentMachine } from "./current-machine.ts";
import type { GroupMeter } from "./meter.ts";
import type { StateStore } from "./ports.ts";

/** Rows, or bytes of their key values, that are worth a transaction of their own. */
const BATCH_ROWS = 512;
const BATCH_BYTES = 256 * KIB;

/**
 * Applied rows which the store has not taken yet, in bytes of memory. They are held until then;
 * beyond this new proposals are refused. About a second of the store's writing at full speed.
 */
export const BACKLOG_BYTES_MAX = 128 * MIB;

/** A row beside its key value: the object, the view of its bytes, its places in tail and batch. */
const ROW_OVERHEAD_BYTES = 200;

export interface StateWriterParts {
  readonly store: StateStore;
  readonly current: CurrentMachine;
  readonly clock: Clock;
  readonly meter: Pick<GroupMeter, "stateWritten">;
}

export class StateWriter {
  readonly #store: StateStore;
  readonly #clock: Clock;
  readonly #meter: StateWriterParts["meter"];
  readonly #current: CurrentMachine;
  #rows = 0;
  #bytes = 0;
  #flushedIndex: number;
  #backlogBytes = 0;
  /** Nothing is written any more: the store is about to close. */
  #ended = false;

  constructor({ store, current, clock, meter }: StateWriterParts) {
    this.#store = store;
    this.#clock = clock;
    this.#meter = meter;
    this.#current = current;
    this.#flushedIndex = current.machine.appliedIndex; // a founder's first state is in its log
  }

  /** What the store has not taken yet, in bytes of memory. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** Too much waits for the store, by so much of the bound. */
  isFull(share = 1): boolean {
    return this.#backlogBytes > BACKLOG_BYTES_MAX * share;
  }

  /** Entries were applied which made `rows`. */
  applied(rows: readonly Row[]): void {
    let bytes = 0;
    for (let i = 0; i < rows.length; i++) bytes += (rows[i] as Row).kv.length;
    this.#rows += rows.length;
    this.#bytes += bytes;
    this.#backlogBytes += bytes + rows.length * ROW_OVERHEAD_BYTES;
    if (this.#rows >= BATCH_ROWS || this.#bytes >= BATCH_BYTES) this.flush();
  }

  /** Hands over everything that was applied; the store says when it can read it. */
  flush(): void {
    const { machine } = this.#current;
    if (this.#ended || machine.appliedIndex === this.#flushedIndex) return;
    this.#flushedIndex = machine.appliedIndex;
    const batch = machine.takeBatch();
    const bytes = this.#bytes + this.#rows * ROW_OVERHEAD_BYTES;
    const lastSeq = batch.rows.at(-1)?.seq;
    this.#rows = 0;
    this.#bytes = 0;
    const handedMs = this.#clock.monotonicMs();
    this.#store.write(batch, () => {
      this.#meter.stateWritten(this.#clock.monotonicMs() - handedMs);
      if (machine !== this.#current.machine) return; // it was written for a state that is gone
      this.#backlogBytes -= bytes;
      if (lastSeq !== undefined) machine.stored(lastSeq);
    });
  }

  /** What is not handed over need not be: the log holds it. */
  end(): void {
    this.#ended = true;
  }

  /** The state was replaced by what the store holds. */
  replaced(): void {
    this.#rows = 0;
    this.#bytes = 0;
    this.#backlogBytes = 0;
    this.#flushedIndex = this.#current.machine.appliedIndex;
  }
}
