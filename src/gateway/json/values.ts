/**
 * Cuts the JSON objects out of a body, in any chunking: one after another, with white space
 * between them or none (as Go's json.Decoder reads a stream of values). Only their ends are looked
 * for here; whether they are JSON, the parser says.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** First room for an object that does not come whole. */
const HELD_BYTES_FIRST = 1024;

/** Takes one object, borrowed; false: no more of them are wanted. */
export type OnValue = (bytes: Uint8Array, start: number, end: number) => boolean;

export class JsonValues {
  readonly #bytesMax: number;
  readonly #onValue: OnValue;
  #held: ByteWriter | undefined = undefined;
  #depth = 0;
  #inText = false;
  #escaped = false;
  #ended = false;

  /** Objects longer than `bytesMax` are refused. */
  constructor(bytesMax: number, onValue: OnValue) {
    this.#bytesMax = bytesMax;
    this.#onValue = onValue;
  }

  /** Bytes of an object that is not whole. */
  get held(): number {
    return this.#held?.length ?? 0;
  }

  /** What comes now is dropped. */
  end(): void {
    this.#ended = true;
    this.#held = undefined;
  }

  /** Throws invalid_argument for what cannot begin an object, answer_too_large for a long one. */
  take(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    for (let at = start; at < end && !this.#ended; at++) {
      const byte = bytes[at] as number;
      if (this.#depth === 0) {
        if (isBlank(byte)) continue;
        if (byte !== OPEN_BRACE) throw noObject(byte);
        this.#depth = 1;
        from = at;
      } else if (this.#closes(byte)) {
        this.#give(bytes, from, at + 1);
      }
    }
    if (this.#depth > 0 && !this.#ended) this.#hold(bytes, from, end);
  }

  /** Whether `byte` is the last one of the object. */
  #closes(byte: number): boolean {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inText = false;
      return false;
    }
    if (byte === QUOTE) this.#inText = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) this.#depth--;
    return this.#depth === 0;
  }

  #give(bytes: Uint8Array, start: number, end: number): void {
    const held = this.#held;
    this.#checkLength(end - start);
    let wanted: boolean;
    if (held === undefined) wanted = this.#onValue(bytes, start, end);
    else {
      held.append(bytes, start, end);
      this.#held = undefined;
      wanted = this.#onValue(held.bytes, 0, held.length);
    }
    if (!wanted) this.end();
  }

  #hold(bytes: Uint8Array, start: number, end: number): void {
    this.#checkLength(end - start);
    this.#held ??= new ByteWriter(HELD_BYTES_FIRST);
    this.#held.append(bytes, start, end);
  }

  #checkLength(more: number): void {
    const length = this.held + more;
    if (length > this.#bytesMax) throw tooLarge(length, this.#bytesMax);
  }
}

/** gRPC's words for a message over its bound. */
export function tooLarge(bytes: number, bytesMax: number): AetherError {
  const text = `grpc: received message larger than max (${bytes} vs. ${bytesMax})`;
  return new AetherError("answer_too_large", text);
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function noObject(byte: number): AetherError {
  const char = byte > 0x20 && byte < 0x7f ? ` '${String.fromCharCode(byte)}'` : "";
  return new AetherError("invalid_argument", `invalid character${char}, expected a JSON object`);
}
