/**
 * The head of a request (RFC 9112 §2 to §6), line by line. Where the RFC lets a server be lenient
 * we are not: each leniency is a way for two servers in a row to see different requests in the
 * same bytes (request smuggling), and no client worth having needs it.
 *
 * Lines arrive without CRLF, as Latin-1. They may hold CR or NUL: every grammar here is a list of
 * what is allowed, so those fail with the rest. All functions throw HttpFault.
 */
import { HttpFault } from "./fault.ts";
import { HTTP_METHODS, type HttpHeaders, type HttpMethod } from "./http.ts";

/** The first line, taken apart. */
export interface RequestLine {
  readonly method: HttpMethod;
  readonly path: string;
  readonly query: string;
  /** What an absolute target named as its host; it takes the place of Host (RFC 9112 §3.2.2). */
  readonly authority: string | undefined;
  /** 0 for HTTP/1.0, else 1. */
  readonly minor: 0 | 1;
}

/** What follows the head. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" };

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP\/([0-9])\.([0-9])$/;
const ABSOLUTE_TARGET = /^https?:\/\/([^/?#@]+)(\/[^?#]*)?(\?[^#]*)?$/i;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;
const HOST = /^[A-Za-z0-9._~%!$&'()*+,;=:[\]-]*$/;
const DIGITS = /^[0-9]+$/;

/** Fields of which a second one would leave open which of the two counts. */
const SINGLE = new Set([
  "authorization",
  "content-length",
  "content-type",
  "expect",
  "host",
  "transfer-encoding",
]);

/** Takes the request line apart. 400, 501 for a method or 505 for a version that is not ours. */
export function parseRequestLine(line: string): RequestLine {
  const match = REQUEST_LINE.exec(line);
  if (match === null) throw new HttpFault(400, "malformed request line");
  const [, name = "", target = "", major, minorDigit] = match;
  if (major !== "1") throw new HttpFault(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  const method = HTTP_METHODS.find((known) => known === name);
  if (method === undefined) throw new HttpFault(501, "unknown method");
  const minor = minorDigit === "0" ? 0 : 1;
  if (target === "*") {
    if (method !== "OPTIONS") throw new HttpFault(400, "the target * goes with OPTIONS only");
    return { method, path: "*", query: "", authority: undefined, minor };
  }
  if (target.includes("#")) throw new HttpFault(400, "a target has no fragment");
  if (!target.startsWith("/")) return { method, ...absoluteTarget(target), minor };
  const mark = target.indexOf("?");
  const path = mark < 0 ? target : target.slice(0, mark);
  const query = mark < 0 ? "" : target.slice(mark + 1);
  return { method, path, query, authority: undefined, minor };
}

function absoluteTarget(target: string): Pick<RequestLine, "path" | "query" | "authority"> {
  const match = ABSOLUTE_TARGET.exec(target);
  if (match === null) throw new HttpFault(400, "malformed target");
  const [, authority = "", path = "/", query = ""] = match;
  if (!HOST.test(authority)) throw new HttpFault(400, "malformed host");
  return { path, query: query.slice(1), authority };
}

/**
 * Adds one field line to a flat list, its name in lower case. 400 for any doubt; a folded line
 * (RFC 9112 §5.2) begins with a blank, which no name does.
 */
export function parseField(line: string, fields: string[]): void {
  const match = FIELD_LINE.exec(line);
  if (match === null) throw new HttpFault(400, "malformed field");
  const name = (match[1] as string).toLowerCase();
  if (SINGLE.has(name) && hasField(fields, name)) {
    throw new HttpFault(400, `more than one ${name}`);
  }
  fields.push(name, trimBlanks(match[2] as string));
}

function hasField(fields: readonly string[], name: string): boolean {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return true;
  return false;
}

/** Without spaces and tabs around it; trim() would take 0xa0 as well. */
function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** One Host that is a host (RFC 9112 §3.2); HTTP/1.0 may leave it out. */
export function checkHost(line: RequestLine, headers: HttpHeaders): void {
  const host = headers.get("host");
  if (host === undefined) {
    if (line.minor === 0) return;
    throw new HttpFault(400, "no host");
  }
  if (!HOST.test(host)) throw new HttpFault(400, "malformed host");
}

/** Where the request ends (RFC 9112 §6.3). 400 where two rules could apply, 413, 501. */
export function framingOf(line: RequestLine, headers: HttpHeaders, bodyBytesMax: number): Framing {
  const coding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (coding !== undefined) {
    if (length !== undefined) {
      throw new HttpFault(400, "both content-length and transfer-encoding");
    }
    if (line.minor === 0) throw new HttpFault(400, "transfer-encoding in HTTP/1.0");
    if (coding.toLowerCase() !== "chunked") throw new HttpFault(501, "unknown transfer coding");
    return { kind: "chunked" };
  }
  if (length === undefined) return { kind: "none" };
  if (!DIGITS.test(length)) throw new HttpFault(400, "malformed content-length");
  const bytes = Number(length);
  if (bytes > bodyBytesMax) throw new HttpFault(413, `a body has at most ${bodyBytesMax} bytes`);
  return bytes === 0 ? { kind: "none" } : { kind: "length", bytes };
}

/** Whether the client leaves the connection open for another request (RFC 9112 §9.3). */
export function keepsAlive(line: RequestLine, headers: HttpHeaders): boolean {
  const options = headers.get("connection")?.toLowerCase().split(",") ?? [];
  const named = (option: string): boolean => options.some((each) => each.trim() === option);
  if (named("close")) return false;
  return line.minor === 1 || named("keep-alive");
}

/** Whether the client names a protocol that it would rather speak (RFC 9110 §7.8). */
export function asksForUpgrade(headers: HttpHeaders): boolean {
  if (headers.get("upgrade") === undefined) return false;
  const options = headers.get("connection")?.toLowerCase().split(",") ?? [];
  return options.some((each) => each.trim() === "upgrade");
}

/** Whether the client waits for "100 Continue" before it sends its body; 417 for other wishes. */
export function expectsContinue(line: RequestLine, headers: HttpHeaders): boolean {
  const expect = headers.get("expect");
  if (expect === undefined || line.minor === 0) return false;
  if (expect.toLowerCase() !== "100-continue") throw new HttpFault(417, "unknown expectation");
  return true;
}

const CHUNK_LINE = /^([0-9A-Fa-f]{1,8})((?:;[\t\x20-\x7e\x80-\xff]*)?)$/;

/** The size of a chunk, and how many bytes of extension stood behind it. */
export function parseChunkLine(line: string): { bytes: number; extensionBytes: number } {
  const match = CHUNK_LINE.exec(line);
  if (match === null) throw new HttpFault(400, "malformed chunk size");
  const [, digits = "", extension = ""] = match;
  return { bytes: Number.parseInt(digits, 16), extensionBytes: extension.length };
}
