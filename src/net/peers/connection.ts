/**
 * One connection to a peer with one stream on it: dialed, opened, lost, once. Who wants another
 * makes another.
 *
 *   dialing ── socket up, challenged if there is a secret, stream opened ──▶ greeting
 *      │                                        open ◀── first answer ────────────┘
 *      └───────────── too late, refused, connection lost, close() ──────▶ over
 *
 * Invariants
 *   N1  onOver comes exactly once, unless close() came first, and nothing comes after it
 *   N2  the socket is closed when the stream is over: a stream never shares its connection
 */

import type { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import type { Secret } from "../../base/secret.ts";
import type { ClientCall, ClientCallHandler } from "../../wire/grpc/client-call.ts";
import {
  type ClientConnectionOptions,
  GrpcClientConnection,
} from "../../wire/grpc/client-connection.ts";
import { type Metadata, NO_METADATA } from "../../wire/grpc/metadata.ts";
import { GrpcCode, grpcCodeName } from "../../wire/grpc/status.ts";
import { addressText, parseAddress } from "../address.ts";
import type { CallingSecret } from "./calling-secret.ts";
import { type CallerEnd, UNSEALED } from "./calls.ts";
import { ERROR_FIELD } from "./error-text.ts";
import type { PeerDialer, PeerSocket, PeerTimers } from "./ports.ts";
import type { CallerSession } from "./proofs.ts";
import { BROKEN, type CallSeals } from "./seal.ts";
import { openSession } from "./session.ts";

export interface ConnectionSettings {
  readonly dialer: PeerDialer;
  readonly timers: PeerTimers;
  /** From the dial to the first answer. */
  readonly dialTimeoutMs: number;
  /** A ping after this time without a byte from the peer. */
  readonly keepaliveMs: number;
  /** The connection is given up this long after a ping without any answer. */
  readonly keepaliveTimeoutMs: number;
  /** The cluster's, if it has one. */
  readonly secret: CallingSecret | undefined;
}

/** What the owner of a connection is told. */
export interface ConnectionEvents {
  /** A message of the peer, borrowed; false if it is broken, which ends the connection. */
  onMessage(bytes: Uint8Array, start: number, end: number): boolean;
  /** The stream's queue has room again. */
  onDrain(): void;
  /** If it is there: how long a ping took there and back, about every keepaliveMs. */
  readonly onRoundTrip?: ((ms: number) => void) | undefined;
  /** The connection is over: why, and the code and trailers that the peer gave, if it did. */
  onOver(reason: string, code: GrpcCode, trailers: Metadata): void;
}

export class PeerConnection implements ClientCallHandler {
  readonly #settings: ConnectionSettings;
  readonly #events: ConnectionEvents;
  readonly #path: string;
  readonly #fields: readonly string[];
  readonly #url: string;
  #connection: GrpcClientConnection | undefined;
  /** What this connection proves. */
  #secret: Secret | undefined;
  #session: CallerSession | undefined;
  #call: ClientCall | undefined;
  /** Of the stream's messages. */
  #seals: CallSeals | undefined;
  #socket: PeerSocket | undefined;
  #cancelTimer: () => void = nothing;
  #over = false;

  /** A stream to `path` at `url` with the header fields `fields`; dialed by start(). */
  constructor(
    settings: ConnectionSettings,
    url: string,
    path: string,
    fields: readonly string[],
    events: ConnectionEvents,
  ) {
    this.#settings = settings;
    this.#url = url;
    this.#path = path;
    this.#fields = fields;
    this.#events = events;
  }

  start(): void {
    const { dialer, timers, dialTimeoutMs } = this.#settings;
    this.#cancelTimer = timers.after(dialTimeoutMs, () => {
      this.#lost(`no answer in ${dialTimeoutMs} ms`);
    });
    dialer
      .dial(
        this.#url,
        dialTimeoutMs,
        (nowMs) => this.#connect(nowMs),
        () => this.#lost(this.#connection?.reason || "connection closed"),
      )
      .then(
        (socket) => {
          this.#socket = socket;
          if (this.#over) socket.terminate();
        },
        (error: unknown) => {
          this.#lost(error instanceof Error ? error.message : String(error));
        },
      );
  }

  /** For calls beside the stream; undefined before it is up. */
  get end(): CallerEnd | undefined {
    const grpc = this.#connection;
    if (this.#over || this.#call === undefined || grpc === undefined) return undefined;
    return { grpc, session: this.#session };
  }

  /** Of the stream; undefined where there is no secret, or before it is up. */
  get seals(): CallSeals | undefined {
    return this.#seals;
  }

  /** Bytes which wait here for the peer's window or the system. */
  get pendingBytes(): number {
    const queued = this.#call?.queuedBytes ?? 0;
    return queued + (this.#connection?.output.pending ?? 0);
  }

  /** False: produce no more until onDrain. */
  get writable(): boolean {
    return this.#call?.writable === true;
  }

  /**
   * Sends the one message that is in `out`, with its seal behind it where there is a secret;
   * nothing before the stream is opened or after its end.
   */
  send(out: ByteWriter): void {
    if (this.#over || this.#call === undefined) return;
    this.#seals?.seal(out);
    this.#call.send(out.bytes, 0, out.length);
  }

  /** No more messages from us. */
  halfClose(): void {
    if (!this.#over) this.#call?.halfClose();
  }

  /** Ends without onOver; what is pending is still handed to the system. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#socket?.end();
  }

  onHeaders(): void {
    // the first message is the answer that counts
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#over) return;
    const messageEnd = this.#seals === undefined ? end : this.#seals.open(bytes, start, end);
    if (messageEnd === BROKEN) {
      this.#finish(UNSEALED, GrpcCode.UNAUTHENTICATED, NO_METADATA);
      return;
    }
    this.#cancelTimer();
    if (this.#events.onMessage(bytes, start, messageEnd)) return;
    this.#finish("the peer's answer makes no sense", GrpcCode.INTERNAL, NO_METADATA);
  }

  onDrain(): void {
    if (!this.#over) this.#events.onDrain();
  }

  onEnd(code: GrpcCode, message: string, trailers: Metadata): void {
    let reason = `${grpcCodeName(code)}: ${message}`;
    if (code === GrpcCode.OK) reason = "the peer ended the stream";
    else if (trailers.get(ERROR_FIELD) !== undefined) reason = message; // the detail of a failure
    this.#finish(reason, code, trailers);
  }

  #connect(nowMs: number): GrpcClientConnection {
    const { keepaliveMs, keepaliveTimeoutMs } = this.#settings;
    const { onRoundTrip } = this.#events;
    const connection = new GrpcClientConnection({
      ...clientOptions(this.#url),
      nowMs,
      keepaliveMs,
      keepaliveTimeoutMs,
      ...(onRoundTrip === undefined ? {} : { onRoundTrip }),
    });
    this.#connection = connection;
    void this.#open(connection, nowMs);
    return connection;
  }

  /** Opens the stream, at once where there is no secret. */
  async #open(grpc: GrpcClientConnection, nowMs: number): Promise<void> {
    const { secret, dialTimeoutMs } = this.#settings;
    let fields = this.#fields;
    if (secret !== undefined) {
      this.#secret = secret.at(this.#url);
      try {
        this.#session = await openSession(grpc, this.#secret, nowMs + dialTimeoutMs);
      } catch (error) {
        if (!(error instanceof AetherError)) throw error; // our own mistake: nobody may catch it
        this.#lost(error.detail);
        return;
      }
      const begun = this.#session.begin(this.#path, fields);
      fields = begun.fields;
      this.#seals = begun.seals;
    }
    if (!this.#over) this.#call = grpc.call(this.#path, fields, undefined, this);
  }

  #lost(reason: string): void {
    this.#finish(reason, GrpcCode.UNAVAILABLE, NO_METADATA);
  }

  #finish(reason: string, code: GrpcCode, trailers: Metadata): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    if (code === GrpcCode.UNAUTHENTICATED && this.#secret !== undefined) {
      this.#settings.secret?.refused(this.#url, this.#secret);
    }
    // Not at once: this may run inside the connection, which must not lose its socket meanwhile.
    const socket = this.#socket;
    if (socket !== undefined) queueMicrotask(() => socket.terminate());
    this.#events.onOver(reason, code, trailers);
  }
}

/** How requests to `url` name their server. */
export function clientOptions(url: string): Pick<ClientConnectionOptions, "scheme" | "authority"> {
  const address = parseAddress(url);
  return {
    scheme: address.secure ? "https" : "http",
    authority: address.kind === "unix" ? "localhost" : addressText(address),
  };
}

function nothing(): void {}
