/**
 * The main thread's end of a storage Worker (write-loop.ts is the other one): sends one message a
 * write, counts what comes back, and turns any failure into one call of `onFatal`.
 *
 * Where the Worker's file is. From source, it lies beside this module. In an executable made by
 * `bun build --compile src/main.ts src/storage/log-worker.ts src/storage/state-worker.ts …`, this
 * module is part of main, every entry point keeps its path below the entry points' common folder
 * (src/), and all lie under /$bunfs/root: an absolute address there works from any working
 * directory, a relative one does not. Every entry point must be named in the build.
 */
import { assert } from "../base/assert.ts";
import { KIB } from "../base/units.ts";
import { type PackedError, StorageError, unpackError } from "./storage-error.ts";

export type WorkerFile = "log-worker.ts" | "state-worker.ts" | "snapshot-worker.ts";

/** Larger messages change hands; smaller ones are cheaper to copy (measured, 0.7 and 1.4 µs). */
const TRANSFER_BYTES_MIN = 16 * KIB;

const NONE: ArrayBuffer[] = [];

interface WorkerMessage {
  readonly opened?: unknown;
  readonly refused?: PackedError;
  readonly failed?: string;
}

export interface LinkOptions {
  readonly file: WorkerFile;
  /** The database, for messages. */
  readonly path: string;
  /** Structured-cloned to the Worker's open(). */
  readonly open: unknown;
  /** `count` more messages are committed. */
  readonly onCommitted: (count: number) => void;
  /** Anything else that the engine posts. */
  readonly onEvent: (event: unknown) => void;
  /** Called once, for a failed write or a Worker that died: the process must stop. */
  readonly onFatal: (error: Error) => void;
}

/** `onFatal` for several who may find the same file unusable, called by the first of them alone. */
export function once(onFatal: (error: Error) => void): (error: Error) => void {
  let told = false;
  return (error) => {
    if (told) return;
    told = true;
    onFatal(error);
  };
}

export class WorkerLink {
  readonly #options: LinkOptions;
  readonly #worker: Worker;
  readonly #opened = Promise.withResolvers<unknown>();
  readonly #closed = Promise.withResolvers<void>();
  #state: "opening" | "open" | "closing" | "ended" | "failed" = "opening";

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#worker = new Worker(workerUrl(options.file));
    this.#worker.onmessage = (event: MessageEvent): void => this.#receive(event.data);
    this.#worker.onerror = (event: ErrorEvent): void => this.#fail(event.message);
    this.#worker.addEventListener("close", () => this.#onExit());
    this.#worker.postMessage(options.open);
  }

  /** What the Worker found in the file. Rejects with its refusal. */
  opened(): Promise<unknown> {
    return this.#opened.promise;
  }

  /** Sends a message; `bytes` is alone in its ArrayBuffer and given away. */
  post(bytes: Buffer): void {
    assert(this.#state !== "closing" && this.#state !== "ended", "no write follows close()");
    if (this.#state === "failed") return; // onFatal has been told; a write never answers now
    const transfer = bytes.length >= TRANSFER_BYTES_MIN ? [bytes.buffer as ArrayBuffer] : NONE;
    this.#worker.postMessage(bytes, transfer);
  }

  /** Ends when everything posted is committed and the Worker has gone. */
  close(): Promise<void> {
    if (this.#state === "open" || this.#state === "failed") {
      if (this.#state === "open") this.#state = "closing";
      this.#worker.postMessage("close");
    }
    return this.#closed.promise;
  }

  #receive(data: unknown): void {
    if (typeof data === "number") {
      if (this.#state !== "failed") this.#options.onCommitted(data);
      return;
    }
    if (data === "closed") return;
    const message = data as WorkerMessage;
    if (message.refused !== undefined) {
      this.#state = "ended";
      this.#opened.reject(unpackError(message.refused, this.#options.path));
    } else if ("opened" in message) {
      this.#state = "open";
      this.#opened.resolve(message.opened);
    } else if (message.failed !== undefined) this.#fail(message.failed);
    else this.#options.onEvent(data);
  }

  #onExit(): void {
    if (this.#state !== "closing" && this.#state !== "ended") this.#fail("its thread ended");
    this.#state = "ended";
    this.#closed.resolve();
  }

  #fail(text: string): void {
    const { path, onFatal } = this.#options;
    const error = new StorageError("failed", `${path}: write failed, the node must stop: ${text}`);
    if (this.#state === "opening") {
      this.#state = "ended";
      this.#opened.reject(error);
    } else if (this.#state !== "failed" && this.#state !== "ended") {
      this.#state = "failed";
      onFatal(error);
    }
  }
}

function workerUrl(file: WorkerFile): string {
  const compiled = import.meta.url.includes("/$bunfs/");
  return compiled
    ? `file:///$bunfs/root/storage/${file}`
    : new URL(`./${file}`, import.meta.url).href;
}
