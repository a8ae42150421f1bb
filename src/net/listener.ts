/**
 * A listening address and the connections it accepted. One port speaks HTTP/2 (gRPC) and HTTP/1
 * (health, metrics, the JSON gateway), with or without TLS: ALPN says which, or the first bytes
 * do. The protocols themselves are handed in as factories.
 *
 * Limits: connections per listener; TLS handshakes under way and their time (tls-gate.ts); time
 * for the bytes that tell the protocol (slow-loris). What a connection must do later in time is the
 * protocol's own business.
 * stop() says good-bye on each connection and waits; what is left at the end is cut.
 */
import { lstatSync, unlinkSync } from "node:fs";
import type { PeerCertificate } from "node:tls";
import type { Socket, SocketHandler, SocketListener } from "bun";
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { ProtocolConnection } from "../wire/connection.ts";
import type { Address } from "./address.ts";
import { addressText } from "./address.ts";
import { Link, type LinkSocket, type Traffic } from "./link.ts";
import type { Network } from "./network.ts";
import { connectionsWithin } from "./open-files.ts";
import { type Origin, originOf } from "./origin.ts";
import { isTlsHandshake, type Protocol, sniff } from "./sniff.ts";
import { linkHandlers, type Slot } from "./socket-handlers.ts";
import { Sources } from "./sources.ts";
import type { ServerTls, TlsSource } from "./tls.ts";
import { type HandshakeCounts, type Secured, TlsGate } from "./tls-gate.ts";

/** Connections of one listener. An idle HTTP/2 one costs 12 KB (measured), so 20,000 are 240 MB,
 * as much as one may spend on clients that do nothing. Fewer where files are scarce. */
export const CONNECTIONS_MAX = 20_000;
/** From accept, or the end of the TLS handshake, to the bytes that tell the protocol; clients send
 * their preface at once. */
export const PREFACE_MS_MAX = 5_000;

/** Who is on the other side. */
export interface Peer {
  /** `host:port`, or `unix` for a unix socket. */
  readonly address: string;
  /** The client's verified certificate; undefined on plaintext or when it showed none. */
  readonly certificate: PeerCertificate | undefined;
  /** The connection is inside TLS. */
  readonly secure: boolean;
}

/** Makes the protocol's side of an accepted connection; its deadlines count from `nowMs`. */
export type ConnectionFactory = (peer: Peer, nowMs: number) => ProtocolConnection;

export interface ListenOptions {
  readonly address: Address;
  /** Needed when the address is secure or takes both, refused when it is not. */
  readonly tls?: TlsSource<ServerTls>;
  /** A secure address that takes plaintext too: the first byte says which it is. */
  readonly plaintextToo?: boolean;
  /** Others may listen here too (SO_REUSEPORT). */
  readonly reusePort?: boolean;
  /** For observers: what comes here is read before what clients send much of (input-share.ts). */
  readonly urgent?: boolean;
  readonly http1: ConnectionFactory;
  readonly http2: ConnectionFactory;
  /** By default CONNECTIONS_MAX, or three quarters of the files that the process may open. */
  readonly connectionsMax?: number;
  /** From one address (of IPv6 one network), whatever is free; no limit of its own by default. */
  readonly connectionsPerSourceMax?: number;
  /** What nobody else can take from one address; more than that only while there is room. */
  readonly connectionsPerSourceShare?: number;
}

/** Counters for metrics; refused: not accepted, or ended for somebody with fewer. */
export interface ListenerTraffic extends Traffic {
  acceptedCount: number;
  refusedCount: number;
  /** Whose the last of them was; "": nobody's. */
  refusedPeer: string;
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
    refusedPeer: "",
  };
  readonly #network: Network;
  readonly #options: ListenOptions;
  readonly #connectionsMax: number;
  readonly #links = new Set<Link>();
  readonly #sources: Sources<Link> | undefined;
  /** Who is on the other side of a link that has no protocol yet. */
  readonly #peers = new WeakMap<Link, Peer>();
  readonly #origins = new WeakMap<Link, Origin>();
  readonly #gate: TlsGate | undefined;
  readonly #server: SocketListener<Slot>;
  #onEmpty: (() => void) | undefined;
  #stopped = false;

  /** Use listen(). */
  constructor(network: Network, options: ListenOptions) {
    this.#network = network;
    this.#options = options;
    this.#connectionsMax = options.connectionsMax ?? connectionsWithin(CONNECTIONS_MAX);
    const perSource = options.connectionsPerSourceMax ?? options.connectionsPerSourceShare;
    this.#sources = perSource === undefined ? undefined : new Sources(perSource);
    this.#gate = options.tls === undefined ? undefined : this.#gateOf(options.tls);
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

  /** What TLS kept out; undefined where there is none. */
  get handshakes(): HandshakeCounts | undefined {
    return this.#gate?.counts;
  }

  /** TLS handshakes that are under way. */
  get handshakeCount(): number {
    return this.#gate?.pendingCount ?? 0;
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
      close: (socket) => this.#close(socket),
      // Where TLS is all there is, its sockets bring the bytes and these only the raw ones.
      ...(this.#isTlsAlone ? {} : { data: (socket, bytes) => this.#data(socket, bytes) }),
    };
  }

  #gateOf(tls: TlsSource<ServerTls>): TlsGate {
    return new TlsGate({
      network: this.#network,
      tls,
      onSecure: (secured) => this.#secured(secured),
      handlers: {
        data: (socket, bytes) => this.#dataInside(socket, bytes),
        close: (socket) => this.#close(socket),
      },
    });
  }

  get #isTlsAlone(): boolean {
    return this.#gate !== undefined && this.#options.plaintextToo !== true;
  }

  #open(socket: Socket<Slot>): void {
    const origin = originOf(socket, this.#options.address.kind);
    if (origin === undefined) {
      socket.terminate(); // nobody is there to be answered
      return;
    }
    if (this.#stopped || !this.#hasRoom(origin)) {
      this.#countRefused(origin);
      socket.terminate();
      return;
    }
    this.traffic.acceptedCount++;
    const link = this.#addLink(socket, PREFACE_MS_MAX);
    this.#sources?.add(link, origin.host);
    this.#origins.set(link, origin);
    socket.data = link;
    socket.setNoDelay(true);
    if (this.#isTlsAlone) this.#gate?.begin(socket, link, origin);
    else link.doubt();
  }

  /** Where there is none, it is taken from who has more than his share. */
  #hasRoom({ host }: Origin): boolean {
    const isFull = this.#links.size >= this.#connectionsMax;
    if (this.#options.connectionsPerSourceShare === undefined) {
      return !isFull && this.#sources?.hasRoom(host) !== false;
    }
    if (!isFull) return true;
    const surplus = this.#sources?.surplusFor(host);
    if (surplus === undefined) return false;
    this.#countRefused(this.#origins.get(surplus) as Origin);
    surplus.terminate();
    this.#links.delete(surplus); // its place is free now, whenever its socket says that it closed
    this.#sources?.delete(surplus);
    return true;
  }

  #countRefused(origin: Origin): void {
    this.traffic.refusedCount++;
    this.traffic.refusedPeer = origin.text;
  }

  #addLink(socket: LinkSocket, graceMs: number): Link {
    const deadlineMs = this.#network.nowMs() + graceMs;
    const share = this.#options.urgent === true ? undefined : this.#network.share;
    const link = new Link(this.#network, this.traffic, socket, deadlineMs, share);
    this.#links.add(link);
    this.#network.add(link);
    return link;
  }

  /** TLS is up, and whoever is there may come in. */
  #secured({ link, address, certificate, alpn }: Secured): void {
    link.extendDeadline(this.#network.nowMs() + PREFACE_MS_MAX);
    this.#begin(link, { address, certificate, secure: true }, alpn);
  }

  /** Over TLS, HTTP/2 is what ALPN chose and nothing else (RFC 9113 §3.3); etcd has it so too. */
  #begin(link: Link, peer: Peer, alpn: string | false | null): void {
    this.#peers.set(link, peer);
    this.#adopt(link, alpn === "h2" ? "http2" : "http1");
  }

  #data(socket: Socket<Slot>, bytes: Uint8Array): void {
    const link = socket.data;
    if (link === undefined) return;
    link.heard();
    if (link.opening) this.#opening(socket, link, bytes);
    else link.receive(bytes);
  }

  /** Bytes inside TLS, which wait until it is known who sent them. */
  #dataInside(socket: Socket<Slot>, bytes: Uint8Array): void {
    const link = socket.data;
    if (link === undefined) return;
    if (link.opening) link.hold(bytes);
    else link.receive(bytes);
  }

  /** Bytes of a socket whose protocol is not known yet. */
  #opening(socket: Socket<Slot>, link: Link, bytes: Uint8Array): void {
    if (!this.#peers.has(link)) {
      const origin = this.#origins.get(link);
      assert(origin !== undefined, "where a connection comes from is known since accept");
      if (link.untouched && this.#gate !== undefined && isTlsHandshake(bytes)) {
        this.#gate.begin(socket, link, origin, bytes);
        return;
      }
      this.#peers.set(link, { address: origin.text, certificate: undefined, secure: false });
    }
    this.#sniff(link, bytes);
  }

  #sniff(link: Link, bytes: Uint8Array): void {
    const protocol = sniff(link.hold(bytes));
    if (protocol !== undefined) this.#adopt(link, protocol);
  }

  #adopt(link: Link, protocol: Protocol): void {
    const peer = this.#peers.get(link);
    assert(peer !== undefined, "who is on the other side is known before a protocol begins");
    this.#peers.delete(link);
    const { http1, http2 } = this.#options;
    const make = protocol === "http2" ? http2 : http1;
    link.adopt(make(peer, this.#network.nowMs()));
  }

  #close(socket: Socket<Slot>): void {
    const link = socket.data;
    if (link === undefined) return;
    this.#gate?.closed(link);
    this.#links.delete(link);
    this.#sources?.delete(link);
    link.socketClosed();
    if (this.#links.size === 0) this.#onEmpty?.();
  }
}

function bind(options: ListenOptions, socket: SocketHandler<Slot>): SocketListener<Slot> {
  const { address } = options;
  const { reusePort = false } = options;
  const shared = { socket, data: undefined, allowHalfOpen: false };
  try {
    if (address.kind === "unix") {
      return asPrivate(() => Bun.listen<Slot>({ ...shared, unix: address.path }));
    }
    const place = { hostname: address.host, port: address.port, reusePort }; // Bun's types lack it
    return Bun.listen<Slot>({ ...shared, ...place });
  } catch (error) {
    throw bindFailure(addressText(address), error);
  }
}

/** Others than the owner: whoever may write to a socket's file may connect. */
const NOT_OTHERS = 0o077;

/** What `make` makes is for its owner alone from the beginning; a chmod would come later. */
function asPrivate<T>(make: () => T): T {
  const before = process.umask(NOT_OTHERS);
  try {
    return make();
  } finally {
    process.umask(before);
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
