/** The numbers of HTTP/2 (RFC 9113 §4.1, §6, §7) and its preface (§3.4). */

/** Frame types, §6. */
export const FrameType = {
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

/** Frame flags, §6; ACK and END_STREAM share a bit on different types. */
export const Flag = {
  ACK: 0x01,
  END_STREAM: 0x01,
  END_HEADERS: 0x04,
  PADDED: 0x08,
  PRIORITY: 0x20,
} as const;

/** Setting identifiers, §6.5.2. */
export const SettingId = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
} as const;

/** Error codes, §7. */
export const Http2Code = {
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
export type Http2Code = (typeof Http2Code)[keyof typeof Http2Code];

const CODE_NAMES = Object.keys(Http2Code);

/** "CANCEL" for 8; unknown codes have no special meaning (§7) and show their number. */
export function http2CodeName(code: number): string {
  return CODE_NAMES[code] ?? `code ${code}`;
}

/** What a client sends first, §3.4. Whoever sniffs a socket looks for it. */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Length 3, type 1, flags 1, stream id 4 (§4.1). */
export const FRAME_HEADER_BYTES = 9;

/** Both ends must take frames of this size, and start with it (§4.2). */
export const FRAME_BYTES_DEFAULT = 16_384;

/** The largest legal SETTINGS_MAX_FRAME_SIZE (§6.5.2). */
export const FRAME_BYTES_LARGEST = 16_777_215;

/** Every window starts here (§6.9.2). */
export const WINDOW_BYTES_DEFAULT = 65_535;

/** No window may exceed it (§6.9.1); also the largest stream id (§5.1.1). */
export const INT31_MAX = 2_147_483_647;
