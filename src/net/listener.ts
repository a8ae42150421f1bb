/**
 * A listening address and the connections it accepted. One port speaks HTTP/2 (gRPC) and HTTP/1
 * (health, metrics, the JSON gateway), with or without TLS: ALPN says which, or the first bytes
 * do. The protocols themselves are handed in as factories.
 *
 * Limits: connections per listener; time for the TLS handshake and for the bytes that tell the
 * protocol (slow-loris). What a connection must do later in time is the protocol's own business.
 * stop() says good-bye on each connection and waits; what is left at the end is cut.
 */
import { lstatSync, unlinkSync } from "node:fs";
import type { PeerCertificate } from "node:tls";
import type { Socket, SocketHandler, SocketListener } from "bun";
import { AetherError } from "../base/errors.ts";
import type { ProtocolConnection } from "../wire/connection.ts";
import type { Address } from "./address.ts";
import { addressText, hostPort } from "./address.ts";
import { Link, type Traffic } from "./link.ts";
import type { Network } from "./network.ts";
import { connectionsWithin } from "./open-files.ts";
import { type Protocol, sniff } from "./sniff.ts";
import { linkHandlers, type Slot } from "./socket-handlers.ts";
import { type ServerTls, serverTlsOptions } from "./tls.ts";

/** Connections of one listener. An idle HTTP/2 one costs 12 KB (measured), so 20,000 are 240 MB,
 * as much as one may spend on clients that do nothing. Fewer where files are scarce. */
export const CONNECTIONS_MAX = 20_000;
/** From accept to the end of the TLS handshake. */
export const HANDSHAKE_MS_MAX = 10_000;
/** From there to the bytes that tell the protocol; clients send their preface at once. */
export const PREFACE_MS_MAX = 5_000;

/** Who is on the other side. */
export interface Peer {
  /** `host:port`, or `unix` for a unix socket. */
  readonly address: string;
  /** The client's verified certificate; undefined on plaintext or when it showed none. */
  readonly certificate: PeerCertificate | undefined;
}

/** Makes the protocol's side of an accepted connection; its deadlines count from `nowMs`. */
export type ConnectionFactory = (peer: Peer, nowMs: number) => ProtocolConnection;

export interface ListenOptions {
  readonly address: Address;
  /** Needed when the address is secure, refused when it is not. */
  readonly tls?: ServerTls;
  readonly http1: ConnectionFactory;
  readonly http2: ConnectionFactory;
  /** By default CONNECTIONS_MAX, or three quarters of the files that the process may open. */
  readonly connectionsMax?: number;
}

/** Counters for metrics; connections beyond the limit are only refused, never accepted. */
export interface ListenerTraffic extends Traffic {
  acceptedCount: number;
  refusedCount: number;
}

/** Listens at once. Throws AetherError invalid_argument when address and TLS do not fit, and the
 * system's error (EADDRINUSE, EACCES, …) with the address in its message when it cannot. */
export async function listen(network: Network, options: ListenOptions): Promise<Listener> {
  if (options.address.secure !== (options.tls !== undefined)) {
    throw new AetherError("invalid_argument", `${addressText(options.address)}: TLS or not?`);
  }
  if (options.address.kind === "unix") await removeStaleSocket(options.address.path);
  return new Listener(network, options);
}

export class Listener {
  readonly traffic: ListenerTraffic = {
    receivedBytes: 0,
    sentBytes: 0,
    acceptedCount: 0,
    refusedCount: 0,
  };
  readonly #network: Network;
  readonly #options: ListenOptions;
  readonly #connectionsMax: number;
  readonly #links = new Set<Link>();
  readonly #server: SocketListener<Slot>;
  #onEmpty: (() => void) | undefined;
  #stopped = false;

  /** Use listen(). */
  constructor(network: Network, options: ListenOptions) {
    this.#network = network;
    this.#options = options;
    this.#connectionsMax = options.connectionsMax ?? connectionsWithin(CONNECTIONS_MAX);
    this.#server = bind(options, this.#handlers());
  }

  /** The address listened on, with the port the system gave when 0 was asked for. */
  get address(): Address {
    const { address } = this.#options;
    if (address.kind === "unix") return address;
    return { ...address, port: (this.#server as Bun.TCPSocketListener<Slot>).port };
  }

  get connectionCount(): number {
    return this.#links.size;
  }

  /**
   * Accepts no more, lets every connection finish its calls for up to `graceMs`, then cuts what
   * is left. Resolves when no connection is open. A second call may shorten the time.
   */
  async stop(graceMs: number): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true;
      this.#server.stop(false);
      for (const link of [...this.#links]) link.shutdown();
    }
    if (this.#links.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const earlier = this.#onEmpty;
    this.#onEmpty = () => {
      earlier?.();
      resolve();
    };
    const timer = setTimeout(() => this.#terminateAll(), graceMs);
    await promise;
    clearTimeout(timer);
  }

  #terminateAll(): void {
    for (const link of [...this.#links]) link.terminate();
  }

  #handlers(): SocketHandler<Slot> {
    return {
      ...linkHandlers(this.#network.log),
      open: (socket) => this.#open(socket),
      handshake: (socket, success, error) => this.#handshake(socket, success, error),
      data: (socket, bytes) => this.#data(socket, bytes),
      close: (socket) => this.#close(socket),
    };
  }

  #open(socket: Socket<Slot>): void {
    if (this.#stopped || this.#links.size >= this.#connectionsMax) {
      this.traffic.refusedCount++;
      socket.terminate();
      return;
    }
    this.traffic.acceptedCount++;
    const graceMs = this.#options.tls === undefined ? PREFACE_MS_MAX : HANDSHAKE_MS_MAX;
    const deadlineMs = this.#network.nowMs() + graceMs;
    const link = new Link(this.#network, this.traffic, socket, deadlineMs);
    socket.data = link;
    this.#links.add(link);
    this.#network.add(link);
    socket.setNoDelay(true);
  }

  #handshake(socket: Socket<Slot>, success: boolean, error: Error | null): void {
    const link = socket.data;
    if (link === undefined || link.closed) return;
    const unverified = this.#options.tls?.clientCertRequired === true && !socket.authorized;
    if (!success || unverified) {
      this.#network.log?.info("TLS handshake failed", {
        remote: peerAddress(socket),
        reason: error?.message ?? "no certificate",
      });
      link.terminate();
      return;
    }
    link.extendDeadline(this.#network.nowMs() + PREFACE_MS_MAX);
    if (socket.alpnProtocol === "h2") this.#adopt(socket, link, "http2");
    else if (socket.alpnProtocol === "http/1.1") this.#adopt(socket, link, "http1");
  }

  #data(socket: Socket<Slot>, bytes: Uint8Array): void {
    const link = socket.data;
    if (link === undefined) return;
    if (link.opening) this.#sniff(socket, link, bytes);
    else link.receive(bytes);
  }

  #sniff(socket: Socket<Slot>, link: Link, bytes: Uint8Array): void {
    const protocol = sniff(link.hold(bytes));
    if (protocol !== undefined) this.#adopt(socket, link, protocol);
  }

  #adopt(socket: Socket<Slot>, link: Link, protocol: Protocol): void {
    const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
    const peer: Peer = { address: peerAddress(socket), certificate };
    const { http1, http2 } = this.#options;
    const make = protocol === "http2" ? http2 : http1;
    link.adopt(make(peer, this.#network.nowMs()));
  }

  #close(socket: Socket<Slot>): void {
    const link = socket.data;
    if (link === undefined) return;
    this.#links.delete(link);
    link.socketClosed();
    if (this.#links.size === 0) this.#onEmpty?.();
  }
}

function bind(options: ListenOptions, socket: SocketHandler<Slot>): SocketListener<Slot> {
  const { address } = options;
  const shared = {
    socket,
    data: undefined,
    allowHalfOpen: false,
    ...(options.tls === undefined ? {} : { tls: serverTlsOptions(options.tls) }),
  };
  try {
    if (address.kind === "unix") return Bun.listen<Slot>({ ...shared, unix: address.path });
    return Bun.listen<Slot>({ ...shared, hostname: address.host, port: address.port });
  } catch (error) {
    throw bindFailure(addressText(address), error);
  }
}

/** What people can do something about; the runtime's own text does not say why. */
const BIND_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "no network interface has this address",
  EACCES: "permission denied",
  ENOTFOUND: "no such host",
};

/** The system's error with a text for people. For a name without an address it has no code. */
function bindFailure(address: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code = "ENOTFOUND" } = error as NodeJS.ErrnoException;
  error.message = `${address}: ${BIND_FAILURES[code] ?? error.message}`;
  return Object.assign(error, { code });
}

function peerAddress(socket: Socket<Slot>): string {
  if (socket.remoteAddress === undefined) return "unix";
  return hostPort(socket.remoteAddress, socket.remotePort);
}

/** A socket file that nobody listens on is left by a process that was killed; it would make
 * bind() fail for ever. One that answers is somebody's, and bind() reports it. */
async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  try {
    const probe = await Bun.connect({ unix: path, socket: { data: () => undefined } });
    probe.terminate();
  } catch {
    unlinkSync(path); // refused: nobody is behind it
  }
}
