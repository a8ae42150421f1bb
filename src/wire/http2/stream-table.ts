/**
 * The open streams of a connection by id. Ids of one side grow by two and most streams live
 * shortly, so `id / 2 mod size` is nearly always a free slot: an array answers where a Map would
 * hash. A long-lived stream in the way (a watch) sends the newcomer to a Map.
 */
import { assert } from "../../base/assert.ts";
import { STREAM_BYTES } from "./limits.ts";

/** An idle connection should cost little. */
const SLOTS_MIN = 16;
/** Enough for 2048 streams, twice what busy clients have; what finds no place goes to the Map. */
const SLOTS_MAX = 4096;

/** What the table needs of a stream (stream.ts). */
interface TableStream {
  readonly id: number;
  readonly headBytes: number;
}

export class StreamTable<S extends TableStream> {
  #slots: (S | undefined)[] = new Array(SLOTS_MIN).fill(undefined);
  #mask = SLOTS_MIN - 1;
  #count = 0;
  #lingering = 0;
  /** Of all open streams, and of the calls that linger. */
  #headBytes = 0;
  readonly #overflow = new Map<number, S>();

  get count(): number {
    return this.#count;
  }

  /** Open streams, and calls whose stream is gone and whose handler has not ended. */
  get callCount(): number {
    return this.#count + this.#lingering;
  }

  /** What all these take, by estimate. */
  get keptBytes(): number {
    return this.callCount * STREAM_BYTES + this.#headBytes;
  }

  get(id: number): S | undefined {
    const found = this.#slots[(id >>> 1) & this.#mask];
    if (found !== undefined && found.id === id) return found;
    return this.#overflow.size === 0 ? undefined : this.#overflow.get(id);
  }

  /** The id must not be in the table. */
  add(stream: S): void {
    this.#count++;
    if (this.#count * 2 > this.#slots.length && this.#slots.length < SLOTS_MAX) this.#grow();
    this.#place(stream);
    this.#headBytes += stream.headBytes;
  }

  /** The stream must be in the table. */
  remove(stream: S): void {
    this.#count--;
    const at = (stream.id >>> 1) & this.#mask;
    if (this.#slots[at] === stream) this.#slots[at] = undefined;
    else assert(this.#overflow.delete(stream.id), "removed a stream that was not in the table");
    this.#headBytes -= stream.headBytes;
  }

  /** A cancelled call counts as a stream, and keeps its head, until its handler has ended. */
  linger(stream: S): void {
    this.#lingering++;
    this.#headBytes += stream.headBytes;
  }

  endLinger(stream: S): void {
    this.#lingering--;
    this.#headBytes -= stream.headBytes;
  }

  /** The open streams at this moment, in no order: the caller may add and remove meanwhile. */
  list(): S[] {
    const streams: S[] = [];
    for (const stream of this.#slots) if (stream !== undefined) streams.push(stream);
    for (const stream of this.#overflow.values()) streams.push(stream);
    return streams;
  }

  verify(): void {
    const streams = this.list();
    assert(streams.length === this.#count, "stream count differs from the table");
    for (const stream of streams) assert(this.get(stream.id) === stream, "a stream is lost");
    assert(this.#lingering >= 0, "negative count of lingering calls");
    const open = streams.reduce((sum, { headBytes }) => sum + headBytes, 0);
    const rest = this.#headBytes - open;
    assert(rest === 0 || (rest > 0 && this.#lingering > 0), "header bytes do not add up");
  }

  #place(stream: S): void {
    const at = (stream.id >>> 1) & this.#mask;
    if (this.#slots[at] === undefined) this.#slots[at] = stream;
    else this.#overflow.set(stream.id, stream);
  }

  #grow(): void {
    const streams = this.list();
    const size = this.#slots.length * 4;
    this.#slots = new Array(size).fill(undefined);
    this.#mask = size - 1;
    this.#overflow.clear();
    for (const stream of streams) this.#place(stream);
  }
}
