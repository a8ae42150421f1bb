/**
 * One socket and the protocol connection on it: bytes in, one write out per event-loop turn.
 *
 *   opening ──adopt──▶ open ──connection.closing, all written──▶ lingering ──▶ closed
 *      └───────────────deadline, error, peer gone──────────────────────────────▶┘
 *
 *   opening    TLS handshake, or too few bytes to know the protocol; bounded by a deadline
 *   open       the connection is fed and flushed
 *   lingering  we sent FIN and throw away what still comes: closing a socket with unread bytes
 *              would send RST, and the peer would lose the last thing we said (a GOAWAY)
 *
 * Bun's contract, measured (1.4.4, plain and TLS alike):
 *   write() takes what the kernel takes (about 4 MB into a stalled peer) and returns that count;
 *   the rest is ours to keep, and `drain` follows. -1 means the socket is gone, and so does every
 *   write inside or after `close`. A paused socket reports neither data nor FIN.
 *   What `data` hands out is a fresh buffer; it is lent to the connection for the call only.
 *   `end` (the peer's FIN) is followed at once by `close`, but inside it a write still works.
 *
 * Invariants
 *   L1  at most one write() per link and turn, besides `drain` and the farewell in `end`
 *   L2  connection.closed() runs exactly once, and nothing is fed to the connection after it
 *   L3  nothing is read while the connection is `paused`: a peer that does not read our answers
 *       cannot ask for more of them, so a link's output is bounded by the connection's mark plus
 *       one turn's answers
 *   L4  the connection gets its bytes in order: nothing passes by what the share holds back
 */
import { assert } from "../base/assert.ts";
import { OUTPUT_LOW_BYTES, type ProtocolConnection } from "../wire/connection.ts";
import { type InputShare, LIGHT_BYTES, SLICE_BYTES, type SlicedInput } from "./input-share.ts";

/** A peer that takes no byte for this long, while we have some for it, is dead. */
export const WRITE_STALL_MS = 60_000;
/** How long we wait for the peer's FIN after ours; long enough for one slow round trip. */
export const LINGER_MS = 1_000;

/** Bytes through the sockets of one listener or one target; for metrics. */
export interface Traffic {
  receivedBytes: number;
  sentBytes: number;
}

/** What a link needs of the network it belongs to. */
export interface LinkHost {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Calls link.flush() at the end of this turn. */
  flushSoon(link: Link): void;
  /** The socket is gone. */
  forget(link: Link): void;
}

/** What a link needs of the Bun socket; the same for TCP, unix and TLS. */
export interface LinkSocket {
  write(data: Uint8Array, byteOffset: number, byteLength: number): number;
  shutdown(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
}

type State = "opening" | "open" | "lingering" | "closed";

/** See the head of the file. Made by a listener or a dialer; fed by its socket handlers. */
export class Link implements SlicedInput {
  readonly #host: LinkHost;
  readonly #share: InputShare | undefined;
  readonly #traffic: Traffic;
  #socket: LinkSocket;
  #connection: ProtocolConnection | undefined;
  #state: State = "opening";
  #held: Uint8Array | undefined;
  #deadlineMs: number;
  #queued = false;
  #blocked = false;
  #paused = false;
  /** Input that waits for its turn (input-share.ts). */
  #rest: Uint8Array | undefined;
  /** Bytes of the memory that it keeps, as the share has them. */
  #heldBytes = 0;
  sliceBytes = SLICE_BYTES;
  /** It may send much next, and so may be stopped while others are read. */
  #doubted = false;
  #stopped = false;
  /** It waits for nobody's turn, but for the connection to read its answers. */
  #parked = false;

  /**
   * `deadlineMs` is when a connection must have been adopted; the socket is closed otherwise. With
   * a `share` it is read as far as the others leave time, unless its connection is urgent; left
   * out, always (observers, ourselves).
   */
  constructor(
    host: LinkHost,
    traffic: Traffic,
    socket: LinkSocket,
    deadlineMs: number,
    share?: InputShare,
  ) {
    this.#host = host;
    this.#share = share;
    this.#traffic = traffic;
    this.#socket = socket;
    this.#deadlineMs = deadlineMs;
  }

  /** The protocol on this socket, once it is known. */
  get connection(): ProtocolConnection | undefined {
    return this.#connection;
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /** Moves the deadline of the opening state, for example after the TLS handshake. */
  extendDeadline(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
  }

  /** Nobody knows how much comes first; for a socket whose bytes come here. */
  doubt(): void {
    if (this.#share === undefined) return;
    this.#doubted = true;
    this.#share.doubt(this);
  }

  /** Something was read. */
  heard(): void {
    if (!this.#doubted) return;
    this.#doubted = false;
    this.#share?.trust(this);
    if (this.#stopped) this.setStopped(false);
  }

  setStopped(isStopped: boolean): void {
    if (this.#state === "closed") return;
    this.#stopped = isStopped;
    this.#setPaused();
  }

  /** TLS began on its socket: from now on its bytes go through the one inside. */
  moveTo(socket: LinkSocket): void {
    assert(this.#state === "opening", "TLS begins before anything else");
    this.#socket = socket;
  }

  /** The protocol is known: the connection gets what was held, and all that comes. */
  adopt(connection: ProtocolConnection): void {
    assert(this.#state === "opening", "a link adopts one connection");
    this.#connection = connection;
    this.#state = "open";
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    connection.onOutput = () => this.#queue();
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) this.#take(held);
    if (connection.output.pending > 0) this.#queue();
    this.#follow(connection);
  }

  /** Nothing is adopted yet: bytes go to hold(). */
  get opening(): boolean {
    return this.#state === "opening";
  }

  /** No byte has come yet. */
  get untouched(): boolean {
    return this.#state === "opening" && this.#held === undefined;
  }

  /** Keeps bytes that came before the protocol is known; returns all of them so far. */
  hold(bytes: Uint8Array): Uint8Array {
    this.#traffic.receivedBytes += bytes.length;
    this.#held = this.#held === undefined ? bytes : Buffer.concat([this.#held, bytes]);
    return this.#held;
  }

  /** Bytes from the socket, lent for the call; thrown away unless the link is open. */
  receive(bytes: Uint8Array): void {
    if (this.#doubted) this.heard();
    this.#traffic.receivedBytes += bytes.length;
    if (this.#state === "open") this.#take(bytes);
    if (this.#rest === undefined) freeChunk(bytes);
  }

  /** To the connection, at once or in its share. */
  #take(bytes: Uint8Array): void {
    const share = this.#share;
    if (share === undefined) this.#feed(bytes, this.#host.nowMs());
    else if (this.#rest !== undefined) this.#feedInShare(share, bytes);
    else if (bytes.length <= LIGHT_BYTES || this.#connection?.urgent === true) {
      this.#feed(bytes, share.begin());
    } else this.#feedInShare(share, bytes);
  }

  takeSlice(nowMs: number): boolean {
    const rest = this.#rest;
    if (rest === undefined) return false;
    if (this.#connection?.paused === true) {
      this.#parked = true; // what it asked for would only be added to what it does not read
      return false;
    }
    const slice = rest.subarray(0, this.sliceBytes);
    this.#rest = slice.length < rest.length ? rest.subarray(slice.length) : undefined;
    if (this.#rest === undefined) {
      this.#releaseHeld();
      this.doubt(); // more may have come meanwhile
    }
    this.#feed(slice, nowMs);
    if (this.#rest === undefined) freeChunk(rest);
    return this.#rest !== undefined;
  }

  /** The end of the turn: one write of all that is pending. */
  flush(): void {
    this.#queued = false;
    if (this.#state === "open" && !this.#blocked) this.#write();
  }

  /** The kernel has room again. */
  drain(): void {
    if (this.#state === "open" && this.#blocked) this.#write();
  }

  /** About every 100 ms: the deadlines of this socket and of what runs on it. */
  tick(nowMs: number): void {
    if (nowMs >= this.#deadlineMs) this.terminate();
    if (this.#state !== "open") return;
    const connection = this.#connection as ProtocolConnection;
    connection.tick(nowMs);
    // It has thrown away what the peer does not take: nothing is left to wait for.
    if (this.#blocked && connection.closing && connection.output.pending === 0) this.terminate();
    else this.#follow(connection);
  }

  /** Ends politely: the connection says good-bye, finishes its work, and the socket closes. */
  shutdown(): void {
    if (this.#state === "opening") this.terminate();
    if (this.#state !== "open") return;
    const connection = this.#connection as ProtocolConnection;
    connection.shutdown(this.#host.nowMs());
    this.#follow(connection);
  }

  /**
   * Ends at once but politely: what is pending goes as far as the kernel takes it, then FIN. Calls
   * that still run are cancelled.
   */
  end(): void {
    if (this.#state === "opening") this.terminate();
    if (this.#state === "open" && !this.#blocked) this.#write();
    if (this.#state === "open") this.#linger();
  }

  /** Nobody is let in here: FIN, in TLS after close_notify, and what still comes is thrown away. */
  turnAway(): void {
    if (this.#state === "opening") this.#linger();
  }

  /** The peer sent FIN; the socket closes after this, so what is pending goes now or never. */
  peerEnded(): void {
    if (this.#state === "open" && !this.#blocked) this.#write();
  }

  /** Closes the socket at once, with RST when something is unread. */
  terminate(): void {
    if (this.#state === "closed") return;
    this.#socket.terminate();
    this.socketClosed();
  }

  /** The socket is gone, whoever closed it. */
  socketClosed(): void {
    if (this.#state === "closed") return;
    this.#release();
    this.#state = "closed";
    this.#host.forget(this);
  }

  /** Feeds slices while there is time, and holds what is left. */
  #feedInShare(share: InputShare, bytes: Uint8Array): void {
    const nowMs = share.begin();
    let at = 0;
    while (at < bytes.length && this.#mayFeed() && share.hasTime()) {
      this.#feed(bytes.subarray(at, at + this.sliceBytes), nowMs);
      at += this.sliceBytes;
    }
    if (at >= bytes.length || this.#state !== "open") return;
    const rest = bytes.subarray(at);
    if (this.#rest !== undefined) {
      // What TLS had decrypted before it heard of the pause; it is small.
      share.release(-rest.length);
      this.#heldBytes += rest.length;
      this.#rest = Buffer.concat([this.#rest, rest]);
    } else if (share.hold(this, bytes.length)) {
      this.#rest = rest;
      this.#heldBytes = bytes.length; // the rest keeps all of it in memory
      this.#follow(this.#connection as ProtocolConnection);
    } else this.#feed(rest, nowMs);
  }

  #releaseHeld(): void {
    this.#share?.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  /** Nothing is before it, and its answers are read. */
  #mayFeed(): boolean {
    return this.#rest === undefined && this.#connection?.paused === false;
  }

  #feed(bytes: Uint8Array, nowMs: number): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.receive(bytes, nowMs);
    this.#follow(connection);
  }

  #queue(): void {
    if (this.#queued || this.#blocked || this.#state !== "open") return;
    this.#queued = true;
    this.#host.flushSoon(this);
  }

  /** Does what the connection asks for after it was given something. */
  #follow(connection: ProtocolConnection): void {
    if (connection.closing) this.#queue();
    if (this.#parked && !connection.paused) {
      this.#parked = false;
      this.#share?.goOn(this);
    }
    this.#setPaused();
  }

  #setPaused(): void {
    const isWaiting = this.#rest !== undefined || this.#stopped;
    const paused = isWaiting || this.#connection?.paused === true;
    if (paused === this.#paused) return;
    this.#paused = paused;
    if (this.#paused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Writes what is pending; on a short write the rest waits for `drain`. */
  #write(): void {
    const connection = this.#connection as ProtocolConnection;
    const output = connection.output;
    const pending = output.pending;
    let sent = 0;
    if (pending > 0) {
      sent = Math.max(this.#socket.write(output.bytes, output.start, pending), 0);
      output.advance(sent);
      this.#traffic.sentBytes += sent;
    }
    const nowMs = this.#host.nowMs();
    // A short write: the kernel is full, or the socket is going and `close` follows.
    this.#blocked = sent < pending;
    this.#deadlineMs = this.#blocked ? nowMs + WRITE_STALL_MS : Number.POSITIVE_INFINITY;
    if (pending - sent < OUTPUT_LOW_BYTES) connection.onWritable(nowMs);
    if (connection.closing && output.pending === 0) this.#linger();
    else this.#follow(connection);
  }

  /** All is said: FIN to the peer, then wait for its own, throwing away what it still sends. */
  #linger(): void {
    this.#release();
    this.#state = "lingering";
    this.#deadlineMs = this.#host.nowMs() + LINGER_MS;
    this.#socket.shutdown();
  }

  /** The connection's end (L2). */
  #release(): void {
    this.#releaseHeld();
    this.#share?.trust(this);
    this.#rest = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    connection.closed(this.#host.nowMs());
  }
}

/** Below it the collector keeps up. */
const CHUNK_BYTES_MIN = 64 * 1024;

/**
 * Gives the memory of what a socket handed out back at once: the runtime makes half a megabyte for
 * each chunk, and the collector left a gigabyte of them lying about. Nobody keeps what was lent.
 */
function freeChunk({ buffer, byteOffset, length }: Uint8Array): void {
  const isWhole = byteOffset + length === buffer.byteLength; // to its end: nobody's is behind it
  if (isWhole && buffer.byteLength >= CHUNK_BYTES_MIN) (buffer as ArrayBuffer).transfer(0);
}
