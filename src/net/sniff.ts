/**
 * Which protocol does a connection speak? HTTP/2 with prior knowledge begins with a fixed preface
 * (RFC 9113 §3.4) whose first word is no HTTP/1 method, so its first four bytes decide: what
 * starts with "PRI " and goes on otherwise is neither, and the HTTP/2 connection says so.
 * "P" may still become POST, "PR" PROPFIND: until a byte differs, or four agree, nothing is known.
 */
import { latin1 } from "../base/bytes.ts";

export type Protocol = "http1" | "http2";

const PREFACE_START = "PRI ";

/** The protocol of bytes that begin a connection; undefined while more are needed. */
export function sniff(bytes: Uint8Array): Protocol | undefined {
  const start = latin1(bytes, 0, Math.min(bytes.length, PREFACE_START.length));
  if (start === PREFACE_START) return "http2";
  return PREFACE_START.startsWith(start) ? undefined : "http1";
}

/** The record type of a TLS handshake (RFC 8446 §5.1), with which no HTTP begins. */
const HANDSHAKE_RECORD = 22;

/** Whether bytes that begin a connection begin TLS: the first of them tells. */
export function isTlsHandshake(bytes: Uint8Array): boolean {
  return bytes[0] === HANDSHAKE_RECORD;
}
