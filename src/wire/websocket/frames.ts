/** The frames of a WebSocket (RFC 6455 §5.2), and how a server writes them. */

export const Opcode = {
  CONTINUATION: 0,
  TEXT: 1,
  BINARY: 2,
  CLOSE: 8,
  PING: 9,
  PONG: 10,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Why a connection ends (§7.4.1). */
export const CloseCode = {
  NORMAL: 1000,
  GOING_AWAY: 1001,
  PROTOCOL_ERROR: 1002,
  TOO_BIG: 1009,
} as const;

/** Set in the first byte: the last frame of its message. */
export const FIN = 0x80;
/** Set in the second byte: the payload is masked, as that of every client is. */
export const MASKED = 0x80;
/** In place of a length: it follows in two bytes, or in eight. */
export const LENGTH_16 = 126;
export const LENGTH_64 = 127;

/** What a control frame carries at most (§5.5). */
export const CONTROL_BYTES_MAX = 125;

/** A frame of a server: not masked. The caller owns it. */
export function putFrame(opcode: Opcode, isLast: boolean, payload: Uint8Array): Buffer {
  const { length } = payload;
  const headBytes = length <= CONTROL_BYTES_MAX ? 2 : length <= 0xffff ? 4 : 10;
  const frame = Buffer.allocUnsafe(headBytes + length);
  frame[0] = (isLast ? FIN : 0) | opcode;
  if (headBytes === 2) frame[1] = length;
  else if (headBytes === 4) {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = LENGTH_64;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.set(payload, headBytes);
  return frame;
}
