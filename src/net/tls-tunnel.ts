/**
 * TLS in a socket that was accepted as plaintext, for the addresses that take both (etcd's http://
 * and https:// on one host:port). Bun can make a socket a TLS one only before its first byte is
 * read, and that byte tells which it is; so node:tls runs over a stream that we feed. Where TLS is
 * all that an address takes, Bun's own sockets do it (listener.ts), which carries six times as many
 * small requests; plaintext beside TLS costs nothing.
 *
 *   Bun socket ─ receive() ─▶ Duplex ─▶ TLSSocket ─▶ onData ─▶ Link
 *        ◀─ written, the rest at drain() ─ Duplex ◀─ TLSSocket ◀─ write()
 */

import type { Duplex } from "node:stream";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { assert } from "../base/assert.ts";
import { nodeTls, streams } from "../base/builtin.ts";
import type { Link, LinkSocket } from "./link.ts";
import { type ServerTls, tunnelOptions } from "./tls.ts";

/** What the tunnel needs of the accepted socket. */
export interface RawSocket {
  write(data: Uint8Array): number;
  end(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
}

export interface TunnelHandlers {
  /** The handshake is done; the certificate is only there if it was verified. */
  readonly onSecure: (tunnel: TlsTunnel) => void;
  readonly onData: (bytes: Uint8Array) => void;
  readonly onFailed: (reason: string) => void;
}

/** See the head of the file. It stands in the socket's slot, where else its link would. */
export class TlsTunnel implements LinkSocket {
  /** Never: it takes whatever comes. For whoever asks a link. */
  readonly opening = false;
  readonly #raw: RawSocket;
  readonly #stream: Duplex;
  readonly #tls: TLSSocket;
  /** Of what goes to the raw socket: bytes that it did not take yet, and whom to tell. */
  #rest: { bytes: Uint8Array; done: () => void } | undefined;
  /** TLS has more of ours than it likes. */
  #full = false;
  #link: Link | undefined;

  constructor(raw: RawSocket, tls: ServerTls, handlers: TunnelHandlers) {
    this.#raw = raw;
    this.#stream = new (streams().Duplex)({
      read() {},
      write: (chunk: Buffer, _encoding, done) => this.#send(chunk, () => done()),
      final: (done) => {
        raw.end();
        done();
      },
    });
    this.#tls = new (nodeTls().TLSSocket)(this.#stream, tunnelOptions(tls));
    this.#tls.on("secure", () => handlers.onSecure(this));
    this.#tls.on("data", (bytes: Buffer) => handlers.onData(bytes));
    this.#tls.on("drain", () => {
      this.#full = false;
      this.#link?.drain();
    });
    this.#tls.on("error", (error: Error) => {
      handlers.onFailed(error.message);
      this.terminate();
    });
  }

  /** The link whose bytes go through. */
  attach(link: Link): void {
    this.#link = link;
  }

  get link(): Link {
    assert(this.#link !== undefined, "a tunnel is attached as soon as it is made");
    return this.#link;
  }

  get alpnProtocol(): string | false | null {
    return this.#tls.alpnProtocol;
  }

  /** The client's certificate if an authority of ours signed it. */
  get certificate(): PeerCertificate | undefined {
    return this.#tls.authorized ? this.#tls.getPeerCertificate() : undefined;
  }

  // What the raw socket tells.

  receive(bytes: Uint8Array): void {
    this.#stream.push(Buffer.from(bytes));
  }

  drain(): void {
    const rest = this.#rest;
    if (rest === undefined) return;
    this.#rest = undefined;
    this.#send(rest.bytes, rest.done);
  }

  peerEnded(): void {
    this.#link?.peerEnded();
    this.#stream.push(null);
  }

  socketClosed(): void {
    this.#link?.socketClosed();
    this.#tls.destroy();
    this.#stream.destroy();
  }

  // What the link wants.

  write(data: Uint8Array, byteOffset: number, byteLength: number): number {
    if (this.#full) return 0;
    this.#full = !this.#tls.write(Buffer.from(data.subarray(byteOffset, byteOffset + byteLength)));
    return byteLength;
  }

  shutdown(): void {
    this.#tls.end();
  }

  terminate(): void {
    this.#raw.terminate();
  }

  pause(): void {
    this.#raw.pause();
    this.#tls.pause();
  }

  resume(): void {
    this.#tls.resume();
    this.#raw.resume();
  }

  #send(bytes: Uint8Array, done: () => void): void {
    const sent = Math.max(this.#raw.write(bytes), 0);
    if (sent === bytes.length) done();
    else this.#rest = { bytes: bytes.subarray(sent), done };
  }
}
