/**
 * A stream whose opening has to wait: what the client says meanwhile is kept, and said again to
 * the handler once it is there.
 */
import { AetherError } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import type { ServerCall, StreamHandler, StreamMethod } from "../wire/grpc/server-call.ts";
import { fail } from "./answer.ts";
import type { HeldRequests } from "./held-requests.ts";

/** Bytes of messages that are kept; more is refused, since nobody can be asked to slow down. */
const KEPT_BYTES_MAX = 256 * KIB;

export class LateStream implements StreamHandler {
  readonly #call: ServerCall;
  readonly #open: StreamMethod["stream"];
  readonly #held: HeldRequests;
  #handler: StreamHandler | undefined = undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #halfClosed = false;
  #over = false;

  constructor(call: ServerCall, open: StreamMethod["stream"], held: HeldRequests) {
    this.#call = call;
    this.#open = open;
    this.#held = held;
  }

  /** Opens it, unless it is over. Throws the refusal, and what the handler throws. */
  open(refusal?: AetherError): void {
    const kept = this.#takeKept();
    if (this.#over) return;
    if (refusal !== undefined) throw refusal;
    const handler = this.#open(this.#call);
    this.#handler = handler;
    for (const message of kept) handler.onMessage(message, 0, message.length);
    if (this.#halfClosed) handler.onHalfClose();
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#handler !== undefined) {
      this.#handler.onMessage(bytes, start, end);
      return;
    }
    if (this.#over) return;
    try {
      this.#keep(bytes, start, end);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#end();
      fail(this.#call, error);
    }
  }

  onHalfClose(): void {
    this.#halfClosed = true;
    this.#handler?.onHalfClose();
  }

  onCancel(): void {
    this.#end();
    this.#handler?.onCancel();
  }

  onDrain(): void {
    this.#handler?.onDrain();
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    this.#keptBytes += end - start;
    if (this.#keptBytes > KEPT_BYTES_MAX) {
      throw new AetherError("too_many_requests", "sent before the token is known");
    }
    this.#kept.push(this.#held.hold(bytes, start, end));
  }

  #end(): void {
    this.#over = true;
    this.#takeKept();
  }

  #takeKept(): readonly Uint8Array[] {
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) this.#held.release(message);
    return kept;
  }
}
