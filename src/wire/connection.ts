/**
 * The shape through which net/ drives every protocol machine of this room. A machine is pure: it
 * is handed bytes and the time, and leaves bytes to be written in `output`. It holds no socket,
 * timer or clock, so a test or the simulator drives it exactly as a socket does.
 *
 *   socket ── receive() ──▶ machine ──▶ output ── onOutput() ──▶ one write a turn ── advance()
 *                              ▲ tick(), onWritable(), closed(), shutdown()
 *
 * What net owes a machine: after attaching it flushes `output` once (a client's preface is there
 * from the start); it stops reading while `paused`; after each flush which leaves `pending` below
 * OUTPUT_LOW_BYTES it calls onWritable; it calls tick about every 100 ms; once `closing` is true
 * it writes what is pending and closes the socket; and it calls closed() exactly once.
 */
import { assert } from "../base/assert.ts";
import { KIB } from "../base/units.ts";
import type { MemoryAccount } from "./memory.ts";

export interface ProtocolConnection {
  /** Takes bytes in any chunking; they are borrowed for the call. Never throws on peer's faults. */
  receive(bytes: Uint8Array, nowMs: number): void;
  /** Bytes which wait for the socket. */
  readonly output: OutputBuffer;
  /** Set by net; called when `output` goes from empty to non-empty. */
  onOutput: () => void;
  /** Net says: a flush left `output` below OUTPUT_LOW_BYTES. */
  onWritable(nowMs: number): void;
  /** Called about every 100 ms: deadlines, timeouts, keepalive. */
  tick(nowMs: number): void;
  /** True: write what is pending, then close the socket. Never goes back to false. */
  readonly closing: boolean;
  /** True: whoever speaks here is known to us, and read before others. */
  readonly urgent?: boolean;
  /** True: the peer does not read what we write; stop reading from it until this is false. */
  readonly paused: boolean;
  /** The socket is gone: every call is cancelled and nothing is written any more. */
  closed(nowMs: number): void;
  /** Ends gracefully: no new calls, the open ones finish, then `closing`. */
  shutdown(nowMs: number): void;
}

/**
 * Net calls onWritable below this. A quarter of a socket's usual buffer: refilling starts before
 * the kernel runs dry, and not after every small write.
 */
export const OUTPUT_LOW_BYTES = 64 * KIB;

/** First allocation. An idle connection should cost little; a busy one grows once or twice. */
const INITIAL_BYTES = 4 * KIB;

/** What trim() leaves in place: growing to 64 KiB again costs less than the memory is worth. */
const KEPT_BYTES = 64 * KIB;

/**
 * A byte queue in one reused buffer: bytes [start, end) wait. The writer reserves at the end, the
 * reader (net) advances the start. Whoever keeps `bytes` across a reserve reads freed memory: take
 * it anew after each call. Invariants: 0 <= start <= end <= bytes.length; an empty queue is at 0.
 */
export class OutputBuffer {
  bytes: Buffer;
  start = 0;
  end = 0;
  /** Bytes ever taken by advance(): tells whether the reader makes progress. */
  taken = 0;
  /** Called by reserve() when the queue was empty. */
  onFill: () => void = nothing;
  #highWater = 0;
  readonly #account: MemoryAccount | undefined;

  /** `account` is told of every byte of capacity; whoever drops such a queue calls discard(). */
  constructor(capacity = INITIAL_BYTES, account?: MemoryAccount) {
    this.bytes = Buffer.allocUnsafeSlow(capacity);
    this.#account = account;
    account?.add(capacity);
  }

  /** Bytes which wait. */
  get pending(): number {
    return this.end - this.start;
  }

  /** Makes room for `count` more bytes and returns where they go; the caller writes them all. */
  reserve(count: number): number {
    const at = this.end;
    if (at + count > this.bytes.length) return this.#reserveSlow(count);
    this.end = at + count;
    if (at === 0) this.onFill();
    return at;
  }

  /** Appends source[start, end). */
  append(source: Uint8Array, start: number, end: number): void {
    const at = this.reserve(end - start);
    copyBytes(source, start, end, this.bytes, at);
  }

  /** The reader took `count` bytes from the start. */
  advance(count: number): void {
    assert(count >= 0 && count <= this.end - this.start, "took more output than there was");
    this.taken += count;
    this.start += count;
    if (this.start !== this.end) return;
    if (this.end > this.#highWater) this.#highWater = this.end;
    this.start = 0;
    this.end = 0;
  }

  /** Gives memory back if the last period needed little of it; call it now and then. */
  trim(): void {
    const used = Math.max(this.#highWater, this.end);
    this.#highWater = 0;
    if (this.end !== 0 || this.bytes.length <= KEPT_BYTES || used > this.bytes.length / 4) return;
    this.#replace(Buffer.allocUnsafeSlow(KEPT_BYTES));
  }

  /** Drops what waits and gives all memory back; it may be used again. */
  discard(): void {
    this.advance(this.end - this.start);
    this.#replace(NO_BYTES);
  }

  #replace(bytes: Buffer): void {
    const old = this.bytes;
    this.#account?.add(bytes.length - old.length);
    this.bytes = bytes;
    freeLarge(old);
  }

  #reserveSlow(count: number): number {
    const pending = this.end - this.start;
    const need = pending + count;
    // Moving down is only worth it when at least half the buffer comes free: amortised O(1).
    if (need <= this.bytes.length / 2) this.bytes.copyWithin(0, this.start, this.end);
    else this.#grow(need, pending);
    this.start = 0;
    this.end = need;
    if (pending === 0) this.onFill();
    return pending;
  }

  #grow(need: number, pending: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(need, this.bytes.length * 2));
    this.bytes.copy(grown, 0, this.start, this.start + pending);
    this.#replace(grown);
  }
}

const NO_BYTES = Buffer.alloc(0);

/** Smaller buffers come and go with the collector at little cost. */
const LARGE_BYTES = 64 * KIB;

/**
 * Gives a large buffer's memory back at once: the collector would leave three times of what is in
 * use lying about. The buffer has an ArrayBuffer of its own (allocUnsafeSlow), and nobody reads
 * it any more: it is empty from now on.
 */
export function freeLarge(bytes: Buffer): void {
  if (bytes.length > LARGE_BYTES) (bytes.buffer as ArrayBuffer).transfer(0);
}

/** Below this a loop in JavaScript beats the native call and its view object (measured). */
const LOOP_BYTES_MAX = 48;

/** Copies source[start, end) to target[at, …); they do not overlap. */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): void {
  if (end - start <= LOOP_BYTES_MAX) {
    for (let from = start, to = at; from < end; from++, to++) target[to] = source[from] as number;
  } else {
    target.set(source.subarray(start, end), at);
  }
}

function nothing(): void {}
