/**
 * The addresses at which a node answers: clients', members', observers'. What answers may change
 * while they are open, since founders speak to each other before there is anything to serve:
 *
 *   openPeers() ─▶ questions of other founders ─▶ serve() ─▶ everything ─▶ openClients()
 *
 * Without an address of their own, members come to the clients' addresses.
 */
import { assert } from "../base/assert.ts";
import type { Log } from "../base/ports.ts";
import { addressText, parseAddress } from "../net/address.ts";
import { type ConnectionFactory, type Listener, listen } from "../net/listener.ts";
import type { Network } from "../net/network.ts";
import type { GrpcServer } from "../wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../wire/grpc/server-connection.ts";
import { HTTP_LIMITS } from "../wire/http1/limits.ts";
import { Http1Connection } from "../wire/http1/server-connection.ts";
import type { Config } from "./config/config.ts";

/** What answers at the addresses: gRPC, and its `http` over HTTP/1.1 and HTTP/2. */
export interface Answering {
  readonly clients: GrpcServer;
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

export class Doors {
  readonly #config: Config;
  readonly #network: Network;
  readonly #log: Log;
  #answering: Answering;
  readonly #clients: Listener[] = [];
  readonly #peers: Listener[] = [];
  readonly #observers: Listener[] = [];

  /** `answering` is what answers before serve(). */
  constructor(config: Config, network: Network, log: Log, answering: Answering) {
    this.#config = config;
    this.#network = network;
    this.#log = log;
    this.#answering = answering;
  }

  /** host:port of each address for clients, with the port the system gave when 0 was asked for. */
  get clientAddresses(): string[] {
    return this.#clients.map(({ address }) => addressText(address));
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

  /** From now on `answering` answers; connections that are open stay with what they found. */
  serve(answering: Answering): void {
    this.#answering = answering;
  }

  /**
   * Opens the addresses for members, unless they are open; they are those for clients if there are
   * no others.
   */
  async openPeers(): Promise<void> {
    const { listenPeer } = this.#config;
    if (this.#peers.length > 0) return;
    if (listenPeer.length === 0) await this.openClients();
    else for (const address of listenPeer) this.#peers.push(await this.#open(address, "peers"));
  }

  /** Opens the addresses for clients, unless they are open. */
  async openClients(): Promise<void> {
    if (this.#clients.length > 0) return;
    for (const address of this.#config.listenClient) {
      this.#clients.push(await this.#open(address, "clients"));
    }
  }

  /** Opens the addresses for observers. */
  async openObservers(): Promise<void> {
    for (const address of this.#config.listenMetrics) {
      this.#observers.push(await this.#openObserver(address));
    }
  }

  /** Accepts no more, and ends what is open within `graceMs`; members last. */
  async close(graceMs: number): Promise<void> {
    const others = [...this.#clients, ...this.#observers];
    await Promise.all(others.map((listener) => listener.stop(graceMs)));
    await Promise.all(this.#peers.map((listener) => listener.stop(0)));
  }

  #open(address: string, kind: Kind): Promise<Listener> {
    const http2: ConnectionFactory = (peer, nowMs) =>
      new GrpcServerConnection(this.#answering[kind], { peer: peer.address, nowMs });
    const http1: ConnectionFactory = (peer, nowMs) => {
      const { http } = this.#answering[kind];
      assert(http !== undefined, "every address answers HTTP");
      const { handler, bodyBytesMax } = http;
      const limits = { ...HTTP_LIMITS, bodyBytesMax };
      return new Http1Connection({ peer: peer.address, handler, limits }, nowMs);
    };
    return listen(this.#network, { address: parseAddress(address), http1, http2 });
  }

  /** A taken metrics address that nobody chose is no reason not to serve. */
  async #openObserver(wanted: string): Promise<Listener> {
    const address = parseAddress(wanted);
    try {
      return await this.#open(wanted, "observers");
    } catch (error) {
      if (this.#config.metricsChosen || address.kind !== "tcp") throw error;
      const free = await this.#open(addressText({ ...address, port: 0 }), "observers");
      const now = addressText(free.address);
      this.#log.warn("metrics address is taken, using a free port", { taken: wanted, now });
      return free;
    }
  }
}
