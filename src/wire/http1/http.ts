/**
 * What a handler of HTTP/1.1 requests sees: the request whole, and a response to give at once or
 * as a stream. Names of fields are lower case everywhere; lists of fields are flat, as in HPACK.
 */

/** The methods we know; any other token is answered 501 before a handler is asked. */
export const HTTP_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
export type HttpMethod = (typeof HTTP_METHODS)[number];

/** Fields of a request, in the order in which they came. */
export class HttpHeaders {
  /** [name, value, …]; names in lower case, values without outer white space, Latin-1. */
  readonly fields: readonly string[];

  constructor(fields: readonly string[]) {
    this.fields = fields;
  }

  /** The value of the field; of several, all of them joined by ", " (RFC 9110 §5.3). */
  get(name: string): string | undefined {
    let found: string | undefined;
    for (let at = 0; at < this.fields.length; at += 2) {
      if (this.fields[at] !== name) continue;
      const value = this.fields[at + 1] as string;
      found = found === undefined ? value : `${found}, ${value}`;
    }
    return found;
  }
}

/** A request that has come in whole. Nothing of it is borrowed: a handler may keep it. */
export interface HttpRequest {
  readonly method: HttpMethod;
  /** The target up to "?", as sent: percent-encoding is left alone. Begins with "/", or is "*". */
  readonly path: string;
  /** What follows the first "?", as it was sent; "" if nothing does. */
  readonly query: string;
  readonly headers: HttpHeaders;
  readonly body: Uint8Array;
  /** Who asks, as net/ names it, for logs and rate limits. */
  readonly peer: string;
  /** Requests of its connection that are under way, this one included; 1 over HTTP/1. */
  readonly siblings: number;
  /** It came over TLS. */
  readonly secure: boolean;
  /** The common name of the client's verified certificate, if it has one. */
  readonly peerName: string | undefined;
}

/** Takes a body, or what follows an upgrade, as it comes. */
export interface BodyReader {
  /** Borrowed bytes. */
  onData(bytes: Uint8Array, start: number, end: number): void;
  /** The client sends no more. */
  onEnd(): void;
  /** Bytes kept of a part that is not whole yet; what holds some must go on within a time. */
  readonly held: number;
}

/**
 * The answer to one request: either end(), or start(), write() any number of times, finish().
 * Once `cancelled` is true every call is ignored. A second answer is our own mistake (assert),
 * as is a field that holds CR, LF or NUL.
 *
 * The connection writes content-length, transfer-encoding and connection itself. The body of an
 * answer to HEAD, and of 204 and 304, is left out.
 */
export interface HttpResponse {
  /** Fields that the head will have besides those it is given; before the answer begins. */
  addFields(fields: readonly string[]): void;
  /**
   * Switches protocols (101): what comes from now on goes to `reader`, what write() is given goes
   * out as it is, and finish() closes. False where that cannot be done: nothing has happened.
   */
  upgrade(fields: readonly string[], reader: BodyReader): boolean;
  /** The whole answer; a string goes out as UTF-8. The body is copied. */
  end(status: number, fields: readonly string[], body: Uint8Array | string): void;
  /** The head of a streamed answer. */
  start(status: number, fields: readonly string[]): void;
  /** A piece of a streamed answer; copied. */
  write(bytes: Uint8Array | string): void;
  /** The end of a streamed answer. */
  finish(): void;
  /** Cuts a streamed answer off, so that nobody takes it for whole. */
  abort(): void;
  /** False: more waits for the socket than should; hold back until onDrain. */
  readonly writable: boolean;
  /** Bytes that wait for the socket. */
  readonly queuedBytes: number;
  /** The peer has gone, or does not read: nobody will see the answer. */
  readonly cancelled: boolean;
  /** Set by the handler; called when `writable` has come back. */
  onDrain: () => void;
  /** Set by the handler; called once if `cancelled` becomes true before the answer has ended. */
  onCancel: () => void;
}

/** Answers a request, now or later. One request of a connection is in its hands at a time. */
export type HttpHandler = (request: HttpRequest, response: HttpResponse) => void;

/**
 * Answers requests whose bodies are not waited for, where the protocol can answer before a body
 * has ended (HTTP/2). `body` of the request is empty; undefined: this one is for the HttpHandler.
 */
export type HttpStreamHandler = (
  request: HttpRequest,
  response: HttpResponse,
) => BodyReader | undefined;
