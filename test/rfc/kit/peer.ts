/**
 * One raw connection to a server: sends any bytes, reads frames, audits all of them.
 *
 *   await using peer = await open(port);       preface and SETTINGS exchanged
 *   peer.send(headers(peer.newId(), block(...)));
 *   expect(await peer.answer(1)).toMatchObject({ status: "200" });
 *
 * What is awaited comes or the wait ends with what came instead. Disposing throws the audit's
 * faults, so a test need not look for them.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { Audit, contentOf } from "./audit.ts";
import { block, type Field } from "./hpack.ts";
import {
  codeName,
  cut,
  type Entry,
  Flag,
  type Frame,
  headers,
  INT31_MAX,
  PREFACE,
  SETTINGS_ACK,
  settings,
  Type,
  typeName,
} from "./wire.ts";

/** A server answers at once; this is for a busy machine, and below the 5 s of a test: at those,
 * the runner would end the server, and every later test of the file with it. */
const WAIT_MS_MAX = 4000;

/** A frame with what the audit decoded from it. */
export interface Received extends Frame {
  readonly fields: readonly Field[] | undefined;
}

export interface Answer {
  readonly status: string | undefined;
  readonly head: readonly Field[];
  readonly body: Buffer;
  readonly trailers: readonly Field[];
}

/** How a stream or the connection ended. */
export interface Ending {
  readonly of: "stream" | "connection";
  readonly code: string;
}

export class Peer implements AsyncDisposable {
  readonly audit = new Audit();
  readonly #socket: Socket;
  readonly #inbox: Received[] = [];
  #received: Buffer = Buffer.alloc(0);
  #written: Buffer = Buffer.alloc(0);
  #prefaceLeft = PREFACE.length;
  #nextId = 1;
  #closed = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => this.#onData(bytes));
    socket.on("error", () => this.#onClose());
    socket.on("end", () => this.#onClose());
    socket.on("close", () => this.#onClose());
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The bytes that came last and are no whole frame. */
  get leftover(): Buffer {
    return this.#received;
  }

  /** The next stream identifier of a client. */
  newId(): number {
    this.#nextId += 2;
    return this.#nextId - 2;
  }

  /** Writes bytes in one go, and counts the frames among them. */
  send(...parts: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(parts);
    this.#count(bytes);
    if (!this.#closed) this.#socket.write(bytes);
  }

  /** A request without content; its stream. */
  request(fields: readonly Field[] = VERSION_REQUEST): number {
    const id = this.newId();
    this.send(headers(id, block(fields), Flag.END_HEADERS | Flag.END_STREAM));
    return id;
  }

  /** The next frame that fits; those before it are dropped. */
  async frame(what: string, fits: (frame: Received) => boolean): Promise<Received> {
    const seen: string[] = [];
    const deadline = performance.now() + WAIT_MS_MAX;
    for (;;) {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        if (fits(next)) return next;
        seen.push(`${typeName(next.type)} on ${next.id}`);
      }
      const late = performance.now() >= deadline;
      if (this.#closed || late) {
        const state = this.#closed ? "connection closed" : "nothing more came";
        throw new Error(`waited for ${what}; came: ${seen.join(", ")}; ${state}`);
      }
      await this.#change(deadline);
    }
  }

  /** The next frame of a type, on a stream if one is given. */
  async next(type: number, id?: number): Promise<Received> {
    const what = `${typeName(type)}${id === undefined ? "" : ` on ${id}`}`;
    return await this.frame(what, (frame) => {
      return frame.type === type && (id === undefined || frame.id === id);
    });
  }

  /** The whole answer on a stream; throws when it is reset or the connection ends. */
  async answer(id: number): Promise<Answer> {
    const sections: (readonly Field[])[] = [];
    const pieces: Buffer[] = [];
    for (let ended = false; !ended; ) {
      const frame = await this.frame(`the answer on ${id}`, (one) => one.id === id);
      if (frame.type === Type.RST_STREAM) {
        throw new Error(`stream ${id} reset: ${codeName(frame.payload.readUInt32BE(0))}`);
      }
      if (frame.fields !== undefined) sections.push(frame.fields);
      if (frame.type === Type.DATA) pieces.push(contentOf(frame));
      const endable = frame.type === Type.DATA || frame.type === Type.HEADERS;
      ended = endable && (frame.flags & Flag.END_STREAM) !== 0;
    }
    const [head = [], trailers = []] = sections;
    return { status: fieldOf(head, ":status"), head, body: Buffer.concat(pieces), trailers };
  }

  /** RST_STREAM on the stream, or GOAWAY with the end of the connection, as §5.4.1 allows. */
  async failure(id: number): Promise<Ending> {
    const frame = await this.frame(`RST_STREAM on ${id} or GOAWAY`, (one) => {
      return one.type === Type.GOAWAY || (one.type === Type.RST_STREAM && one.id === id);
    });
    if (frame.type === Type.RST_STREAM) {
      return { of: "stream", code: codeName(frame.payload.readUInt32BE(0)) };
    }
    await this.end();
    return { of: "connection", code: codeName(frame.payload.readUInt32BE(4)) };
  }

  /** The code of the GOAWAY that comes next, once the connection has ended after it (§5.4.1). */
  async goaway(): Promise<string> {
    const frame = await this.next(Type.GOAWAY);
    await this.end();
    return codeName(frame.payload.readUInt32BE(4));
  }

  /** The server has closed the TCP connection. */
  async end(): Promise<void> {
    const deadline = performance.now() + WAIT_MS_MAX;
    while (!this.#closed) {
      if (performance.now() >= deadline) throw new Error("the connection was not closed");
      await this.#change(deadline);
    }
  }

  /** Throws unless a new request is answered: nothing before it hurt the connection. */
  async serves(): Promise<void> {
    const { status } = await this.answer(this.request());
    if (status !== "200") throw new Error(`a good request got ${status}`);
  }

  /** The server has taken all that was sent before; what it said until then. */
  async settle(): Promise<Received[]> {
    const before: Received[] = [];
    this.send(settings());
    await this.frame("the acknowledgment of SETTINGS", (frame) => {
      before.push(frame);
      return frame.type === Type.SETTINGS && (frame.flags & Flag.ACK) !== 0;
    });
    return before.slice(0, -1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    const { faults } = this.audit;
    if (faults.length > 0) throw new Error(`the server broke: ${[...new Set(faults)].join("; ")}`);
  }

  #count(bytes: Buffer): void {
    const skipped = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= skipped;
    const { frames, rest } = cut(Buffer.concat([this.#written, bytes.subarray(skipped)]));
    for (const frame of frames) this.audit.sent(frame);
    this.#written = rest;
  }

  #onData(bytes: Buffer): void {
    const { frames, rest } = cut(Buffer.concat([this.#received, bytes]));
    this.#received = rest;
    for (const frame of frames) {
      this.#inbox.push({ ...frame, fields: this.audit.received(frame) });
    }
    this.#wake();
  }

  #onClose(): void {
    this.#closed = true;
    this.#wake();
  }

  async #change(deadline: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, Math.max(0, deadline - performance.now()));
    await promise;
    clearTimeout(timer);
  }
}

/** Every server here answers it with 200 and some JSON. */
export const VERSION_REQUEST: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/version"],
  [":authority", "127.0.0.1"],
];

/** A TCP connection on which nothing has been sent. */
export async function dial(port: number): Promise<Peer> {
  const socket = connectTcp({ host: "127.0.0.1", port, noDelay: true });
  const peer = new Peer(socket);
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return peer;
}

/** A connection that is past its prefaces, our settings acknowledged and the server's too. */
export async function open(port: number, ...ours: readonly Entry[]): Promise<Peer> {
  const peer = await dial(port);
  await greet(peer, ...ours);
  return peer;
}

/** Exchanges the prefaces (§3.4). */
export async function greet(peer: Peer, ...ours: readonly Entry[]): Promise<void> {
  peer.send(PREFACE, settings(...ours));
  await peer.next(Type.SETTINGS);
  peer.send(SETTINGS_ACK);
  await peer.frame("the acknowledgment of SETTINGS", (frame) => {
    return frame.type === Type.SETTINGS && (frame.flags & Flag.ACK) !== 0;
  });
}

export function fieldOf(fields: readonly Field[], name: string): string | undefined {
  return fields.find(([each]) => each === name)?.[1];
}

/** The last stream of a GOAWAY. */
export function lastIdOf(frame: Frame): number {
  return frame.payload.readUInt32BE(0) & INT31_MAX;
}
