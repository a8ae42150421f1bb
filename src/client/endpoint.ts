/**
 * One address of a channel and the connection to it, made when it is first needed.
 *
 *   idle ──connect──▶ dialing ──up──▶ ready ──lost after a while──▶ idle
 *                        │ failed        │ lost at once
 *                        ▼               ▼
 *                     waiting (exponential, with jitter) ──time──▶ dialing on the next connect
 *
 * A connection that the server asked to leave (GOAWAY) is dropped from here and drains alone.
 */
import { AetherError } from "../base/errors.ts";
import type { Random } from "../base/ports.ts";
import { type Address, addressText } from "../net/address.ts";
import { type DialOptions, dial } from "../net/dialer.ts";
import type { Link } from "../net/link.ts";
import type { Network } from "../net/network.ts";
import type { ClientTls } from "../net/tls.ts";
import {
  type ClientConnectionOptions,
  GrpcClientConnection,
} from "../wire/grpc/client-connection.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { GrpcError } from "./grpc-error.ts";
import { jittered } from "./retry.ts";

/** After the first failure. A server that restarts is back within a few of these. */
export const BACKOFF_MS_MIN = 100;
/** Growth ends here: a cluster that heals should be found within seconds. */
export const BACKOFF_MS_MAX = 3_000;
/** A connection that lived this long was a good one: its loss is no reason to wait. */
const STABLE_MS = 1_000;

export interface EndpointOptions {
  readonly network: Network;
  readonly random: Random;
  /** Beside what the endpoint itself knows. */
  readonly connection: Partial<ClientConnectionOptions>;
  readonly tls: ClientTls | undefined;
  readonly dialTimeoutMs: number;
}

/** Why a connection ended whose server just closed it (wire/http2/session.ts). */
const CLOSED = "connection closed";

const SILENT = "no SETTINGS in time";

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "dialing"; readonly result: Promise<GrpcClientConnection> }
  | {
      readonly kind: "ready";
      readonly connection: GrpcClientConnection;
      readonly link: Link;
      readonly sinceMs: number;
    }
  | { readonly kind: "waiting"; readonly untilMs: number; readonly reason: unknown }
  | { readonly kind: "closed" };

const IDLE: State = { kind: "idle" };

export class Endpoint {
  readonly text: string;
  readonly #address: Address;
  readonly #options: EndpointOptions;
  readonly #links = new Set<Link>();
  #state: State = IDLE;
  #failures = 0;

  constructor(address: Address, options: EndpointOptions) {
    this.#address = address;
    this.#options = options;
    this.text = addressText(address);
  }

  /** The connection if it is up and takes calls. */
  get ready(): GrpcClientConnection | undefined {
    const state = this.#state;
    if (state.kind !== "ready") return undefined;
    if (state.connection.accepting) return state.connection;
    this.#leave(state.sinceMs);
    return undefined;
  }

  /** When a dial makes sense again: 0 for now, or a time on the network's clock. */
  get retryAtMs(): number {
    return this.#state.kind === "waiting" ? this.#state.untilMs : 0;
  }

  /** Why the last dial failed, while the endpoint waits. */
  get reason(): unknown {
    return this.#state.kind === "waiting" ? this.#state.reason : undefined;
  }

  /** The same as the error of a call that nobody took. */
  get failure(): GrpcError | undefined {
    return this.reason === undefined ? undefined : unreachable(this.text, this.reason);
  }

  /** The connection, dialed unless it is up. Rejects with GrpcError UNAVAILABLE, unprocessed. */
  connect(): Promise<GrpcClientConnection> {
    const ready = this.ready;
    if (ready !== undefined) return Promise.resolve(ready);
    const state = this.#state;
    if (state.kind === "dialing") return state.result;
    if (state.kind === "closed") return Promise.reject(unreachable(this.text, undefined));
    const result = this.#dial();
    this.#state = { kind: "dialing", result };
    return result;
  }

  /** Ends every connection to this address; calls that run are cancelled. */
  close(): void {
    this.#state = { kind: "closed" };
    for (const link of this.#links) link.end();
  }

  async #dial(): Promise<GrpcClientConnection> {
    const { network, tls, dialTimeoutMs } = this.#options;
    const startMs = network.nowMs();
    const connection = this.#makeConnection(startMs);
    let link: Link | undefined;
    let broken: Error | undefined;
    const options: DialOptions = {
      address: this.#address,
      timeoutMs: dialTimeoutMs,
      connect: () => connection,
      onBroken: (error) => {
        broken = error;
      },
      onClosed: () => this.#lost(link),
      ...(tls === undefined ? {} : { tls }),
    };
    try {
      link = await dial(network, options);
      this.#links.add(link);
      await untilReady(connection, link, startMs + dialTimeoutMs - network.nowMs());
    } catch (error) {
      const why = broken ?? (link === undefined ? error : this.#unspoken(error));
      this.#failed(why);
      link?.terminate();
      throw unreachable(this.text, why);
    }
    if (this.#state.kind === "closed") {
      link.end();
      throw unreachable(this.text, undefined);
    }
    this.#state = { kind: "ready", connection, link, sinceMs: network.nowMs() };
    return connection;
  }

  /**
   * Somebody is there and has not said a word of HTTP/2. In TLS 1.3 the server looks at our
   * certificate when we think already that all is well (RFC 8446 §4.4.2), and may just close.
   */
  #unspoken(error: unknown): unknown {
    const { secure } = this.#address;
    const reason = error instanceof Error ? error.message : String(error);
    if (reason === SILENT) return error;
    if (reason !== CLOSED) {
      return new Error(`it does not speak HTTP/2: ${reason}`, { cause: error });
    }
    const guess = secure ? "does it want a certificate of ours, or another" : "does it speak TLS";
    return new Error(`${reason}: ${guess}?`, { cause: error });
  }

  #makeConnection(nowMs: number): GrpcClientConnection {
    const address = this.#address;
    return new GrpcClientConnection({
      ...this.#options.connection,
      scheme: address.secure ? "https" : "http",
      // A unix socket has no authority of its own; "localhost" is usual.
      authority: address.kind === "unix" ? "localhost" : this.text,
      nowMs,
    });
  }

  #lost(link: Link | undefined): void {
    if (link !== undefined) this.#links.delete(link);
    const state = this.#state;
    if (state.kind === "ready" && state.link === link) this.#leave(state.sinceMs);
  }

  /** The connection that was up since then is no more, or going. */
  #leave(sinceMs: number): void {
    if (this.#options.network.nowMs() - sinceMs < STABLE_MS) {
      this.#failed(undefined);
      return;
    }
    this.#failures = 0;
    this.#state = IDLE;
  }

  #failed(reason: unknown): void {
    if (this.#state.kind === "closed") return;
    const { network, random } = this.#options;
    const plainMs = Math.min(BACKOFF_MS_MIN * 2 ** this.#failures, BACKOFF_MS_MAX);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#state = { kind: "waiting", untilMs: network.nowMs() + jittered(plainMs, random), reason };
  }
}

/**
 * Resolves when the server's SETTINGS have come. Calls wait for them, since what was sent to a
 * server that never spoke might have been processed as far as we know, and could not be retried.
 */
function untilReady(connection: GrpcClientConnection, link: Link, msMax: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error(SILENT)), Math.max(msMax, 0));
  const look = (): void => {
    if (connection.ready) resolve();
    else if (link.closed || !connection.accepting) {
      reject(new Error(connection.reason === "" ? "closed by the server" : connection.reason));
    }
  };
  connection.onChange = look;
  look();
  return promise.finally(() => {
    clearTimeout(timer);
    connection.onChange = ignore;
  });
}

/** Nothing was sent to `text`. */
function unreachable(text: string, cause: unknown): GrpcError {
  const why = cause instanceof Error ? cause.message : "closed";
  // What dial() says names the address already.
  const message = cause instanceof AetherError ? cause.detail : `${text}: ${why}`;
  return new GrpcError(GrpcCode.UNAVAILABLE, message, { unprocessed: true, cause });
}

function ignore(): void {}
