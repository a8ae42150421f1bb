/** Drives a connection as net/ would, without a socket, and collects what it writes. */

import type { HttpHandler, HttpRequest, HttpResponse } from "../../../src/wire/http1/http.ts";
import { Http1Connection, type Http1Options } from "../../../src/wire/http1/server-connection.ts";

export interface Seen {
  readonly request: HttpRequest;
  readonly response: HttpResponse;
}

export class Driver {
  readonly connection: Http1Connection;
  readonly seen: Seen[] = [];
  nowMs = 0;
  wakes = 0;

  constructor(handler: HttpHandler = echo, options: Partial<Http1Options> = {}) {
    const watched: HttpHandler = (request, response) => {
      this.seen.push({ request, response });
      handler(request, response);
    };
    this.connection = new Http1Connection({ peer: "tester", handler: watched, ...options }, 0);
    this.connection.onOutput = () => {
      this.wakes++;
    };
  }

  /** Hands over text, in pieces of `step` bytes if given; stops where net would. */
  send(text: string | Uint8Array, step = Number.POSITIVE_INFINITY): this {
    const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
    for (let at = 0; at < bytes.length && !this.connection.closing; at += step) {
      // A copy that is wiped after the call: nothing may be kept of what was borrowed.
      const piece = Uint8Array.from(bytes.subarray(at, Math.min(at + step, bytes.length)));
      this.connection.receive(piece, this.nowMs);
      piece.fill(0x58);
    }
    return this;
  }

  /** Takes what waits for the socket. */
  take(): string {
    const output = this.connection.output;
    const text = output.bytes.toString("latin1", output.start, output.end);
    output.advance(output.pending);
    this.connection.onWritable(this.nowMs);
    return text;
  }

  tickAt(nowMs: number): this {
    this.nowMs = nowMs;
    this.connection.tick(nowMs);
    return this;
  }
}

/** Says what it saw. */
export function echo(request: HttpRequest, response: HttpResponse): void {
  const { method, path, query, headers, body } = request;
  const text = [
    method,
    path,
    query,
    headers.fields.join(","),
    Buffer.from(body).toString("latin1"),
  ];
  response.end(200, [], Buffer.from(text.join("|"), "latin1"));
}

/** The status of each answer in a run of answers with content-length. */
export function statuses(text: string): number[] {
  const found: number[] = [];
  let at = 0;
  while (at < text.length) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) throw new Error(`no end of head in ${JSON.stringify(text.slice(at))}`);
    const head = text.slice(at, end);
    found.push(Number(head.slice(9, 12)));
    const length = /content-length: (\d+)/.exec(head);
    at = end + 4 + Number(length?.[1] ?? 0);
  }
  return found;
}
