/**
 * What all large reads hold together: the key values that a range has collected and its client has
 * not taken. Sixty readers of fifty megabytes each would hold three gigabytes for as long as they
 * like not to read. When it becomes too much, those go first that have not moved for longest; if
 * all move, the new one is refused.
 *
 *   begin() ─▶ hold() as it is collected ─▶ release() as it is sent ─▶ end()
 *                  └── too much: cut() of a stalled one, or too_many_requests
 */
import { AetherError } from "../base/errors.ts";
import { GIB, MIB } from "../base/units.ts";

/**
 * Of a process. Many of them share what the store's cache holds anyway; at worst it is what one
 * range of etcd's default quota of 2 GiB would need half of.
 */
export const LARGE_READS_BYTES_MAX = GIB;

/** Less is in nobody's way: the cut is not for who is a little slow. */
const STALLED_BYTES_MIN = MIB;

/** Whoever took nothing for so long does not read: a slow line takes a piece in that time. */
export const STALLED_MS = 2000;

export class LargeReads {
  readonly bytesMax: number;
  heldBytes = 0;
  /** Reads that were refused, and reads that were cut off for others. */
  refusedCount = 0;
  cutCount = 0;
  /** On the clock of tick(); good to a tick. */
  nowMs = 0;
  readonly #open = new Set<LargeRead>();
  readonly #stalledBytesMin: number;

  /** One that holds less than `stalledBytesMin` is never cut. */
  constructor(bytesMax = LARGE_READS_BYTES_MAX, stalledBytesMin = STALLED_BYTES_MIN) {
    this.bytesMax = bytesMax;
    this.#stalledBytesMin = stalledBytesMin;
  }

  begin(): LargeRead {
    const read = new LargeRead(this);
    this.#open.add(read);
    return read;
  }

  tick(nowMs: number): void {
    this.nowMs = nowMs;
  }

  /** Makes room for `bytes` of `asking`, at the cost of stalled ones. Throws too_many_requests. */
  makeRoom(asking: LargeRead, bytes: number): void {
    while (this.heldBytes + bytes > this.bytesMax) {
      const stalled = this.#stalled(asking);
      if (stalled === undefined) {
        this.refusedCount++;
        const held = `large reads hold ${this.heldBytes} bytes`;
        throw new AetherError("too_many_requests", held);
      }
      this.cutCount++;
      stalled.onCut();
      stalled.end();
    }
  }

  forget(read: LargeRead): void {
    this.#open.delete(read);
  }

  #stalled(asking: LargeRead): LargeRead | undefined {
    let found: LargeRead | undefined;
    for (const read of this.#open) {
      if (read === asking || read.heldBytes < this.#stalledBytesMin) continue;
      if (this.nowMs - read.movedMs < STALLED_MS) continue;
      if (found === undefined || read.movedMs < found.movedMs) found = read;
    }
    return found;
  }
}

export class LargeRead {
  heldBytes = 0;
  movedMs: number;
  /** Ends the call: others need what it holds. */
  onCut: () => void = () => undefined;
  readonly #all: LargeReads;

  constructor(all: LargeReads) {
    this.#all = all;
    this.movedMs = all.nowMs;
  }

  /** So much is held now, in all. Throws too_many_requests. */
  hold(bytes: number): void {
    const more = bytes - this.heldBytes;
    if (more <= 0) return;
    this.#all.makeRoom(this, more);
    this.#add(more);
  }

  /** So much of it has gone to the client. */
  release(bytes: number): void {
    this.#add(-Math.min(bytes, this.heldBytes));
  }

  /** May be called twice. */
  end(): void {
    this.#add(-this.heldBytes);
    this.#all.forget(this);
  }

  #add(bytes: number): void {
    this.heldBytes += bytes;
    this.#all.heldBytes += bytes;
    this.movedMs = this.#all.nowMs;
  }
}
