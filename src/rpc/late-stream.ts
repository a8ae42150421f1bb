/**
 * A stream whose opening has to wait: what the client says meanwhile is kept, and said again to
 * the handler once it is there.
 */
import { AetherError } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import type { ServerCall, StreamHandler, StreamMethod } from "../wire/grpc/server-call.ts";
import { fail } from "./answer.ts";

/** Bytes of messages that are kept; more is refused, since nobody can be asked to slow down. */
const KEPT_BYTES_MAX = 256 * KIB;

export class LateStream implements StreamHandler {
  readonly #call: ServerCall;
  readonly #open: StreamMethod["stream"];
  #handler: StreamHandler | undefined = undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #halfClosed = false;
  #over = false;

  constructor(call: ServerCall, open: StreamMethod["stream"]) {
    this.#call = call;
    this.#open = open;
  }

  /** Opens it, unless it is over. What the handler throws is thrown. */
  open(): void {
    if (this.#over) return;
    const handler = this.#open(this.#call);
    this.#handler = handler;
    for (const message of this.#kept) handler.onMessage(message, 0, message.length);
    this.#kept = [];
    if (this.#halfClosed) handler.onHalfClose();
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#handler !== undefined) {
      this.#handler.onMessage(bytes, start, end);
      return;
    }
    this.#keptBytes += end - start;
    if (this.#keptBytes > KEPT_BYTES_MAX) {
      this.#over = true;
      fail(this.#call, new AetherError("too_many_requests", "sent before the token is known"));
    } else this.#kept.push(bytes.slice(start, end));
  }

  onHalfClose(): void {
    this.#halfClosed = true;
    this.#handler?.onHalfClose();
  }

  onCancel(): void {
    this.#over = true;
    this.#handler?.onCancel();
  }

  onDrain(): void {
    this.#handler?.onDrain();
  }
}
