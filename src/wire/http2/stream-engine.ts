/**
 * The streams of one HTTP/2 connection (RFC 9113 §5, §8.1), either end of it: HEADERS, DATA,
 * RST_STREAM, PRIORITY and WINDOW_UPDATE in, the same out. What requests and answers mean is for
 * the role; the connection as a whole is for session.ts.
 *
 * Where the RFC asks for a stream error which an honest peer cannot cause, the connection ends
 * instead, as §5.4.1 allows: each reset that a peer can make us send is a lever (CVE-2025-8671).
 * Methods named on… throw ConnectionError; the others never fail.
 */
import { assert } from "../../base/assert.ts";
import { copyBytes, type OutputBuffer } from "../connection.ts";
import type { MemoryAccount } from "../memory.ts";
import { ConnectionError } from "./errors.ts";
import { trailersAreValid } from "./field-rules.ts";
import { FloodGuard } from "./flood-guard.ts";
import { putFrameHeader, writeReset } from "./frames.ts";
import { HeadReader } from "./head-reader.ts";
import { type Fields, HeaderWriter, type RepeatedFields } from "./header-writer.ts";
import { type Http2Limits, RESET_EARLY_MS, RESET_ID_BYTES, RESET_MEMORY_COUNT } from "./limits.ts";
import { Flag, FRAME_HEADER_BYTES, FrameType, Http2Code, INT31_MAX } from "./protocol.ts";
import { ReceiveCredit } from "./receive-credit.ts";
import { RecentIds } from "./recent-ids.ts";
import type { Http2Head, Http2Role } from "./role.ts";
import { MESSAGE_PREFIX_BYTES, putMessagePrefix, Sender } from "./sender.ts";
import type { PeerSettings } from "./settings.ts";
import { type Http2Stream, StreamState, verifyStream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const LAST_HEADERS = Flag.END_HEADERS | Flag.END_STREAM;
const ENDED = StreamState.REMOTE_ENDED | StreamState.LOCAL_ENDED;

export class StreamEngine<S extends Http2Stream, H extends Http2Head> {
  readonly output: OutputBuffer;
  readonly sender: Sender<S>;
  readonly headers: HeaderWriter;
  readonly guard: FloodGuard;
  readonly peer: PeerSettings;
  /** What the connection holds, where somebody adds it up. */
  readonly memory: MemoryAccount | undefined;
  /** The peer has acknowledged our SETTINGS: it knows how many streams it may open. */
  settingsKnown = false;
  /** Streams over the count, refused since somebody looked. */
  refused = 0;
  /** The time of the connection's last event. */
  nowMs = 0;
  /** The highest stream that the peer opened. */
  lastPeerId = 0;
  /** Streams of the peer above it are ignored: we said so in a GOAWAY. */
  peerIdMax = INT31_MAX;
  readonly #role: Http2Role<S, H>;
  readonly #limits: Http2Limits;
  readonly #server: boolean;
  readonly #table = new StreamTable<S>();
  readonly #credit: ReceiveCredit<S>;
  readonly #heads: HeadReader<H>;
  readonly #resets = new RecentIds(RESET_MEMORY_COUNT);
  #nextId = 1;

  constructor(
    output: OutputBuffer,
    role: Http2Role<S, H>,
    peer: PeerSettings,
    limits: Http2Limits,
    server: boolean,
    memory: MemoryAccount | undefined,
  ) {
    this.output = output;
    this.memory = memory;
    this.peer = peer;
    this.#role = role;
    this.#limits = limits;
    this.#server = server;
    this.#heads = new HeadReader((fields) => role.readHead(fields));
    this.guard = new FloodGuard(output, limits.pingIntervalMinMs);
    this.headers = new HeaderWriter(output);
    this.#credit = new ReceiveCredit(output, limits);
    const owner = {
      endLocal: (stream: S) => this.endLocal(stream, stream.trailers),
      onDrain: (stream: S) => role.onDrain(stream),
      onDataSent: () => this.#dataSent(),
    };
    this.sender = new Sender<S>(output, owner, memory);
  }

  /** Streams open on the wire. */
  get count(): number {
    return this.#table.count;
  }

  /** The same, and on a server cancelled calls whose handler has not ended yet. */
  get callCount(): number {
    return this.#table.callCount;
  }

  /** What streams and what is remembered of them take, by estimate. */
  get keptBytes(): number {
    const resets = this.#resets.count * RESET_ID_BYTES;
    return this.#table.keptBytes + this.#heads.keptBytes + resets;
  }

  /** The open streams now; a copy. */
  list(): S[] {
    return this.#table.list();
  }

  // ---- what the peer sends ----------------------------------------------------------------

  /** One whole header block: of a HEADERS frame or put together from several. */
  onHeaderBlock(id: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    this.#onBlock(id, endStream, bytes, start, end);
    if (this.#server) this.guard.onTable(this.#heads.insertedBytes, this.nowMs);
  }

  /** `size` is the frame's payload with padding; the data is bytes[start, end). */
  onData(
    id: number,
    endStream: boolean,
    bytes: Buffer,
    start: number,
    end: number,
    size: number,
  ): void {
    this.#credit.takeFrame(size);
    const stream = this.#table.get(id);
    if (stream === undefined) {
      this.#checkClosed(id, "DATA");
      return;
    }
    if ((stream.state & StreamState.REMOTE_ENDED) !== 0) {
      throw new ConnectionError(Http2Code.STREAM_CLOSED, `DATA after the end of ${id}`);
    }
    this.#credit.takeStream(stream, size);
    stream.received += end - start;
    if (stream.expected >= 0 && !lengthAgrees(stream, endStream)) {
      this.resetFault(stream, Http2Code.PROTOCOL_ERROR);
      return;
    }
    if (endStream) this.#endRemote(stream);
    else if (start === end) this.guard.onControl(this.nowMs);
    this.#role.onData(stream, bytes, start, end, endStream);
    if (endStream) this.#closeIfEnded(stream);
    else if ((stream.state & StreamState.READ_PAUSED) === 0) this.#credit.settle(stream);
  }

  /** The stream's reader goes on: returns the window that was kept back. */
  resume(stream: S): void {
    this.#credit.settle(stream);
  }

  onRstStream(id: number, code: number): void {
    const stream = this.#table.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) idle("RST_STREAM", id);
      this.guard.onControl(this.nowMs);
      return;
    }
    this.#close(stream);
    this.#role.onReset(stream, code);
    if (!this.#server) return;
    if (this.nowMs - stream.startedMs < RESET_EARLY_MS) this.guard.onReset(this.nowMs);
    else this.guard.onControl(this.nowMs);
  }

  /** For a stream; the connection's own goes to sender.window. */
  onWindowUpdate(id: number, increment: number): void {
    const stream = this.#table.get(id);
    if (stream === undefined) {
      if (this.#isIdle(id)) idle("WINDOW_UPDATE", id);
      return;
    }
    if (stream.sendWindow + increment > INT31_MAX) {
      const reason = `send window of stream ${id} above 2^31-1`;
      throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, reason);
    }
    stream.sendWindow += increment;
    this.sender.wake(stream);
    this.sender.pump();
  }

  /** The peer changed SETTINGS_INITIAL_WINDOW_SIZE by `delta` (§6.9.2). */
  onInitialWindow(delta: number): void {
    if (delta === 0) return;
    this.guard.onSweep(this.#table.count, this.nowMs);
    for (const stream of this.#table.list()) {
      if (stream.sendWindow + delta > INT31_MAX) {
        throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, "a window grew above 2^31-1");
      }
      stream.sendWindow += delta;
      this.sender.wake(stream);
    }
    this.sender.pump();
  }

  // ---- what the role sends ----------------------------------------------------------------

  /** Client: whether one more stream may be opened now. */
  canOpen(): boolean {
    return this.#table.count < this.peer.concurrentStreamsMax && this.#nextId <= INT31_MAX;
  }

  /** Client: ids are used up; a new connection is needed (§5.1.1). */
  get exhausted(): boolean {
    return this.#nextId > INT31_MAX;
  }

  /** Client: gives the stream the next id and sends its request; ends it if nothing is queued. */
  openLocal(stream: S, fields: readonly string[]): void {
    assert(stream.id === 0 && this.canOpen(), "no stream to open");
    stream.id = this.#nextId;
    this.#nextId += 2;
    this.#addStream(stream);
    const ends = (stream.state & StreamState.END_QUEUED) !== 0 && stream.queue === undefined;
    this.headers.write(stream.id, fields, ends);
    if (ends) stream.state |= StreamState.LOCAL_ENDED;
    this.sender.wake(stream);
    this.sender.move();
  }

  /** Server: the stream's window from now on, if that is more than usual. */
  widen(stream: S, windowBytes: number): void {
    this.#credit.widen(stream, windowBytes);
  }

  sendHead(stream: S, fields: Fields): void {
    this.guard.onSent();
    this.headers.write(stream.id, fields, false);
  }

  /** Sends head, one gRPC message and trailers, and ends our side. The way of unary answers. */
  answer(
    stream: S,
    head: RepeatedFields,
    bytes: Uint8Array,
    start: number,
    end: number,
    tail: RepeatedFields,
  ): void {
    const headBlock = this.headers.blockOf(head);
    const tailBlock = this.headers.blockOf(tail);
    const length = end - start;
    const size = MESSAGE_PREFIX_BYTES + length;
    if (!headBlock || !tailBlock || !this.sender.canSendNow(stream, size)) {
      this.sendHead(stream, head);
      this.sender.send(stream, bytes, start, end, true);
      this.finish(stream, tail);
      return;
    }
    const { output } = this;
    const total = 3 * FRAME_HEADER_BYTES + headBlock.length + size + tailBlock.length;
    let at = output.reserve(total);
    const out = output.bytes;
    const { id } = stream;
    at = putFrameHeader(out, at, headBlock.length, FrameType.HEADERS, Flag.END_HEADERS, id);
    copyBytes(headBlock, 0, headBlock.length, out, at);
    at = putFrameHeader(out, at + headBlock.length, size, FrameType.DATA, 0, id);
    at = putMessagePrefix(out, at, length);
    copyBytes(bytes, start, end, out, at);
    at = putFrameHeader(out, at + length, tailBlock.length, FrameType.HEADERS, LAST_HEADERS, id);
    copyBytes(tailBlock, 0, tailBlock.length, out, at);
    this.sender.spend(stream, size);
    this.localEnded(stream);
  }

  /** Ends our side after what is queued: by trailers, or by END_STREAM alone. */
  finish(stream: S, trailers: Fields | undefined): void {
    if ((stream.state & (StreamState.LOCAL_ENDED | StreamState.CLOSED)) !== 0) return;
    if (stream.queue === undefined && stream.id !== 0) {
      this.endLocal(stream, trailers);
      return;
    }
    stream.trailers = trailers;
    stream.state |= StreamState.END_QUEUED;
  }

  /** Nothing is queued any more: writes the trailers; without any the last frame has said it. */
  endLocal(stream: S, trailers: Fields | undefined): void {
    if (trailers !== undefined) {
      this.guard.onSent();
      this.headers.write(stream.id, trailers, true);
    } else if ((stream.state & StreamState.END_QUEUED) === 0 && !this.sender.endLastFrame(stream)) {
      const at = this.output.reserve(FRAME_HEADER_BYTES);
      putFrameHeader(this.output.bytes, at, 0, FrameType.DATA, Flag.END_STREAM, stream.id);
    }
    this.localEnded(stream);
  }

  /** Our END_STREAM has been written. */
  localEnded(stream: S): void {
    stream.state |= StreamState.LOCAL_ENDED;
    const { state } = stream;
    if ((state & StreamState.REMOTE_ENDED) !== 0) this.#closeIfEnded(stream);
    else if ((state & StreamState.CLOSE_AFTER) !== 0) this.reset(stream, Http2Code.NO_ERROR);
  }

  /** Ends the stream by our own will; the role is not told. */
  reset(stream: S, code: Http2Code): void {
    if ((stream.state & StreamState.CLOSED) !== 0) return;
    this.#close(stream);
    if (stream.id !== 0) this.#sendReset(stream.id, code);
  }

  /** Ends the stream by the peer's fault: counted, and the role is told. */
  resetFault(stream: S, code: Http2Code): void {
    this.reset(stream, code);
    this.#role.onReset(stream, code);
    this.guard.onReset(this.nowMs);
  }

  /** The connection is over: closes every stream and tells the role. */
  closeAll(code: Http2Code): void {
    for (const stream of this.#table.list()) this.abandon(stream, code);
  }

  /** A cancelled call counts until its handler has ended. */
  linger(stream: S): void {
    this.#table.linger(stream);
  }

  endLinger(stream: S): void {
    this.#table.endLinger(stream);
  }

  /** Closes a stream of which the peer needs no word. */
  abandon(stream: S, code: Http2Code): void {
    if ((stream.state & StreamState.CLOSED) !== 0) return;
    this.#close(stream);
    this.#role.onReset(stream, code);
  }

  /** `waiting`: the streams of a client that have no id yet. */
  verify(waiting: readonly S[]): void {
    this.#table.verify();
    const streams = this.#table.list();
    for (const stream of streams) verifyStream(stream);
    this.sender.verify([...streams, ...waiting]);
    this.#credit.verify(streams);
    const { concurrentStreamsMax } = this.#limits;
    assert(!this.#server || streams.length <= concurrentStreamsMax, "too many open streams");
  }

  // ---- inside -----------------------------------------------------------------------------

  #dataSent(): void {
    this.guard.earn();
    this.guard.onSent();
  }

  #onBlock(id: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    if (this.#server && (id & 1) === 1 && id > this.lastPeerId) {
      this.#onRequest(id, endStream, bytes, start, end);
      return;
    }
    const stream = this.#table.get(id);
    if (stream === undefined) {
      this.#checkClosed(id, "HEADERS");
      this.#heads.readFields(bytes, start, end); // keeps the decoder in step (§4.3)
    } else if ((stream.state & StreamState.REMOTE_ENDED) !== 0) {
      throw new ConnectionError(Http2Code.STREAM_CLOSED, `HEADERS after the end of ${id}`);
    } else if (this.#server) this.#onTrailers(stream, endStream, bytes, start, end);
    else this.#onResponse(stream, endStream, bytes, start, end);
  }

  #onRequest(id: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    this.lastPeerId = id;
    const head = this.#heads.readHead(bytes, start, end);
    if (id > this.peerIdMax) {
      this.guard.onControl(this.nowMs);
      return;
    }
    if (head === undefined) this.#refuse(id, this.#heads.fault);
    else if (this.callCount >= this.#limits.concurrentStreamsMax) {
      this.#refuseForCount(id);
    } else {
      this.guard.earn();
      const stream = this.#role.open(id, head);
      stream.expected = head.contentLength;
      stream.headBytes = this.#heads.ownBytes;
      this.#addStream(stream);
      if (endStream && head.contentLength > 0) {
        this.resetFault(stream, Http2Code.PROTOCOL_ERROR);
        return;
      }
      if (endStream) this.#endRemote(stream);
      this.#role.onHead(stream, head, endStream);
      if (endStream) this.#closeIfEnded(stream);
    }
  }

  #onTrailers(stream: S, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    const fields = this.#heads.readFields(bytes, start, end);
    if (fields === undefined) this.resetFault(stream, this.#heads.fault);
    else if (!endStream || !trailersAreValid(fields) || !lengthAgrees(stream, true)) {
      this.resetFault(stream, Http2Code.PROTOCOL_ERROR);
    } else {
      this.#endRemote(stream);
      this.#role.onRemoteEnd(stream);
      this.#closeIfEnded(stream);
    }
  }

  #onResponse(stream: S, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    const head = this.#heads.readHead(bytes, start, end);
    if (head === undefined) {
      this.resetFault(stream, this.#heads.fault);
      return;
    }
    if (head.contentLength >= 0) stream.expected = head.contentLength;
    if (endStream && !lengthAgrees(stream, true)) {
      this.resetFault(stream, Http2Code.PROTOCOL_ERROR);
      return;
    }
    if (endStream) this.#endRemote(stream);
    this.#role.onHead(stream, head, endStream);
    if (endStream) this.#closeIfEnded(stream);
  }

  #addStream(stream: S): void {
    stream.startedMs = this.nowMs;
    stream.sendWindow = this.peer.initialWindowBytes;
    stream.usualWindow = this.#limits.streamWindowBytes;
    stream.recvWindow = stream.usualWindow;
    this.#table.add(stream);
  }

  #endRemote(stream: S): void {
    stream.state |= StreamState.REMOTE_ENDED;
    this.#credit.release(stream);
  }

  #closeIfEnded(stream: S): void {
    if ((stream.state & (ENDED | StreamState.CLOSED)) === ENDED) this.#close(stream);
  }

  #close(stream: S): void {
    stream.state |= StreamState.CLOSED;
    if (stream.id !== 0) this.#table.remove(stream);
    this.sender.drop(stream);
    this.#credit.release(stream);
    this.#role.onClosed(stream);
  }

  /** A stream that the peer opened and that never was: the peer's fault. */
  #refuse(id: number, code: Http2Code): void {
    this.#sendReset(id, code);
    this.guard.onReset(this.nowMs);
  }

  /** Until the peer knows our bound it may go over it in good faith (§6.5.3). */
  #refuseForCount(id: number): void {
    this.refused++;
    if (this.settingsKnown) this.#refuse(id, Http2Code.REFUSED_STREAM);
    else {
      this.#sendReset(id, Http2Code.REFUSED_STREAM);
      this.guard.onControl(this.nowMs);
    }
  }

  #sendReset(id: number, code: Http2Code): void {
    this.#resets.add(id);
    writeReset(this.output, id, code);
  }

  /** A frame for a stream that is not open: fine only if the peer cannot know that (§5.1). */
  #checkClosed(id: number, frame: string): void {
    if (this.#isIdle(id)) idle(frame, id);
    this.guard.onControl(this.nowMs);
    if (this.#server && id > this.peerIdMax) return;
    if (!this.#resets.has(id)) {
      throw new ConnectionError(Http2Code.STREAM_CLOSED, `${frame} on closed stream ${id}`);
    }
  }

  #isIdle(id: number): boolean {
    if ((id & 1) === 0) return true;
    return this.#server ? id > this.lastPeerId : id >= this.#nextId;
  }
}

function idle(frame: string, id: number): never {
  throw new ConnectionError(Http2Code.PROTOCOL_ERROR, `${frame} on idle stream ${id}`);
}

/** §8.1.1: DATA adds up to the content-length. */
function lengthAgrees(stream: Http2Stream, ended: boolean): boolean {
  if (stream.expected < 0) return true;
  return ended ? stream.received === stream.expected : stream.received <= stream.expected;
}
