/**
 * Frames as bytes, written from RFC 9113 §3.4, §4, §6 and §7 alone. This kit imports nothing of
 * src/: a mistake there cannot hide behind the same mistake here.
 */

export const PREFACE = Buffer.from("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a", "hex");

export const Type = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

export const Flag = {
  ACK: 0x01,
  END_STREAM: 0x01,
  END_HEADERS: 0x04,
  PADDED: 0x08,
  PRIORITY: 0x20,
} as const;

export const Code = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const;

export const Setting = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

export const INT31_MAX = 0x7fffffff;
export const WINDOW_INITIAL = 65_535;
export const FRAME_BYTES_INITIAL = 16_384;
export const FRAME_HEADER_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  /** The reserved bit before the stream identifier. */
  readonly reserved: boolean;
  readonly payload: Buffer;
}

const NOTHING = Buffer.alloc(0);

/** A frame; its length is the payload's unless another is claimed. */
export function frame(
  type: number,
  flags: number,
  id: number,
  payload: Uint8Array = NOTHING,
  claimedBytes = payload.length,
): Buffer {
  const head = Buffer.alloc(FRAME_HEADER_BYTES);
  head.writeUIntBE(claimedBytes, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** One setting. */
export type Entry = readonly [id: number, value: number];

export function settings(...entries: readonly Entry[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [at, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  }
  return frame(Type.SETTINGS, 0, 0, payload);
}

export const SETTINGS_ACK = frame(Type.SETTINGS, Flag.ACK, 0);

/** `text` has eight characters. */
export function ping(text: string, flags = 0): Buffer {
  return frame(Type.PING, flags, 0, Buffer.from(text, "latin1"));
}

export function goaway(lastId: number, code: number): Buffer {
  return frame(Type.GOAWAY, 0, 0, uint32(lastId, code));
}

export function windowUpdate(id: number, increment: number): Buffer {
  return frame(Type.WINDOW_UPDATE, 0, id, uint32(increment));
}

export function reset(id: number, code: number): Buffer {
  return frame(Type.RST_STREAM, 0, id, uint32(code));
}

export function data(id: number, payload: Uint8Array | string, flags = 0): Buffer {
  return frame(Type.DATA, flags, id, Buffer.from(payload));
}

export function headers(id: number, block: Uint8Array, flags: number = Flag.END_HEADERS): Buffer {
  return frame(Type.HEADERS, flags, id, block);
}

export function continuation(
  id: number,
  block: Uint8Array,
  flags: number = Flag.END_HEADERS,
): Buffer {
  return frame(Type.CONTINUATION, flags, id, block);
}

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, at * 4);
  return bytes;
}

/** The frames that lie whole in `bytes`, and what is left. */
export function cut(bytes: Buffer): { readonly frames: Frame[]; readonly rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= FRAME_HEADER_BYTES) {
    const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const word = bytes.readUInt32BE(at + 5);
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      id: word & INT31_MAX,
      reserved: word > INT31_MAX,
      payload: bytes.subarray(at + FRAME_HEADER_BYTES, end),
    });
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

/** "RST_STREAM", "type 99". */
export function typeName(type: number): string {
  return nameOf(Type, type) ?? `type ${type}`;
}

/** "PROTOCOL_ERROR", "code 99". */
export function codeName(code: number): string {
  return nameOf(Code, code) ?? `code ${code}`;
}

function nameOf(table: Readonly<Record<string, number>>, value: number): string | undefined {
  return Object.keys(table).find((name) => table[name] === value);
}
