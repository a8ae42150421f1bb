/**
 * The addresses at which a node answers: clients', members', observers'. What answers may change
 * while they are open, since founders speak to each other before there is anything to serve:
 *
 *   openPeers() ─▶ questions of other founders ─▶ serve() ─▶ everything ─▶ openClients()
 *
 * Without an address of their own, members come to the clients' addresses. Plaintext and TLS may
 * share a host and port; gRPC and HTTP of clients may be kept apart.
 */
import type { Log } from "../base/ports.ts";
import { type Address, addressText, parseAddress } from "../net/address.ts";
import {
  CONNECTIONS_MAX,
  type ConnectionFactory,
  type Listener,
  type ListenOptions,
  listen,
  type Peer,
} from "../net/listener.ts";
import type { Network } from "../net/network.ts";
import { connectionsWithin } from "../net/open-files.ts";
import { PEER_CONNECTIONS_MAX, PEER_CONNECTIONS_PER_SOURCE_MAX } from "../net/peers/server.ts";
import type { ServerTls, TlsSource } from "../net/tls.ts";
import type { GrpcServer, HttpService } from "../wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../wire/grpc/server-connection.ts";
import { HTTP_LIMITS } from "../wire/http1/limits.ts";
import { Http1Connection } from "../wire/http1/server-connection.ts";
import type { Config } from "./config/config.ts";

/** What answers at the addresses: gRPC, and its `http` over HTTP/1.1 and HTTP/2. */
export interface Answering {
  readonly clients: GrpcServer;
  /** Where clients' HTTP has addresses of its own. */
  readonly clientsHttp: GrpcServer;
  /** Where members have addresses of their own. */
  readonly peers: GrpcServer;
  /** Metrics and health; no calls, since nobody asks there who is asking. */
  readonly observers: GrpcServer;
}

/** Bytes and connections of one kind of address. */
export interface Traffic {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly connectionCount: number;
}

type Kind = keyof Answering;

/** The certificates of the addresses that ask for TLS. */
export interface DoorTls {
  readonly clients: TlsSource<ServerTls> | undefined;
  readonly peers: TlsSource<ServerTls> | undefined;
}

export interface DoorsParts {
  readonly config: Config;
  readonly network: Network;
  readonly log: Log;
  readonly tls: DoorTls;
  /** What answers before serve(). */
  readonly answering: Answering;
}

/** One listener: an address, perhaps with plaintext beside TLS. */
interface Door {
  readonly address: Address;
  readonly plaintextToo: boolean;
  /** How many of the configured addresses it is. */
  readonly count: number;
}

export class Doors {
  readonly #parts: DoorsParts;
  #answering: Answering;
  readonly #clients: Listener[] = [];
  readonly #peers: Listener[] = [];
  readonly #observers: Listener[] = [];
  /** What each configured address for clients became. */
  readonly #clientAddresses: string[] = [];

  constructor(parts: DoorsParts) {
    this.#parts = parts;
    this.#answering = parts.answering;
  }

  /** host:port of each address for clients, with the port the system gave when 0 was asked for. */
  get clientAddresses(): readonly string[] {
    return this.#clientAddresses;
  }

  get metricsAddresses(): string[] {
    return this.#observers.map(({ address }) => addressText(address));
  }

  /** What clients' addresses carried so far. */
  get clientTraffic(): Traffic {
    const total = { receivedBytes: 0, sentBytes: 0, connectionCount: 0 };
    for (const { traffic, connectionCount } of this.#clients) {
      total.receivedBytes += traffic.receivedBytes;
      total.sentBytes += traffic.sentBytes;
      total.connectionCount += connectionCount;
    }
    return total;
  }

  /** What is open now, by whom it is for; grows. */
  get listeners(): Readonly<Record<"clients" | "members" | "observers", readonly Listener[]>> {
    return { clients: this.#clients, members: this.#peers, observers: this.#observers };
  }

  /** From now on `answering` answers; connections that are open stay with what they found. */
  serve(answering: Answering): void {
    this.#answering = answering;
  }

  /**
   * Opens the addresses for members, unless they are open; they are those for clients if there are
   * no others.
   */
  async openPeers(): Promise<void> {
    const { listenPeer } = this.#parts.config;
    if (this.#peers.length > 0) return;
    if (listenPeer.length === 0) await this.openClients();
    for (const door of doorsOf(listenPeer)) {
      const listener = await this.#open(door, "peers");
      this.#peers.push(listener);
      this.#parts.log.info("serving peer traffic", { address: addressText(listener.address) });
    }
  }

  /** Opens the addresses for clients, unless they are open. */
  async openClients(): Promise<void> {
    if (this.#clients.length > 0) return;
    const { listenClient, listenClientHttp } = this.#parts.config;
    const isSplit = listenClientHttp.length > 0;
    for (const door of doorsOf(listenClient)) {
      const listener = await this.#openClient(door, "clients", isSplit ? "grpc" : "grpc+http");
      const address = addressText(listener.address);
      for (let i = 0; i < door.count; i++) this.#clientAddresses.push(address);
    }
    for (const door of doorsOf(listenClientHttp)) {
      await this.#openClient(door, "clientsHttp", "http");
    }
  }

  /** Opens the addresses for observers. */
  async openObservers(): Promise<void> {
    for (const door of doorsOf(this.#parts.config.listenMetrics)) {
      const listener = await this.#openObserver(door);
      this.#observers.push(listener);
      this.#parts.log.info("serving metrics", { address: addressText(listener.address) });
    }
  }

  /** Accepts no more, and ends what is open within `graceMs`; members last. */
  async close(graceMs: number): Promise<void> {
    const others = [...this.#clients, ...this.#observers];
    await Promise.all(others.map((listener) => listener.stop(graceMs)));
    await Promise.all(this.#peers.map((listener) => listener.stop(0)));
  }

  /** The messages are etcd's: scripts wait for them. */
  async #openClient(door: Door, kind: Kind, traffic: string): Promise<Listener> {
    const listener = await this.#open(door, kind);
    this.#clients.push(listener);
    const fields = { traffic, address: addressText(listener.address) };
    const { log } = this.#parts;
    if (!door.address.secure || door.plaintextToo) {
      log.info("serving client traffic insecurely", fields);
    }
    if (door.address.secure) log.info("serving client traffic securely", fields);
    return listener;
  }

  #open({ address, plaintextToo }: Door, kind: Kind): Promise<Listener> {
    const { config, network, tls } = this.#parts;
    const http2: ConnectionFactory = (peer, nowMs) =>
      new GrpcServerConnection(this.#answering[kind], { ...whoIs(peer), nowMs });
    const http1: ConnectionFactory = (peer, nowMs) => {
      const { http, memory } = this.#answering[kind];
      const { handler, bodyBytesMax } = http ?? GRPC_ALONE;
      const limits = { ...HTTP_LIMITS, bodyBytesMax };
      const account = memory.open(peer.address);
      return new Http1Connection({ ...whoIs(peer), handler, limits, memory: account }, nowMs);
    };
    const own = kind === "peers" ? tls.peers : tls.clients;
    return listen(network, {
      ...{ address, plaintextToo, http1, http2, reusePort: config.reusePort },
      urgent: kind === "observers",
      ...(kind === "peers" ? peerRoom() : clientRoom()),
      ...(address.secure && own !== undefined ? { tls: own } : {}),
    });
  }

  /** A taken metrics address that nobody chose is no reason not to serve. */
  async #openObserver(door: Door): Promise<Listener> {
    const { address } = door;
    try {
      return await this.#open(door, "observers");
    } catch (error) {
      if (this.#parts.config.metricsChosen || address.kind !== "tcp") throw error;
      const free = await this.#open({ ...door, address: { ...address, port: 0 } }, "observers");
      const [taken, now] = [addressText(address), addressText(free.address)];
      this.#parts.log.warn("metrics address is taken, using a free port", { taken, now });
      return free;
    }
  }
}

/**
 * What nobody can take from one address: the rest of a company behind one translated address, or
 * all clients behind one balancer, are most of what there is. It has the last quarter too while
 * nobody else wants it; then its connections beyond the share end, one for each that comes from
 * elsewhere. So one machine cannot keep others out, and the only client is never refused for being
 * the only one.
 */
export const SOURCE_SHARE = 0.75;

function clientRoom(): Pick<ListenOptions, "connectionsMax" | "connectionsPerSourceShare"> {
  const connectionsMax = connectionsWithin(CONNECTIONS_MAX);
  const connectionsPerSourceShare = Math.ceil(connectionsMax * SOURCE_SHARE);
  return { connectionsMax, connectionsPerSourceShare };
}

/** Where members alone come, there are few of them. */
function peerRoom(): Pick<ListenOptions, "connectionsMax" | "connectionsPerSourceMax"> {
  return {
    connectionsMax: connectionsWithin(PEER_CONNECTIONS_MAX),
    connectionsPerSourceMax: PEER_CONNECTIONS_PER_SOURCE_MAX,
  };
}

/** Addresses as listeners: TLS and plaintext of one host and port are one. */
function doorsOf(addresses: readonly string[]): Door[] {
  const doors = new Map<string, Door>();
  for (const [place, text] of addresses.entries()) {
    const address = parseAddress(text);
    const isDrawn = address.kind === "tcp" && address.port === 0;
    const name = isDrawn ? `${place}` : addressText(address);
    const other = doors.get(name);
    if (other === undefined) doors.set(name, { address, plaintextToo: false, count: 1 });
    else {
      const secure = address.secure || other.address.secure;
      const plaintextToo = address.secure !== other.address.secure || other.plaintextToo;
      doors.set(name, { address: { ...address, secure }, plaintextToo, count: other.count + 1 });
    }
  }
  return [...doors.values()];
}

/** Who asks, as far as the connection tells. */
function whoIs({ address, certificate, secure }: Peer): {
  peer: string;
  peerName: string | undefined;
  secure: boolean;
} {
  const { CN } = certificate?.subject ?? {};
  return { peer: address, peerName: Array.isArray(CN) ? CN[0] : CN, secure };
}

/** What a browser or curl hears where --listen-client-http-urls has taken HTTP elsewhere. */
const GRPC_ALONE: HttpService = {
  handler: (_request, response) => {
    const text = "this address takes gRPC alone: HTTP has another (--listen-client-http-urls)\n";
    response.end(404, ["content-type", "text/plain; charset=utf-8"], text);
  },
  bodyBytesMax: 0,
};
