/**
 * The other way round: a server of raw frames on a free port, for a client that is under test. Each
 * connection runs a script, which reads frames one after the other and answers what it likes.
 */
import { createServer, type Socket } from "node:net";
import { Decoder, type Field } from "./hpack.ts";
import {
  cut,
  type Entry,
  Flag,
  type Frame,
  PREFACE,
  SETTINGS_ACK,
  settings,
  Type,
} from "./wire.ts";

/** One connection of a client; `next()` after its end is undefined. */
export class Caller {
  readonly preface: Promise<Buffer>;
  readonly #socket: Socket;
  readonly #decoder = new Decoder();
  readonly #frames: Frame[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #prefaceLeft = PREFACE.length;
  #ended = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    const { promise, resolve } = Promise.withResolvers<Buffer>();
    this.preface = promise;
    socket.on("data", (bytes: Buffer) => this.#onData(bytes, resolve));
    socket.on("error", () => this.#onEnd());
    socket.on("close", () => this.#onEnd());
  }

  send(...parts: readonly Uint8Array[]): void {
    if (!this.#ended) this.#socket.write(Buffer.concat(parts));
  }

  end(): void {
    this.#socket.end();
  }

  /** The next frame of the client. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined || this.#ended) return frame;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  /** The next frame of a type; undefined if the client goes before. */
  async of(type: number): Promise<Frame | undefined> {
    for (;;) {
      const frame = await this.next();
      if (frame === undefined || frame.type === type) return frame;
    }
  }

  /** Prefaces both ways, with more settings of ours. */
  async greet(...ours: readonly Entry[]): Promise<Frame | undefined> {
    this.send(settings(...ours));
    const theirs = await this.next();
    this.send(SETTINGS_ACK);
    return theirs;
  }

  /** The fields of a HEADERS frame. */
  fieldsOf({ payload }: Frame): readonly Field[] {
    return this.#decoder.decode(payload);
  }

  #onData(bytes: Buffer, onPreface: (preface: Buffer) => void): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    if (this.#prefaceLeft > 0) {
      if (this.#bytes.length < this.#prefaceLeft) return;
      onPreface(this.#bytes.subarray(0, PREFACE.length));
      this.#bytes = this.#bytes.subarray(PREFACE.length);
      this.#prefaceLeft = 0;
    }
    const { frames, rest } = cut(this.#bytes);
    this.#frames.push(...frames);
    this.#bytes = rest;
    this.#wake();
  }

  #onEnd(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Serves until disposed of; a script that throws is thrown again then. */
export async function rawServer(
  script: (caller: Caller) => Promise<void>,
): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<Socket>();
  const runs: Promise<void>[] = [];
  const server = createServer((socket) => {
    sockets.add(socket);
    runs.push(script(new Caller(socket)));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await Promise.all(runs);
    },
  };
}

/** Whether a frame ends its side of the stream. */
export function endsStream({ type, flags }: Frame): boolean {
  return (type === Type.DATA || type === Type.HEADERS) && (flags & Flag.END_STREAM) !== 0;
}
