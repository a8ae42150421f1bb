/**
 * Periodic progress marks: every stream with watchers who asked for them is due once an interval,
 * spread by chance so that streams opened together do not stay together. A mark goes to watchers
 * that are synced and had no event since the stream's last turn (events are marks themselves).
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/ports.ts";
import type { StreamRecord } from "./watcher.ts";

/** etcd's default; a mark costs a message a watcher, and clients who need it sooner ask for it. */
export const PROGRESS_INTERVAL_MS = 10 * 60 * 1000;

/** Marks more often than this are asked for by mistake; etcd's bound. */
export const PROGRESS_INTERVAL_MS_MIN = 100;

/** An interval is lengthened by up to this part of it. */
const JITTER_PART = 10;

export class ProgressTicker {
  readonly #random: Random;
  readonly #intervalMs: number;
  readonly #streams = new Set<StreamRecord>();
  /** Streams that joined since the last tick: their first interval starts at the next. */
  readonly #joined: StreamRecord[] = [];
  #nextDueMs = Number.POSITIVE_INFINITY;

  /** A shorter interval than PROGRESS_INTERVAL_MS_MIN becomes that, none (0) the default. */
  constructor(random: Random, intervalMs: number) {
    this.#random = random;
    this.#intervalMs =
      intervalMs > 0 ? Math.max(intervalMs, PROGRESS_INTERVAL_MS_MIN) : PROGRESS_INTERVAL_MS;
  }

  /** A watcher of the stream asked for progress marks. */
  join(stream: StreamRecord): void {
    if (this.#streams.has(stream)) return;
    this.#streams.add(stream);
    this.#joined.push(stream);
  }

  /** The stream is closed. */
  leave(stream: StreamRecord): void {
    this.#streams.delete(stream);
  }

  /** Sends the marks of streams that are due; `published` is what they are told. */
  tick(nowMs: number, published: number): void {
    for (const stream of this.#joined) this.#schedule(stream, nowMs);
    this.#joined.length = 0;
    if (nowMs < this.#nextDueMs) return;
    this.#nextDueMs = Number.POSITIVE_INFINITY;
    for (const stream of this.#streams) {
      if (stream.notified.size === 0) {
        this.#streams.delete(stream);
        continue;
      }
      if (nowMs >= stream.progressDueMs) {
        sendMarks(stream, published);
        this.#schedule(stream, nowMs);
      } else if (stream.progressDueMs < this.#nextDueMs) this.#nextDueMs = stream.progressDueMs;
    }
  }

  /** Asserts that only open streams are kept. */
  verify(open: ReadonlySet<StreamRecord>): void {
    for (const stream of this.#streams) {
      assert(open.has(stream), "a closed stream is not kept for its marks");
    }
  }

  #schedule(stream: StreamRecord, nowMs: number): void {
    const jitterMs = this.#random.below(Math.floor(this.#intervalMs / JITTER_PART) + 1);
    stream.progressDueMs = nowMs + this.#intervalMs + jitterMs;
    if (stream.progressDueMs < this.#nextDueMs) this.#nextDueMs = stream.progressDueMs;
  }
}

function sendMarks(stream: StreamRecord, published: number): void {
  for (const watcher of stream.notified) {
    if (stream.closed || !stream.sink.writable) return; // the next turn will do
    if (watcher.hadEvents) watcher.hadEvents = false;
    else if (watcher.state === "synced") {
      stream.sink.send({ kind: "progress", watchId: watcher.id, revision: published });
    }
  }
}
