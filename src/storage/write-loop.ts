/**
 * The life of a storage Worker: open a file, then turn messages into transactions.
 *
 *   main thread → Worker    options (first, an object) · write (bytes) · "close"
 *   Worker → main thread    {opened} or {refused} · number of writes committed · {failed} ·
 *                           "closed" · whatever else the engine posts
 *
 * Group commit: a message only joins a list; the list is committed in a setImmediate, which Bun
 * runs after every message that has already arrived. While a commit waits for its fsync the next
 * messages gather, so the batch grows with the load by itself (a microtask instead of setImmediate
 * was measured: one commit a message).
 *
 * The first failure is the last: what an fsync failed to write may be gone from the page cache
 * while SQLite shows it as committed, so nothing after it could be trusted. The Worker answers
 * nothing more, and the process must stop.
 */
import { causeText, packError } from "./storage-error.ts";

/** What a Worker runs; a throw of any of these is fatal. */
export interface WriteEngine {
  /** Sent to the main thread when the file has been opened. */
  readonly found: unknown;
  /** All messages, in order, in one transaction. */
  commit(messages: readonly Uint8Array[]): void;
  /**
   * A bounded slice of work of its own, after every commit has been answered (`idle` false) and
   * when no message waits (`idle` true). True if more is left, a number if it is to be done after
   * so many milliseconds.
   */
  work(idle: boolean): boolean | number;
  /** Nothing has come for QUIET_MS: time for what would delay a message. True: ask me again. */
  quiet(): boolean;
  close(): void;
}

export type Post = (message: unknown) => void;

/** A pause this long is a quiet moment: far more than between two batches of a busy node. */
const QUIET_MS = 10;

declare const self: {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  postMessage(message: unknown): void;
};

/** Runs the Worker until it is closed; `open` gets the options of the first message. */
export function runWriteLoop<Options>(open: (options: Options, post: Post) => WriteEngine): void {
  let loop: WriteLoop | undefined;
  const post: Post = (message) => self.postMessage(message);
  const stop = (): void => {
    self.onmessage = null; // with nothing left to wait for, the Worker exits by itself
    post("closed");
  };
  self.onmessage = ({ data }) => {
    if (loop !== undefined) {
      loop.receive(data as Uint8Array | "close");
      return;
    }
    if (data === "close") return stop();
    try {
      const engine = open(data as Options, post);
      loop = new WriteLoop(engine, post, stop);
      post({ opened: engine.found });
    } catch (error) {
      post({ refused: packError(error) });
      stop();
    }
  };
}

class WriteLoop {
  readonly #engine: WriteEngine;
  readonly #post: Post;
  readonly #stop: () => void;
  #waiting: Uint8Array[] = [];
  #scheduled = false;
  #closing = false;
  #failed = false;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;
  #busySinceTimer = false;
  #laterTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(engine: WriteEngine, post: Post, stop: () => void) {
    this.#engine = engine;
    this.#post = post;
    this.#stop = stop;
    this.#armQuiet();
  }

  receive(data: Uint8Array | "close"): void {
    if (data === "close") this.#closing = true;
    else if (this.#failed) return;
    else this.#waiting.push(data);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    this.#scheduled = false;
    this.#guard(() => this.#work());
    if (this.#closing && this.#waiting.length === 0) this.#end();
  };

  #work(): void {
    const messages = this.#waiting;
    const idle = messages.length === 0;
    this.#busySinceTimer = true;
    if (!idle) {
      this.#waiting = [];
      this.#engine.commit(messages);
      this.#post(messages.length);
    }
    const more = this.#engine.work(idle);
    if (more === true) this.#schedule();
    else this.#armQuiet();
    if (typeof more === "number") this.#workLater(more);
  }

  #workLater(ms: number): void {
    if (this.#closing) return;
    clearTimeout(this.#laterTimer);
    this.#laterTimer = setTimeout(() => this.#schedule(), Math.ceil(ms));
  }

  #armQuiet(): void {
    if (this.#quietTimer !== undefined || this.#closing) return;
    this.#busySinceTimer = false;
    this.#quietTimer = setTimeout(this.#onQuietTimer, QUIET_MS);
  }

  readonly #onQuietTimer = (): void => {
    this.#quietTimer = undefined;
    this.#guard(() => {
      if (this.#busySinceTimer || this.#engine.quiet()) this.#armQuiet();
    });
  };

  #guard(work: () => void): void {
    if (this.#failed) return;
    try {
      work();
    } catch (error) {
      this.#failed = true;
      this.#waiting = [];
      this.#post({ failed: causeText(error) });
    }
  }

  /** After a failure the file is left as it is: closing it would copy a doubtful WAL. */
  #end(): void {
    clearTimeout(this.#quietTimer);
    clearTimeout(this.#laterTimer);
    this.#guard(() => this.#engine.close());
    this.#failed = true; // a turn may still be scheduled: it must not touch a closed file
    this.#stop();
  }
}
