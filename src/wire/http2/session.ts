/**
 * One HTTP/2 connection as a whole (RFC 9113 §3.4, §5.4.1, §6.5, §6.7, §6.8): preface, SETTINGS,
 * PING, GOAWAY, timeouts and the way to the end. Its streams are in stream-engine.ts.
 *
 *   open ── shutdown() ──▶ draining ── last stream closed ──▶ closing
 *     └──────── a breach, a timeout, too much of anything ───────▲
 *
 * Nothing depends on how received bytes were cut, and receive() throws on no peer's fault.
 */
import { assert } from "../../base/assert.ts";
import { OUTPUT_LOW_BYTES, OutputBuffer } from "../connection.ts";
import type { MemoryAccount } from "../memory.ts";
import type { Http2Counts, Http2Limit } from "./counts.ts";
import { ConnectionError } from "./errors.ts";
import { FrameReader, isHeaderFrame } from "./frame-reader.ts";
import { writeFrame, writeGoaway, writeWindowUpdate } from "./frames.ts";
import { checkBlockBytes, HeaderBlock } from "./header-block.ts";
import { Keepalive, type KeepaliveOptions } from "./keepalive.ts";
import {
  BODY_TIMEOUT_MS,
  DRAIN_PING_MS,
  HEADER_TIMEOUT_MS,
  type Http2Limits,
  OUTPUT_BYTES_MAX,
  STALL_TIMEOUT_MS,
} from "./limits.ts";
import {
  Flag,
  FrameType,
  Http2Code,
  INT31_MAX,
  PREFACE,
  WINDOW_BYTES_DEFAULT,
} from "./protocol.ts";
import type { Http2Head, Http2Role } from "./role.ts";
import { encodeSettings, PeerSettings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";
import { StreamEngine } from "./stream-engine.ts";

export interface SessionOptions {
  readonly server: boolean;
  readonly limits: Http2Limits;
  readonly keepalive: KeepaliveOptions;
  /** Time for the peer's preface and SETTINGS. */
  readonly prefaceTimeoutMs: number;
  /** What the connection holds is counted here; it is closed with it. */
  readonly memory?: MemoryAccount;
  /** Added to when a limit is met. */
  readonly counts?: Http2Counts;
  /** Who is at the other end, as the counts shall name it. */
  readonly peer?: string;
}

/** Which frames may come next. */
const Expect = { SETTINGS: 0, ANY: 1, CONTINUATION: 2 } as const;

const KEEPALIVE_PING = Buffer.from("aether k", "latin1");
const DRAIN_PING = Buffer.from("aether d", "latin1");

export class Http2Session<S extends Http2Stream, H extends Http2Head> {
  readonly output: OutputBuffer;
  readonly engine: StreamEngine<S, H>;
  readonly #role: Http2Role<S, H>;
  readonly #options: SessionOptions;
  readonly #peer = new PeerSettings();
  readonly #reader: FrameReader;
  readonly #block = new HeaderBlock();
  readonly #keepalive: Keepalive;
  readonly #createdMs: number;
  #expect: 0 | 1 | 2 = Expect.SETTINGS;
  #begun = false;
  #closing = false;
  #draining: "no" | "announced" | "final" = "no";
  #drainMs = 0;
  #taken = 0; // output taken at the last sign of progress
  #takenMs: number;
  #reason = "";

  constructor(role: Http2Role<S, H>, options: SessionOptions, nowMs: number) {
    this.#role = role;
    this.#options = options;
    this.#createdMs = nowMs;
    this.#takenMs = nowMs;
    this.#keepalive = new Keepalive(options.keepalive, nowMs);
    this.#reader = new FrameReader(this, options.limits.frameBytesMax, options.server);
    const { server, limits, memory } = options;
    this.output = new OutputBuffer(undefined, memory);
    this.engine = new StreamEngine(this.output, role, this.#peer, limits, server, memory);
    this.engine.nowMs = nowMs;
    if (!server) this.#begin();
  }

  get closing(): boolean {
    return this.#closing || (this.#draining === "final" && this.engine.count === 0);
  }

  /** Why the connection ended, for people. */
  get reason(): string {
    return this.#reason;
  }

  /** The peer's SETTINGS have come. */
  get ready(): boolean {
    return this.#expect !== Expect.SETTINGS;
  }

  /** The peer does not read: stop reading from it. */
  get paused(): boolean {
    return this.output.pending > OUTPUT_BYTES_MAX;
  }

  receive(bytes: Uint8Array, nowMs: number): void {
    if (this.#closing) return;
    this.engine.nowMs = nowMs;
    this.#keepalive.onReceived(nowMs);
    if (!this.#begun) this.#begin();
    try {
      this.#reader.take(bytes, nowMs);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.end(error.code, error.message);
      return;
    }
  }

  onWritable(nowMs: number): void {
    if (this.#closing) return;
    this.engine.nowMs = nowMs;
    this.engine.sender.pump();
  }

  tick(nowMs: number): void {
    this.engine.nowMs = nowMs;
    this.output.trim();
    this.#reader.trim();
    this.#block.trim();
    if (this.#isGreedy()) {
      this.#endGreedy();
      return;
    }
    if (this.#closing) return;
    if (this.engine.refused > 0) this.#countRefused();
    const late = this.#lateness(nowMs);
    if (late !== undefined) {
      this.#met("timeouts");
      this.end(Http2Code.NO_ERROR, late);
      return;
    }
    const due = this.#keepalive.tick(nowMs);
    if (due === "dead") this.end(Http2Code.NO_ERROR, "keepalive ping not answered");
    else if (due === "ping") this.#ping(KEEPALIVE_PING);
    if (this.#draining === "announced" && nowMs - this.#drainMs >= DRAIN_PING_MS)
      this.#drainFinal();
  }

  /** Ends the connection at once: GOAWAY, and every stream is told. */
  end(code: Http2Code, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#reason = reason;
    this.#count(code);
    const lastId = Math.min(this.engine.lastPeerId, this.engine.peerIdMax);
    if (this.#begun) writeGoaway(this.output, lastId, code, reason);
    this.engine.closeAll(code);
  }

  /** The socket is gone. */
  closed(nowMs: number): void {
    this.engine.nowMs = nowMs;
    this.#closing = true;
    if (this.#reason === "") this.#reason = "connection closed";
    this.engine.closeAll(Http2Code.CANCEL);
    this.#options.memory?.close();
    this.#count(Http2Code.NO_ERROR);
  }

  /**
   * Ends gracefully. A server says so twice (§6.8): first with the highest id, so that requests on
   * their way are still served, then, when its ping has come back, with the last one it took.
   */
  shutdown(nowMs: number): void {
    if (this.#closing || this.#draining !== "no") return;
    this.engine.nowMs = nowMs;
    this.#reason = "shutdown";
    this.#drainMs = nowMs;
    if (this.#options.server && this.ready) {
      this.#draining = "announced";
      writeGoaway(this.output, INT31_MAX, Http2Code.NO_ERROR, "graceful_stop");
      this.#ping(DRAIN_PING);
      return;
    }
    this.#drainFinal();
  }

  /** The role has nothing more to do: closes once the last stream has. */
  drain(reason: string): void {
    if (this.#draining !== "no") return;
    this.#reason = reason;
    this.#draining = "final";
  }

  /** Asserts every invariant, at any cost; `waiting` as for the engine. */
  verify(waiting: readonly S[]): void {
    this.engine.verify(waiting);
    const { start, end, bytes } = this.output;
    assert(0 <= start && start <= end && end <= bytes.length, "output offsets out of order");
    assert(start < end || end === 0, "an empty output is not at its start");
    assert(this.#reader.carried <= this.#options.limits.frameBytesMax + 9, "carry over its bound");
  }

  /** FrameSink: one frame, whole. */
  onFrame(
    type: number,
    flags: number,
    id: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    if (this.#expect !== Expect.ANY) this.#checkExpected(type, flags, id);
    switch (type) {
      case FrameType.DATA:
        this.#onData(flags, id, bytes, start, end);
        break;
      case FrameType.HEADERS:
        this.#onHeaders(flags, id, bytes, start, end);
        break;
      case FrameType.WINDOW_UPDATE:
        this.#onWindowUpdate(id, bytes, start, end);
        break;
      case FrameType.RST_STREAM:
        checkFrame("RST_STREAM", id !== 0, end - start === 4);
        this.engine.onRstStream(id, bytes.readUInt32BE(start));
        break;
      case FrameType.SETTINGS:
        this.#onSettings(flags, id, bytes, start, end);
        break;
      case FrameType.PING:
        this.#onPing(flags, id, bytes, start, end);
        break;
      case FrameType.GOAWAY:
        checkFrame("GOAWAY", id === 0, end - start >= 8);
        this.#onGoaway(bytes, start, end);
        break;
      case FrameType.CONTINUATION:
        this.#onContinuation(flags, bytes, start, end);
        break;
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "PUSH_PROMISE without leave");
      case FrameType.PRIORITY:
        checkFrame("PRIORITY", id !== 0, end - start === 5);
        this.engine.guard.onControl(this.engine.nowMs);
        break;
      default: // unknown types are ignored (§4.1)
        this.engine.guard.onControl(this.engine.nowMs);
    }
  }

  #begin(): void {
    this.#begun = true;
    const { limits, server } = this.#options;
    if (!server) this.output.append(PREFACE, 0, PREFACE.length);
    const settings = encodeSettings(limits, server);
    writeFrame(this.output, FrameType.SETTINGS, 0, 0, settings, 0, settings.length);
    const more = limits.connectionWindowBytes - WINDOW_BYTES_DEFAULT;
    if (more > 0) writeWindowUpdate(this.output, 0, more);
  }

  #checkExpected(type: number, flags: number, id: number): void {
    if (this.#expect === Expect.CONTINUATION) {
      if (type === FrameType.CONTINUATION && id === this.#block.id) return;
      throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "a header block was interrupted");
    }
    if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0) return;
    throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "the first frame must be SETTINGS");
  }

  #onData(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "DATA on stream 0");
    const size = end - start;
    const ends = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.PADDED) === 0) this.engine.onData(id, ends, bytes, start, end, size);
    else {
      const dataEnd = unpad(bytes, start, start + 1, end);
      this.engine.onData(id, ends, bytes, start + 1, dataEnd, size);
    }
  }

  #onHeaders(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "HEADERS on stream 0");
    let from = start;
    let to = end;
    if ((flags & (Flag.PADDED | Flag.PRIORITY)) !== 0) {
      if ((flags & Flag.PADDED) !== 0) from += 1;
      if ((flags & Flag.PRIORITY) !== 0) from += 5;
      if ((flags & Flag.PADDED) !== 0) to = unpad(bytes, start, from, end);
      else checkFrame("HEADERS", true, from <= to);
    }
    const ends = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      checkBlockBytes(to - from);
      this.engine.onHeaderBlock(id, ends, bytes, from, to);
      return;
    }
    this.#block.begin(id, ends, this.engine.nowMs);
    this.#block.add(bytes, from, to);
    this.#expect = Expect.CONTINUATION;
  }

  #onContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    if (this.#expect !== Expect.CONTINUATION) {
      throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    }
    this.#block.add(bytes, start, end);
    if ((flags & Flag.END_HEADERS) === 0) return;
    this.#expect = Expect.ANY;
    const id = this.#block.id;
    const whole = this.#block.complete();
    this.engine.onHeaderBlock(id, this.#block.endStream, whole, 0, whole.length);
  }

  #onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    checkFrame("WINDOW_UPDATE", true, end - start === 4);
    this.engine.guard.onControl(this.engine.nowMs);
    const increment = bytes.readUInt32BE(start) & INT31_MAX;
    if (increment === 0) {
      throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    }
    if (id !== 0) {
      this.engine.onWindowUpdate(id, increment);
      return;
    }
    const sender = this.engine.sender;
    if (sender.window + increment > INT31_MAX) {
      throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, "connection window above 2^31-1");
    }
    sender.window += increment;
    sender.pump();
  }

  #onSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    this.engine.guard.onControl(this.engine.nowMs);
    checkFrame("SETTINGS", id === 0, (flags & Flag.ACK) === 0 || start === end);
    if ((flags & Flag.ACK) !== 0) {
      this.engine.settingsKnown = true;
      return;
    }
    const before = this.#peer.initialWindowBytes;
    this.#peer.apply(bytes, start, end, !this.#options.server);
    this.#expect = Expect.ANY;
    const { headerTableBytes, headerTableBytesMin } = this.#peer;
    if (headerTableBytesMin < headerTableBytes) {
      this.engine.headers.setTableBytesMax(headerTableBytesMin);
    }
    this.engine.headers.setTableBytesMax(headerTableBytes);
    this.engine.guard.onAck();
    writeFrame(this.output, FrameType.SETTINGS, Flag.ACK, 0, bytes, start, start);
    this.engine.onInitialWindow(this.#peer.initialWindowBytes - before);
    this.#role.onSettings();
  }

  #onPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    checkFrame("PING", id === 0, end - start === 8);
    this.engine.guard.onControl(this.engine.nowMs);
    if ((flags & Flag.ACK) !== 0) {
      if (bytes.compare(KEEPALIVE_PING, 0, 8, start, end) === 0) {
        this.#keepalive.onAnswered(this.engine.nowMs);
      }
      const drained = bytes.compare(DRAIN_PING, 0, 8, start, end) === 0;
      if (drained && this.#draining === "announced") this.#drainFinal();
      return;
    }
    if (this.#options.server) this.engine.guard.onPing(this.engine.count, this.engine.nowMs);
    this.engine.guard.onAck();
    writeFrame(this.output, FrameType.PING, Flag.ACK, 0, bytes, start, end);
  }

  /** A server may get one too, from a client that goes: it only means that no requests follow. */
  #onGoaway(bytes: Buffer, start: number, end: number): void {
    this.engine.guard.onControl(this.engine.nowMs);
    const lastId = bytes.readUInt32BE(start) & INT31_MAX;
    const debug = bytes.latin1Slice(start + 8, Math.min(end, start + 8 + 256));
    this.#role.onGoaway(lastId, bytes.readUInt32BE(start + 4), debug);
  }

  #ping(payload: Buffer): void {
    writeFrame(this.output, FrameType.PING, 0, 0, payload, 0, payload.length);
  }

  #drainFinal(): void {
    this.#draining = "final";
    if (!this.#begun) return;
    this.engine.peerIdMax = this.engine.lastPeerId;
    writeGoaway(this.output, this.engine.lastPeerId, Http2Code.NO_ERROR, this.#reason);
  }

  #count(code: Http2Code): void {
    if (this.engine.refused > 0) this.#countRefused();
    if (code === Http2Code.ENHANCE_YOUR_CALM) this.#met("floods");
    else if (code !== Http2Code.NO_ERROR) this.#met("breaches");
  }

  #countRefused(): void {
    this.#met("refusedStreams", this.engine.refused);
    this.engine.refused = 0;
  }

  #met(limit: Http2Limit, times = 1): void {
    const { counts, peer = "" } = this.#options;
    counts?.met(limit, peer, times);
  }

  /** All connections hold too much, and this one the most. */
  #isGreedy(): boolean {
    const { memory } = this.#options;
    if (memory === undefined) return false;
    memory.estimate(this.engine.keptBytes + this.#reader.keptBytes + this.#block.keptBytes);
    return memory.mustEnd();
  }

  /** What waits for a peer that does not read would keep its memory: it goes, GOAWAY and all. */
  #endGreedy(): void {
    this.end(Http2Code.ENHANCE_YOUR_CALM, "holds too much memory");
    if (this.output.pending > OUTPUT_LOW_BYTES) this.output.discard();
  }

  /** What the peer has failed to do in time, if anything. */
  #lateness(nowMs: number): string | undefined {
    const reader = this.#reader;
    if (!this.ready && nowMs - this.#createdMs >= this.#options.prefaceTimeoutMs) {
      return "no preface and SETTINGS in time";
    }
    if (this.#block.id !== 0 && nowMs - this.#block.sinceMs >= HEADER_TIMEOUT_MS) {
      return "header block not complete in time";
    }
    if (reader.carried > 0) {
      const limitMs = isHeaderFrame(reader.carriedType) ? HEADER_TIMEOUT_MS : BODY_TIMEOUT_MS;
      if (nowMs - reader.carriedSinceMs >= limitMs) return "frame not complete in time";
    }
    if (this.output.pending === 0 || this.output.taken !== this.#taken) {
      this.#taken = this.output.taken;
      this.#takenMs = nowMs;
    }
    return nowMs - this.#takenMs >= STALL_TIMEOUT_MS ? "peer does not read" : undefined;
  }
}

/** §4.2: a frame of the wrong size is FRAME_SIZE_ERROR, one on the wrong stream PROTOCOL_ERROR. */
function checkFrame(name: string, streamIsRight: boolean, sizeIsRight: boolean): void {
  if (!streamIsRight) {
    throw new ConnectionError(Http2Code.PROTOCOL_ERROR, `${name} on the wrong stream`);
  }
  if (!sizeIsRight)
    throw new ConnectionError(Http2Code.FRAME_SIZE_ERROR, `${name} of a wrong size`);
}

/** Where the content ends that begins at `from`, in a frame whose first byte counts padding. */
function unpad(bytes: Buffer, start: number, from: number, end: number): number {
  checkFrame("padded frame", true, from <= end);
  const to = end - (bytes[start] as number);
  if (to < from) throw new ConnectionError(Http2Code.PROTOCOL_ERROR, "padding over the content");
  return to;
}
