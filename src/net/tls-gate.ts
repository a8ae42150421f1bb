/**
 * TLS of one listener's accepted sockets: begins it with the certificates of the moment, bounds the
 * handshakes that are under way, and lets nobody through whose certificate does not do. Every kind
 * of address has this same gate (etcd forgot its list of revoked ones at one, GHSA-3wh4-j44w-pg92).
 *
 *   accepted ─ begin() ─▶ handshake ─▶ verified, rules, caller named ─▶ onSecure
 *                 └─ too many ─▶ cut      └─▶ refused: alert or close_notify, and a line in the log
 */
import type { PeerCertificate } from "node:tls";
import type { Socket, SocketHandler } from "bun";
import { TurnPhase } from "../base/turn.ts";
import { unnamedCaller } from "./caller-name.ts";
import {
  brokenRule,
  type CertificateRefusal,
  shownCertificate,
  titleOf,
} from "./certificate-rules.ts";
import { Handshakes } from "./handshakes.ts";
import type { Link } from "./link.ts";
import type { Network } from "./network.ts";
import type { Origin } from "./origin.ts";
import { Pace } from "./pace.ts";
import { RefusalLog } from "./peers/refusal-log.ts";
import { linkHandlers, type Slot } from "./socket-handlers.ts";
import { beginTls, type ServerTls, type TlsSource } from "./tls.ts";

/** From accept, or the first byte of TLS, to the end of the handshake. */
export const HANDSHAKE_MS_MAX = 10_000;

/** Handshakes that begin in one turn: each is half a millisecond of key exchange and signature, and
 * whoever has a request in the same turn waits for all of them. */
const HANDSHAKES_PER_TURN = 4;

const UNFINISHED = `it was not finished in ${HANDSHAKE_MS_MAX / 1000} s`;
const TOO_MANY = "too many handshakes of its address were under way all the time";

/** What did not come in; for metrics. */
export interface HandshakeCounts {
  /** Ended before a certificate could be judged: other versions, no TLS at all, time. */
  failedCount: number;
  /** Finished, and the certificate did not do. */
  refusedCount: number;
  /** Too many were under way, for too long. */
  surplusCount: number;
}

/** Who showed itself. */
export interface Secured {
  readonly link: Link;
  readonly address: string;
  /** Verified, or undefined if none was asked for. */
  readonly certificate: PeerCertificate | undefined;
  readonly alpn: string | false | null;
}

export interface TlsGateOptions {
  readonly network: Network;
  readonly tls: TlsSource<ServerTls>;
  readonly onSecure: (secured: Secured) => void;
  /** Bytes inside TLS, and the end. */
  readonly handlers: Pick<SocketHandler<Slot>, "data" | "close">;
}

export class TlsGate {
  readonly counts: HandshakeCounts = { failedCount: 0, refusedCount: 0, surplusCount: 0 };
  readonly #options: TlsGateOptions;
  readonly #handlers: SocketHandler<Slot>;
  readonly #handshakes = new Handshakes<Link>((link) => this.#leaveLine(link));
  /** What those in line go on with. */
  readonly #inLine = new WeakMap<Link, () => void>();
  readonly #pace: Pace;
  readonly #begun = new WeakMap<Link, { readonly origin: Origin; readonly atMs: number }>();
  /** What a link's handshake began with. */
  readonly #settings = new WeakMap<Link, ServerTls>();
  readonly #lines: RefusalLog | undefined;

  constructor(options: TlsGateOptions) {
    const { log, nowMs } = options.network;
    this.#options = options;
    this.#pace = new Pace(options.network.turn, HANDSHAKES_PER_TURN);
    this.#lines = log && new RefusalLog(log, nowMs, "TLS handshake failed");
    this.#handlers = {
      ...linkHandlers(log),
      ...options.handlers,
      open: (socket) => socket.data?.moveTo(socket),
      handshake: (socket, success, error) => this.#handshake(socket, success, error),
    };
  }

  /** Handshakes that are under way. */
  get pendingCount(): number {
    return this.#handshakes.count;
  }

  /** Begins TLS on an accepted socket; `first` is what was read of it already. */
  begin(socket: Socket<Slot>, link: Link, origin: Origin, first?: Uint8Array): void {
    const atMs = this.#options.network.nowMs();
    this.#begun.set(link, { origin, atMs });
    link.extendDeadline(atMs + HANDSHAKE_MS_MAX);
    if (this.#handshakes.add(link, origin.host)) {
      this.#admit(socket, link, first);
      return;
    }
    socket.pause();
    this.#inLine.set(link, () => {
      socket.resume();
      this.#admit(socket, link, first);
    });
  }

  /** In a turn of its own: room is made where others begin and end. */
  #leaveLine(link: Link): void {
    this.#options.network.turn.after(TurnPhase.FLUSH, () => {
      if (!link.closed) this.#inLine.get(link)?.();
    });
  }

  #admit(socket: Socket<Slot>, link: Link, first: Uint8Array | undefined): void {
    const settings = this.#pace.admit() ? this.#options.tls() : this.#later();
    if (!(settings instanceof Promise)) {
      this.#begin(socket, link, settings, first);
      return;
    }
    socket.pause(); // what it says is for TLS
    void settings.then((known) => {
      if (link.closed) return;
      socket.resume();
      this.#begin(socket, link, known, first);
    });
  }

  /** What holds when it is one's turn. */
  async #later(): Promise<ServerTls> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pace.later(resolve);
    await promise;
    return await this.#options.tls();
  }

  /**
   * The socket of a link is gone, whoever closed it. A client that left before its time was up has
   * disturbed nobody, and is counted alone: probes of balancers do so all day.
   */
  closed(link: Link): void {
    const wasInLine = this.#handshakes.isInLine(link);
    if (!this.#handshakes.end(link)) return;
    if (wasInLine) this.counts.surplusCount++;
    else this.counts.failedCount++;
    const begun = this.#begun.get(link);
    if (begun === undefined) return;
    if (this.#options.network.nowMs() - begun.atMs < HANDSHAKE_MS_MAX) return;
    const remote = begun.origin.text;
    if (wasInLine) this.#lines?.refused("surplus", TOO_MANY, remote);
    else this.#lines?.refused("unfinished", UNFINISHED, remote);
  }

  #begin(socket: Socket<Slot>, link: Link, tls: ServerTls, first: Uint8Array | undefined): void {
    const { surplus } = this.#handshakes;
    if (surplus !== undefined) {
      const remote = this.#begun.get(surplus)?.origin.text ?? "";
      this.#cut(surplus, "the oldest of too many handshakes makes room for another", remote);
    }
    this.#handshakes.begin(link);
    this.#settings.set(link, tls);
    socket.data = undefined; // its raw bytes and its end concern nobody from now on
    try {
      beginTls<Slot>(socket, tls, { data: link, handlers: this.#handlers, first });
    } catch (error) {
      socket.data = link;
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.network.log?.error("TLS cannot begin", { reason });
      link.terminate();
    }
  }

  #handshake(socket: Socket<Slot>, success: boolean, error: Error | null): void {
    const link = socket.data;
    const isGone = !success && (error as NodeJS.ErrnoException | null)?.code === "ECONNRESET";
    if (isGone || link === undefined || !this.#handshakes.end(link) || link.closed) return;
    const tls = this.#settings.get(link) as ServerTls;
    const { origin } = this.#begun.get(link) as { origin: Origin };
    if (!success) {
      this.counts.failedCount++;
      this.#lines?.refused("failed", plainReason(error), origin.text); // Bun sent the alert
      return;
    }
    const shown = shownCertificate(socket, tls);
    const refusal = refusalOf(socket, tls, shown, error);
    if (refusal !== undefined) {
      this.#refuse(link, refusal, origin.text);
      return;
    }
    const certificate = socket.authorized ? shown : undefined;
    const { alpnProtocol: alpn } = socket;
    const secured: Secured = { link, address: origin.text, certificate, alpn };
    const { host } = origin;
    if (tls.callerNamed !== true || certificate === undefined || host === undefined) {
      this.#options.onSecure(secured);
    } else this.#askName(socket, certificate, host, secured);
  }

  /** Reads nothing while DNS is asked: what is said meanwhile is not ours to keep. */
  #askName(
    socket: Socket<Slot>,
    certificate: PeerCertificate,
    host: string,
    secured: Secured,
  ): void {
    const { link, address } = secured;
    socket.pause();
    void unnamedCaller(certificate, host).then((detail) => {
      if (link.closed) return;
      socket.resume();
      if (detail === undefined) this.#options.onSecure(secured);
      else this.#refuse(link, { reason: "wrong address", detail }, address);
    });
  }

  #refuse(link: Link, { reason, detail }: CertificateRefusal, remote: string): void {
    this.counts.refusedCount++;
    this.#lines?.refused(reason, detail, remote);
    link.turnAway();
  }

  #cut(link: Link, reason: string, remote: string): void {
    this.#handshakes.end(link);
    this.counts.surplusCount++;
    this.#lines?.refused("surplus", reason, remote);
    link.terminate();
  }
}

/** Why a finished handshake is no way in, or undefined. */
function refusalOf(
  socket: Socket<Slot>,
  tls: ServerTls,
  shown: PeerCertificate | undefined,
  error: Error | null,
): CertificateRefusal | undefined {
  if (tls.clientCertRequired !== true) return undefined;
  if (shown === undefined) return { reason: "no certificate", detail: "it showed no certificate" };
  if (!socket.authorized) {
    const { code, message } = (error ?? {}) as Partial<NodeJS.ErrnoException>;
    const reason = code === "CERT_HAS_EXPIRED" ? "expired" : "not verified";
    return { reason, detail: `${titleOf(shown)}: ${message ?? "it was not verified"}` };
  }
  // A resumed session was verified when it began, perhaps long ago.
  if (Date.parse(shown.valid_to) < Date.now()) {
    return { reason: "expired", detail: `${titleOf(shown)}: it has expired meanwhile` };
  }
  return brokenRule(shown, tls);
}

/** BoringSSL's names for what went wrong, as words. */
function plainReason(error: Error | null): string {
  const message = error?.message ?? "not finished";
  const name = /^error:[0-9a-f]+:SSL routines:[^:]*:([A-Z0-9_]+)$/.exec(message)?.[1];
  return name === undefined ? message : name.toLowerCase().replaceAll("_", " ");
}
