/**
 * One HTTP/1.1 connection, the server's side: requests are read, handed over one at a time, and
 * answered in the order in which they came. Pipelined requests wait as bytes, so order needs no
 * bookkeeping and a client that sends faster than it is answered only fills its own bound.
 *
 * Whatever the peer does wrong is answered (400, 408, 413, 414, 417, 431, 501, 505) and ends the
 * connection: after a fault nobody knows where the next request would begin.
 *
 * Invariants: at most one exchange is open; no byte is read after `closing`; the deadlines of
 * reading stand still while we owe an answer, that of writing never does.
 */
import { OutputBuffer, type ProtocolConnection } from "../connection.ts";
import type { MemoryAccount } from "../memory.ts";
import { Exchange, type ExchangeOwner } from "./exchange.ts";
import { HttpFault } from "./fault.ts";
import { asksForUpgrade } from "./head.ts";
import type { BodyReader, HttpHandler } from "./http.ts";
import {
  HTTP_LIMITS,
  type HttpLimits,
  INPUT_BYTES_MAX,
  INPUT_PAUSE_BYTES,
  OUTPUT_HIGH_BYTES,
} from "./limits.ts";
import { type ReadPhase, type ReadRequest, RequestReader } from "./request-reader.ts";

export interface Http1Options {
  /** Who is at the other end, as handlers and logs shall name it. */
  readonly peer: string;
  readonly handler: HttpHandler;
  /** The connection is inside TLS. */
  readonly secure?: boolean;
  /** The common name of the client's verified certificate. */
  readonly peerName?: string | undefined;
  /** HTTP_LIMITS if left out. */
  readonly limits?: HttpLimits;
  /** Of this connection; it is closed with it. */
  readonly memory?: MemoryAccount;
}

const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
const PLAIN_TEXT = ["content-type", "text/plain; charset=utf-8"];

/** See ProtocolConnection for what net/ owes it. What a handler throws passes through. */
export class Http1Connection implements ProtocolConnection {
  readonly output: OutputBuffer;
  onOutput: () => void = nothing;
  readonly #options: Http1Options;
  readonly #limits: HttpLimits;
  readonly #reader: RequestReader;
  readonly #owner: ExchangeOwner;
  #exchange: Exchange | undefined;
  /** Takes what comes since the protocol was switched. */
  #upgraded: BodyReader | undefined;
  #closing = false;
  #draining = false;
  #running = false;
  #nowMs: number;
  #phase: ReadPhase = "head"; // the first request is due at once: no idle time before it
  #phaseSinceMs: number;
  #takenBefore = 0;
  #takenSinceMs: number;

  /** `nowMs` is when the connection was opened: its first deadline counts from there. */
  constructor(options: Http1Options, nowMs: number) {
    this.#options = options;
    this.#limits = options.limits ?? HTTP_LIMITS;
    this.output = new OutputBuffer(undefined, options.memory);
    this.#reader = new RequestReader(this.#limits, options.memory);
    this.#nowMs = nowMs;
    this.#phaseSinceMs = nowMs;
    this.#takenSinceMs = nowMs;
    this.output.onFill = () => this.onOutput();
    this.#owner = {
      output: this.output,
      staysOpen: () => !this.#draining,
      done: (close) => this.#answered(close),
      upgraded: (reader) => {
        this.#upgraded = reader;
      },
      abort: () => {
        this.#exchange = undefined;
        this.#drop();
        this.onOutput(); // net looks at `closing` when it has written
      },
    };
  }

  get closing(): boolean {
    return this.#closing;
  }

  get paused(): boolean {
    // Without an answer that we owe, what is held is less than a line.
    return this.output.pending > OUTPUT_HIGH_BYTES || this.#reader.heldBytes >= INPUT_PAUSE_BYTES;
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    if (this.#closing) return;
    this.#nowMs = nowMs;
    if (this.#upgraded !== undefined) {
      this.#phaseSinceMs = nowMs;
      this.#upgraded.onData(bytes, 0, bytes.length);
      return;
    }
    this.#reader.push(bytes);
    this.#run();
    if (this.#reader.heldBytes > INPUT_BYTES_MAX && !this.#closing) this.#drop();
  }

  onWritable(nowMs: number): void {
    if (this.#closing) return;
    this.#nowMs = nowMs;
    this.#exchange?.drained();
    this.#run();
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#hasStalled(nowMs) || this.#stoppedHalfWay(nowMs) || this.#holdsTooMuch()) {
      this.#drop();
    }
    if (this.#closing) return;
    this.output.trim();
    this.#reader.trim();
    if (this.#exchange !== undefined || this.output.pending > OUTPUT_HIGH_BYTES) return;
    if (nowMs - this.#phaseSinceMs < this.#phaseMsMax()) return;
    if (this.#reader.phase === "idle") this.#closing = true;
    else this.#refuse(new HttpFault(408, `no whole ${this.#phase} in time`));
  }

  /** The socket is gone. */
  closed(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#drop();
    this.#options.memory?.close();
  }

  /** Answers what has begun, says `connection: close` with it, then closes. */
  shutdown(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#draining = true;
    if (this.#exchange === undefined && this.#reader.phase === "idle") this.#closing = true;
    this.#upgraded?.onEnd();
  }

  /** Reads and hands over requests until one is in hand, or bytes or room for output run out. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#mayRead() && this.#readOne()) {
        // A handler that answers at once leaves no exchange open: on to the next request.
      }
    } finally {
      this.#running = false;
    }
    this.#notePhase();
  }

  #mayRead(): boolean {
    if (this.#closing || this.#exchange !== undefined) return false;
    return this.output.pending <= OUTPUT_HIGH_BYTES;
  }

  /** False if nothing more can be read now. */
  #readOne(): boolean {
    let request: ReadRequest | undefined;
    try {
      request = this.#reader.read();
    } catch (error) {
      if (!(error instanceof HttpFault)) throw error;
      this.#refuse(error);
      return false;
    }
    if (request === undefined) {
      if (this.#reader.takeContinue()) this.output.append(CONTINUE, 0, CONTINUE.length);
      return false;
    }
    this.#handOver(request);
    return true;
  }

  #handOver({ line, headers, body, keepAlive }: ReadRequest): void {
    const { method, path, query, minor } = line;
    const { peer, peerName, secure = false, handler } = this.#options;
    const mayUpgrade = minor === 1 && asksForUpgrade(headers) && body.length === 0;
    const kind = { headOnly: method === "HEAD", minor, keepAlive, mayUpgrade };
    const exchange = new Exchange(this.#owner, kind);
    this.#exchange = exchange;
    const who = { peer, peerName, secure, siblings: 1 };
    handler({ method, path, query, headers, body, ...who }, exchange);
    if (this.#upgraded !== undefined) this.#reader.passOn(this.#upgraded);
  }

  #answered(close: boolean): void {
    this.#exchange = undefined;
    this.#phase = "idle";
    this.#phaseSinceMs = this.#nowMs;
    if (close || (this.#draining && this.#reader.phase === "idle")) this.#closing = true;
    // The next request is read when this answer has been written: its handler must not be called
    // while that of this one is still at work.
    if (this.output.pending === 0) this.onOutput();
  }

  #refuse(fault: HttpFault): void {
    const kind = { headOnly: false, minor: 1, keepAlive: false, mayUpgrade: false } as const;
    new Exchange(this.#owner, kind).end(fault.status, PLAIN_TEXT, `${fault.message}\n`);
    this.#reader.discard();
  }

  /** More than its share, while all connections hold too much: it is one of the greediest. */
  #holdsTooMuch(): boolean {
    const { memory } = this.#options;
    memory?.estimate(this.#upgraded?.held ?? 0);
    return memory?.mustEnd() === true;
  }

  /** Nothing more is read, written or answered. */
  #drop(): void {
    this.#closing = true;
    this.output.discard();
    this.#reader.discard();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#upgraded = undefined;
    exchange?.cancel();
  }

  #notePhase(): void {
    const phase = this.#reader.phase;
    // Only an answered request makes the connection idle: a new one has none of that time.
    if (phase === "idle" || phase === this.#phase) return;
    this.#phase = phase;
    this.#phaseSinceMs = this.#nowMs;
  }

  #phaseMsMax(): number {
    if (this.#phase === "head") return this.#limits.headMsMax;
    return this.#phase === "body" ? this.#limits.bodyMsMax : this.#limits.idleMsMax;
  }

  /** In another protocol: a part was begun, and nothing more of it comes. */
  #stoppedHalfWay(nowMs: number): boolean {
    if (this.#upgraded === undefined || this.#upgraded.held === 0) return false;
    return nowMs - this.#phaseSinceMs >= this.#limits.bodyMsMax;
  }

  /** Also after `closing`: a last answer that nobody takes must not hold the socket for ever. */
  #hasStalled(nowMs: number): boolean {
    const output = this.output;
    if (output.pending > 0 && output.taken === this.#takenBefore) {
      return nowMs - this.#takenSinceMs >= this.#limits.stallMsMax;
    }
    this.#takenBefore = output.taken;
    this.#takenSinceMs = nowMs;
    return false;
  }
}

function nothing(): void {}
