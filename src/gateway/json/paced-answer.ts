/**
 * A large unary answer on its way to becoming JSON: its bytes wait here, a slice becomes text when
 * the pace allows it and the client takes what was written. One that nobody reads costs a piece of
 * bytes and what the connection may hold, and no work at all.
 */
import { assert } from "../../base/assert.ts";
import { KIB, MIB } from "../../base/units.ts";
import type { MessageType } from "../../proto/message.ts";
import type { LargeRead } from "../../rpc/large-reads.ts";
import { freeLarge } from "../../wire/connection.ts";
import type { HttpResponse } from "../../wire/http1/http.ts";
import { LargeAnswer } from "./large-answer.ts";
import type { Pace } from "./pace.ts";

/** Bytes of the message that become text in one step: about a millisecond. */
export const STEP_BYTES = 64 * KIB;

/**
 * What waits to become text, of all calls of a process: two hundred pieces of large ranges. They
 * wait for their turns, and for clients that do not read; those are cut when others need the room.
 */
export const HELD_BYTES_MAX = 64 * MIB;

/** Less than this is never cut: nobody would gain by it. */
export const HELD_CUT_BYTES_MIN = 4 * KIB;

export interface PacedOptions {
  readonly type: MessageType<unknown>;
  readonly response: HttpResponse;
  readonly pace: Pace;
  /** What it holds is counted here; it is ended with the answer. */
  readonly held: LargeRead;
  /** Everything that has come is text, and the client takes more. */
  readonly onRoom: () => void;
  /** The text of the whole message is written. */
  readonly onEnd: () => void;
}

export class PacedAnswer {
  readonly #options: PacedOptions;
  readonly #text: LargeAnswer;
  readonly #step = (): boolean => this.#advance();
  /** What has come and is not text. */
  #bytes: Buffer | undefined = undefined;
  #at = 0;
  #isLast = false;
  #running = false;
  /** Whoever brings the pieces was told to wait. */
  #owesRoom = false;
  #stopped = false;

  constructor(options: PacedOptions) {
    this.#options = options;
    this.#text = new LargeAnswer(options.type);
  }

  /** Some of what has come is not text yet: more must wait. */
  get busy(): boolean {
    return this.#bytes !== undefined;
  }

  /** Takes the next bytes of the message, copied; `isLast`: there are no more. Not while busy.
   * Throws too_many_requests when too much waits already. */
  take(bytes: Uint8Array, start: number, end: number, isLast: boolean): void {
    assert(!this.busy, "the next piece of an answer waits until there is room");
    this.#options.held.hold(end - start);
    this.#bytes = Buffer.allocUnsafeSlow(end - start);
    this.#bytes.set(bytes.subarray(start, end));
    this.#at = 0;
    this.#isLast = isLast;
    this.#owesRoom = false;
    this.resume();
    this.#owesRoom = this.busy;
  }

  /** The client takes more. */
  resume(): void {
    if (this.#running || this.#stopped || this.#bytes === undefined) return;
    this.#running = true;
    this.#options.pace.run(this.#step);
  }

  /** Nobody wants the rest. */
  stop(): void {
    this.#stopped = true;
    this.#letGo();
    this.#options.held.end();
  }

  #letGo(): void {
    if (this.#bytes !== undefined) freeLarge(this.#bytes);
    this.#bytes = undefined;
  }

  /** One slice; false: nothing more can be done now. */
  #advance(): boolean {
    const bytes = this.#bytes;
    const { response, onRoom, onEnd, held } = this.#options;
    this.#running = bytes !== undefined && response.writable;
    if (bytes === undefined || !response.writable) return false;
    const end = Math.min(this.#at + STEP_BYTES, bytes.length);
    response.write(this.#text.take(bytes, this.#at, end));
    this.#at = end;
    if (this.#stopped) return false;
    if (end < bytes.length) return true;
    held.release(bytes.length);
    this.#letGo();
    this.#running = false;
    if (this.#isLast) {
      response.write(this.#text.end());
      onEnd();
    } else if (this.#owesRoom && response.writable) onRoom();
    return false;
  }
}
