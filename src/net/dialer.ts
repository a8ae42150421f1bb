/**
 * Outgoing connections. Bun.connect neither times out nor can be called off, so a dial that took
 * too long is only forgotten, and its socket closed should it still open.
 */
import type { Socket, SocketHandler } from "bun";
import { AetherError } from "../base/errors.ts";
import type { ProtocolConnection } from "../wire/connection.ts";
import { type Address, addressText } from "./address.ts";
import { brokenRule, shownCertificate } from "./certificate-rules.ts";
import { Link, type Traffic } from "./link.ts";
import type { Network } from "./network.ts";
import { linkHandlers, type Slot } from "./socket-handlers.ts";
import { type ClientTls, clientTlsOptions } from "./tls.ts";
import { isAboutCertificate, tlsFailureText } from "./tls-failure.ts";

/** For one address, TLS handshake included; a peer in the next room answers in far less. */
export const DIAL_MS_MAX = 5_000;

export interface DialOptions {
  readonly address: Address;
  /** For a secure address; the system's certificates are trusted when it is absent. */
  readonly tls?: ClientTls;
  readonly timeoutMs?: number;
  /** Makes the client's side of the protocol once the socket is up. */
  readonly connect: (nowMs: number) => ProtocolConnection;
  /** Added up for metrics. */
  readonly traffic?: Traffic;
  /** The socket broke, and is about to close: an alert of TLS that came after the handshake. */
  readonly onBroken?: (error: Error) => void;
  /** The link is gone, for whatever reason; called once, and only if dial() resolved. */
  readonly onClosed?: () => void;
}

/**
 * Resolves when the socket is up (and the server's certificate verified) and the connection
 * adopted. Rejects with AetherError unhealthy: no answer in time, refused, or not to be trusted;
 * the system's reason is its cause.
 */
export function dial(network: Network, options: DialOptions): Promise<Link> {
  return new Promise((resolve, reject) => {
    new Dial(network, options, resolve, reject).start();
  });
}

/** One attempt. Settled once: by adoption, failure or the timer. */
class Dial {
  readonly #network: Network;
  readonly #options: DialOptions;
  readonly #resolve: (link: Link) => void;
  readonly #reject: (error: AetherError) => void;
  readonly #timeoutMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #state: "dialing" | "up" | "failed" = "dialing";

  constructor(
    network: Network,
    options: DialOptions,
    resolve: (link: Link) => void,
    reject: (error: AetherError) => void,
  ) {
    this.#network = network;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timeoutMs = options.timeoutMs ?? DIAL_MS_MAX;
  }

  start(): void {
    const { address, tls = {} } = this.#options;
    this.#timer = setTimeout(
      () => this.#fail(`no answer in ${this.#timeoutMs} ms`),
      this.#timeoutMs,
    );
    const shared = {
      socket: this.#handlers(),
      allowHalfOpen: false,
      ...(address.secure ? { tls: clientTlsOptions(tls, this.#host) } : {}),
    };
    const dialed =
      address.kind === "unix"
        ? Bun.connect<Slot>({ ...shared, unix: address.path })
        : Bun.connect<Slot>({ ...shared, hostname: address.host, port: address.port });
    dialed.catch((error: unknown) => this.#fail("cannot connect", error));
  }

  /** The name that a certificate has to bear. */
  get #host(): string {
    const { address, tls } = this.#options;
    return tls?.serverName ?? (address.kind === "tcp" ? address.host : "localhost");
  }

  #handlers(): SocketHandler<Slot> {
    const shared = linkHandlers(this.#network.log);
    return {
      ...shared,
      error: (socket, error) => {
        this.#options.onBroken?.(new Error(this.#explained(socket, error), { cause: error }));
        shared.error?.(socket, error);
      },
      open: (socket) => this.#open(socket),
      handshake: (socket, success, error) => this.#handshake(socket, success, error),
      data: (socket, bytes) => socket.data?.receive(bytes),
      close: (socket, error) => this.#close(socket, error),
      connectError: (_socket, error) => this.#fail("cannot connect", error),
    };
  }

  #open(socket: Socket<Slot>): void {
    if (this.#state !== "dialing") {
      socket.terminate();
      return;
    }
    const traffic = this.#options.traffic ?? { receivedBytes: 0, sentBytes: 0 };
    const deadlineMs = this.#network.nowMs() + this.#timeoutMs;
    const link = new Link(this.#network, traffic, socket, deadlineMs);
    socket.data = link;
    this.#network.add(link);
    socket.setNoDelay(true);
    if (!this.#options.address.secure) this.#adopt(link);
  }

  #handshake(socket: Socket<Slot>, success: boolean, error: Error | null): void {
    const link = socket.data;
    if (!(link instanceof Link) || link.closed) return;
    const { tls = {} } = this.#options;
    const isOver = success || (error !== null && isAboutCertificate(error));
    const isTrusted = tls.insecureSkipVerify === true ? isOver : success && error === null;
    const shown = isTrusted ? shownCertificate(socket, tls) : undefined;
    const broken = shown && brokenRule(shown, tls);
    if (isTrusted && broken === undefined) this.#adopt(link);
    else {
      const why = broken?.detail ?? (error && this.#explained(socket, error));
      this.#fail("TLS handshake failed", why && new Error(why, { cause: error }));
      link.terminate();
    }
  }

  #explained(socket: Socket<Slot>, error: Error): string {
    if (!this.#options.address.secure) return error.message;
    return tlsFailureText(error, this.#host, socket.getPeerCertificate() ?? undefined);
  }

  #adopt(link: Link): void {
    this.#state = "up";
    clearTimeout(this.#timer);
    link.adopt(this.#options.connect(this.#network.nowMs()));
    this.#resolve(link);
  }

  #close(socket: Socket<Slot>, error: Error | undefined): void {
    socket.data?.socketClosed();
    if (this.#state === "up") this.#options.onClosed?.();
    else this.#fail("closed while connecting", error);
  }

  #fail(reason: string, cause?: unknown): void {
    if (this.#state !== "dialing") return;
    this.#state = "failed";
    clearTimeout(this.#timer);
    const text = `${addressText(this.#options.address)}: ${reason}`;
    const detail = cause instanceof Error ? `${text}: ${cause.message}` : text;
    this.#reject(new AetherError("unhealthy", detail, { cause }));
  }
}
