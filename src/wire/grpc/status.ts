/**
 * gRPC status codes and the percent-encoding of `grpc-message` (gRPC over HTTP/2, "Responses").
 */

/** The canonical codes; the numbers are on the wire. */
export const GrpcCode = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;
export type GrpcCode = (typeof GrpcCode)[keyof typeof GrpcCode];

const NAMES = Object.keys(GrpcCode);

/** "NOT_FOUND" for 5; "CODE_99" for a number outside the table. */
export function grpcCodeName(code: number): string {
  return NAMES[code] ?? `CODE_${code}`;
}

/** The code of a `grpc-status` value; UNKNOWN for what is not one of the table's numbers. */
export function grpcCodeOf(text: string): GrpcCode {
  if (!/^\d{1,2}$/.test(text)) return GrpcCode.UNKNOWN;
  const code = Number(text);
  return code < NAMES.length ? (code as GrpcCode) : GrpcCode.UNKNOWN;
}

/** The wire form of a message: UTF-8, bytes outside 0x20-0x7e and `%` as %XX. */
export function encodeGrpcMessage(message: string): string {
  if (/^[\x20-\x24\x26-\x7e]*$/.test(message)) return message;
  const bytes = Buffer.from(message, "utf8");
  let text = "";
  for (const byte of bytes) {
    if (byte >= 0x20 && byte <= 0x7e && byte !== 0x25) text += String.fromCharCode(byte);
    else text += `%${byte < 16 ? "0" : ""}${byte.toString(16).toUpperCase()}`;
  }
  return text;
}

/** The reverse; a broken escape stays as it is, since a status must never be lost to its text. */
export function decodeGrpcMessage(text: string): string {
  if (!text.includes("%")) return Buffer.from(text, "latin1").toString("utf8");
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    const hex = text.slice(at + 1, at + 3);
    if (text.charCodeAt(at) === 0x25 && /^[0-9a-fA-F]{2}$/.test(hex)) {
      bytes[length++] = Number.parseInt(hex, 16);
      at += 2;
    } else {
      bytes[length++] = text.charCodeAt(at);
    }
  }
  return bytes.toString("utf8", 0, length);
}
