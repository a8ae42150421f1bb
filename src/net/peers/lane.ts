/**
 * One of the two streams to a peer, kept up: dialed at once, and again with back-off when lost.
 *
 *   waiting ──time or wake()──▶ connecting ──welcome──▶ up ──lost──▶ waiting
 *      ▲───────────failed────────────┘
 *
 * Messages are taken only while it is up and less than `bytesMax` wait in it, so what a peer that
 * does not read can cost is bytesMax and one frame. Nothing is kept for later: what Raft lost, Raft
 * repeats.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import type { Log, Random } from "../../base/ports.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { AetherPeer, type ProposalRefusal, RaftAnswer } from "../../proto/gen/aether.v1.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import { GrpcCode } from "../../wire/grpc/status.ts";
import { Backoff } from "./backoff.ts";
import type { CallerEnd } from "./calls.ts";
import { type ConnectionEvents, type ConnectionSettings, PeerConnection } from "./connection.ts";
import type { CallSeals } from "./seal.ts";

/** A connection that was up this long was a good one: its loss is no reason to wait long. */
const STABLE_MS = 1_000;

export interface LaneOptions {
  /** For logs: "control" or "bulk". */
  readonly name: string;
  /** Of the peer, for logs. */
  readonly peer: string;
  readonly urls: readonly string[];
  /** The header fields of the stream. */
  readonly fields: readonly string[];
  readonly bytesMax: number;
  readonly connection: ConnectionSettings;
  readonly random: Random;
  readonly log: Log;
}

export interface LaneEvents {
  /** It was up and is no more: messages on their way may be lost. */
  onLost(): void;
  onRefusal(refusal: ProposalRefusal): void;
  /** If it is there: a ping went there and back. */
  readonly onRoundTrip?: (ms: number) => void;
  /** The peer refused the stream, whose seals these are. */
  readonly onRefused: (trailers: Metadata, seals: CallSeals | undefined) => void;
}

type State =
  | { readonly kind: "waiting"; readonly cancel: () => void }
  | { readonly kind: "connecting"; readonly connection: PeerConnection }
  | { readonly kind: "up"; readonly connection: PeerConnection; readonly sinceMs: number }
  | { readonly kind: "closed" };

export class Lane implements ConnectionEvents {
  readonly onRoundTrip: ((ms: number) => void) | undefined;
  readonly #options: LaneOptions;
  readonly #events: LaneEvents;
  readonly #backoff: Backoff;
  #state: State = { kind: "waiting", cancel: nothing };
  #attempts = 0;
  #reason = "not tried yet";

  /** Begins to dial. */
  constructor(options: LaneOptions, events: LaneEvents) {
    this.#options = options;
    this.#events = events;
    this.onRoundTrip = events.onRoundTrip;
    this.#backoff = new Backoff(options.random);
    this.#connect();
  }

  get up(): boolean {
    return this.#state.kind === "up";
  }

  /** Up, and not over its bound. */
  get open(): boolean {
    return this.#state.kind === "up" && this.pendingBytes < this.#options.bytesMax;
  }

  /** Bytes which wait here. */
  get pendingBytes(): number {
    return this.#state.kind === "up" ? this.#state.connection.pendingBytes : 0;
  }

  /** Why it is not up; empty while it is. */
  get reason(): string {
    return this.#state.kind === "up" ? "" : this.#reason;
  }

  /** The connection while the lane is up, for small calls. */
  get end(): CallerEnd | undefined {
    return this.#state.kind === "up" ? this.#state.connection.end : undefined;
  }

  /** Sends the frame that is in `out`, and may put a seal behind it; only while `open`. */
  send(out: ByteWriter): void {
    if (this.#state.kind === "up") this.#state.connection.send(out);
  }

  /** The peer is there, as something else showed: no reason to wait longer. */
  wake(): void {
    if (this.#state.kind !== "waiting") return;
    this.#state.cancel();
    this.#connect();
  }

  close(): void {
    const state = this.#state;
    this.#state = { kind: "closed" };
    this.#reason = "closed";
    if (state.kind === "waiting") state.cancel();
    else if (state.kind !== "closed") state.connection.close();
  }

  onMessage(bytes: Uint8Array, start: number, end: number): boolean {
    let answer: RaftAnswer;
    try {
      answer = RaftAnswer.decode(bytes, start, end);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return false;
    }
    if (this.#state.kind === "connecting") this.#welcomed(this.#state.connection);
    if (answer.refusal !== undefined) this.#events.onRefusal(answer.refusal);
    return true;
  }

  onDrain(): void {
    // frames are taken by the bound, not by the stream's own
  }

  onOver(reason: string, code: GrpcCode, trailers: Metadata): void {
    const state = this.#state;
    const { connection, log, name, peer } = this.#options;
    const wasUp = state.kind === "up";
    if (wasUp && connection.timers.nowMs() - state.sinceMs >= STABLE_MS) this.#backoff.reset();
    if (wasUp || reason !== this.#reason) log.warn(LOST, { peer, lane: name, reason });
    this.#reason = reason;
    const cancel = connection.timers.after(this.#backoff.nextMs(), () => this.#connect());
    this.#state = { kind: "waiting", cancel };
    if (wasUp) this.#events.onLost();
    if (code === GrpcCode.PERMISSION_DENIED) {
      this.#events.onRefused(trailers, "connection" in state ? state.connection.seals : undefined);
    }
  }

  #connect(): void {
    const { urls, fields, connection: settings } = this.#options;
    const url = urls[this.#attempts++ % urls.length] as string;
    const connection = new PeerConnection(settings, url, AetherPeer.Raft.path, fields, this);
    this.#state = { kind: "connecting", connection };
    connection.start();
  }

  #welcomed(connection: PeerConnection): void {
    const { connection: settings, log, name, peer } = this.#options;
    this.#state = { kind: "up", connection, sinceMs: settings.timers.nowMs() };
    log.info(ESTABLISHED, { peer, lane: name });
  }
}

/** What etcd's members say of theirs, for who looks for it in logs. */
const ESTABLISHED = "established TCP streaming connection with remote peer";
const LOST = "lost TCP streaming connection with remote peer";

function nothing(): void {}
