/**
 * What a client sends over a WebSocket, in any chunking: frames to messages (RFC 6455 §5, §6).
 * Whatever breaks a rule is told to the sink as the code to close with, once; then all that comes
 * is dropped. Extensions are not spoken, so the reserved bits must be zero.
 *
 * Invariant: what is held is at most one frame's head, one control frame and one message.
 */
import { asBuffer, ByteWriter } from "../../base/bytes.ts";
import type { BodyReader } from "../http1/http.ts";
import {
  CloseCode,
  CONTROL_BYTES_MAX,
  FIN,
  LENGTH_16,
  LENGTH_64,
  MASKED,
  Opcode,
} from "./frames.ts";

/** What happens on the connection. */
export interface WebSocketSink {
  /** A whole message, borrowed. Texts and bytes are not told apart. */
  onMessage(bytes: Uint8Array, start: number, end: number): void;
  /** To be answered with a pong of the same payload, which is the sink's. */
  onPing(payload: Uint8Array): void;
  /** The client has closed, or must be closed with `code`. The last event. */
  onClose(code: number): void;
}

interface Head {
  readonly opcode: number;
  readonly isLast: boolean;
  readonly length: number;
  /** Where the mask begins; the payload follows its four bytes. */
  readonly maskAt: number;
}

const RESERVED_BITS = 0x70;
const CONTROL_BIT = 0x08;
const MASK_BYTES = 4;
const MESSAGE_BYTES_FIRST = 1024;

/** A close code that a client may send (§7.4); others are answered as errors. */
const isCloseCode = (code: number): boolean =>
  (code >= 1000 && code <= 1011 && ![1004, 1005, 1006].includes(code)) ||
  (code >= 3000 && code <= 4999);

export class WebSocketReader implements BodyReader {
  readonly #sink: WebSocketSink;
  readonly #messageBytesMax: number;
  /** Bytes of a frame that is not whole. */
  #input: ByteWriter | undefined = undefined;
  #message: ByteWriter | undefined = undefined;
  #closed = false;

  /** Messages longer than `messageBytesMax` end the connection. */
  constructor(sink: WebSocketSink, messageBytesMax: number) {
    this.#sink = sink;
    this.#messageBytesMax = messageBytesMax;
  }

  get held(): number {
    return (this.#input?.length ?? 0) + (this.#message?.length ?? 0);
  }

  onData(bytes: Uint8Array, start: number, end: number): void {
    if (this.#closed) return;
    const held = this.#input;
    if (held === undefined) {
      const at = this.#readFrames(asBuffer(bytes), start, end);
      if (this.#closed || at === end) return;
      this.#input = new ByteWriter(MESSAGE_BYTES_FIRST);
      this.#input.append(bytes, at, end);
      return;
    }
    held.append(bytes, start, end);
    const at = this.#readFrames(held.bytes, 0, held.length);
    held.bytes.copyWithin(0, at, held.length);
    held.length -= at;
    if (this.#closed || held.length === 0) this.#input = undefined;
  }

  /** Reads what is whole; returns where the rest begins. */
  #readFrames(input: Buffer, start: number, end: number): number {
    let at = start;
    while (!this.#closed) {
      const head = this.#readHead(input, at, end);
      if (head === undefined) break;
      const payloadAt = head.maskAt + MASK_BYTES;
      if (end < payloadAt + head.length) break;
      at = payloadAt + head.length;
      this.#onFrame(head, unmasked(input, head));
    }
    return at;
  }

  /** We are going away. */
  onEnd(): void {
    this.#close(CloseCode.GOING_AWAY);
  }

  /** Undefined until the head is whole, or when the connection must end. */
  #readHead(input: Buffer, at: number, end: number): Head | undefined {
    if (end < at + 2) return undefined;
    const first = input[at] as number;
    const second = input[at + 1] as number;
    const opcode = first & 0x0f;
    const isLast = (first & FIN) !== 0;
    const short = second & 0x7f;
    if (!this.#isAllowed(first, second)) {
      this.#close(CloseCode.PROTOCOL_ERROR);
      return undefined;
    }
    const lengthBytes = short === LENGTH_16 ? 2 : short === LENGTH_64 ? 8 : 0;
    if (end < at + 2 + lengthBytes) return undefined;
    let length = short;
    if (short === LENGTH_16) length = input.readUInt16BE(at + 2);
    else if (short === LENGTH_64) length = Number(input.readBigUInt64BE(at + 2));
    if (length + (this.#message?.length ?? 0) > this.#messageBytesMax) {
      this.#close(CloseCode.TOO_BIG);
      return undefined;
    }
    return { opcode, isLast, length, maskAt: at + 2 + lengthBytes };
  }

  #isAllowed(first: number, second: number): boolean {
    const opcode = first & 0x0f;
    if ((first & RESERVED_BITS) !== 0 || (second & MASKED) === 0) return false;
    if ((opcode & CONTROL_BIT) !== 0) {
      const isWhole = (first & FIN) !== 0 && (second & 0x7f) <= CONTROL_BYTES_MAX;
      return isWhole && opcode <= Opcode.PONG;
    }
    // A message goes on exactly where one has begun.
    return (
      opcode <= Opcode.BINARY && (opcode === Opcode.CONTINUATION) === (this.#message !== undefined)
    );
  }

  #onFrame({ opcode, isLast }: Head, payload: Buffer): void {
    if (opcode === Opcode.PING) this.#sink.onPing(payload);
    else if (opcode === Opcode.CLOSE) this.#onCloseFrame(payload);
    else if (opcode !== Opcode.PONG) this.#onPart(isLast, payload);
  }

  #onPart(isLast: boolean, payload: Buffer): void {
    if (isLast && this.#message === undefined) {
      this.#sink.onMessage(payload, 0, payload.length);
      return;
    }
    const message = this.#message ?? new ByteWriter(MESSAGE_BYTES_FIRST);
    message.append(payload);
    this.#message = isLast ? undefined : message;
    if (isLast) this.#sink.onMessage(message.bytes, 0, message.length);
  }

  #onCloseFrame(payload: Buffer): void {
    if (payload.length === 0) this.#close(CloseCode.NORMAL);
    else {
      const code = payload.length < 2 ? 0 : payload.readUInt16BE(0);
      this.#close(isCloseCode(code) ? code : CloseCode.PROTOCOL_ERROR);
    }
  }

  #close(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#message = undefined;
    this.#sink.onClose(code);
  }
}

/** A copy of the payload without its mask (§5.3). */
function unmasked(input: Buffer, { maskAt, length }: Head): Buffer {
  const payloadAt = maskAt + MASK_BYTES;
  const payload = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) {
    payload[at] = (input[payloadAt + at] as number) ^ (input[maskAt + (at & 3)] as number);
  }
  return payload;
}
