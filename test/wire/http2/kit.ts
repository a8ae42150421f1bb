/** A peer made by hand: builds frames, reads the machine's, and keeps both ends' HPACK state. */
import { ByteWriter } from "../../../src/base/bytes.ts";
import type { ProtocolConnection } from "../../../src/wire/connection.ts";
import { GrpcServer, type GrpcServerOptions } from "../../../src/wire/grpc/grpc-server.ts";
import type { Method, ServerCall } from "../../../src/wire/grpc/server-call.ts";
import { GrpcServerConnection } from "../../../src/wire/grpc/server-connection.ts";
import { GrpcCode } from "../../../src/wire/grpc/status.ts";
import { HpackDecoder } from "../../../src/wire/hpack/decoder.ts";
import { HpackEncoder } from "../../../src/wire/hpack/encoder.ts";
import { http2CodeName, PREFACE } from "../../../src/wire/http2/protocol.ts";

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;
export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
export const PADDED = 8;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id >>> 0, 5);
  return Buffer.concat([header, payload]);
}

export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    bytes.writeUInt32BE(value >>> 0, index * 4);
  });
  return bytes;
}

export const NONE = Buffer.alloc(0);

export function settings(...entries: [number, number][]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  entries.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value >>> 0, index * 6 + 2);
  });
  return frame(SETTINGS, 0, 0, payload);
}

/** A gRPC message with its prefix. */
export function message(content: Uint8Array | string, flag = 0): Buffer {
  const bytes = Buffer.from(content as Uint8Array);
  return Buffer.concat([Buffer.from([flag]), u32(bytes.length), bytes]);
}

export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    const payload = Buffer.from(bytes.subarray(at + 9, at + 9 + length));
    if (payload.length !== length) throw new Error("a frame of the machine is cut off");
    const id = bytes.readUInt32BE(at + 5);
    frames.push({ type: bytes[at + 3] as number, flags: bytes[at + 4] as number, id, payload });
    at += 9 + length;
  }
  return frames;
}

/** Takes all that the machine has to say. */
export function takeOutput(machine: ProtocolConnection): Buffer {
  const { output } = machine;
  const bytes = Buffer.from(output.bytes.subarray(output.start, output.end));
  output.advance(output.pending);
  return bytes;
}

export const PATH = "/test.Service/Unary";
export const STREAM_PATH = "/test.Service/Stream";

export function requestFields(path = PATH, extra: readonly string[] = []): string[] {
  return [
    ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "test"],
    ...["te", "trailers", "content-type", "application/grpc", ...extra],
  ];
}

/** What a test's streaming calls saw; one entry per event. */
export interface Seen {
  readonly events: string[];
  readonly calls: ServerCall[];
}

/**
 * Unary answers with what it got, at once; Late leaves its call in `seen`; Stream echoes each
 * message and finishes when the client has.
 */
export function testMethods(seen: Seen): Method[] {
  return [
    { path: PATH, unary: (call, bytes, start, end) => call.reply(bytes, start, end) },
    { path: "/test.Service/Late", unary: (call) => seen.calls.push(call) },
    {
      path: STREAM_PATH,
      stream: (call) => {
        seen.calls.push(call);
        return {
          onMessage(bytes, start, end) {
            seen.events.push(`message ${end - start}`);
            call.send(bytes, start, end);
          },
          onHalfClose() {
            seen.events.push("half close");
            call.finish();
          },
          onCancel: () => seen.events.push("cancel"),
          onDrain: () => seen.events.push("drain"),
        };
      },
    },
  ];
}

export class RawClient {
  readonly seen: Seen = { events: [], calls: [] };
  readonly server: GrpcServerConnection;
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder({ tableBytesMax: 4096, listBytesMax: 1 << 20 });
  nowMs = 0;
  frames: Frame[] = [];

  constructor(options: Partial<GrpcServerOptions> = {}) {
    const server = new GrpcServer({
      methods: testMethods(this.seen),
      mapError: (error) => ({ code: GrpcCode.INTERNAL, message: String(error) }),
      ...options,
    });
    this.server = new GrpcServerConnection(server, { peer: "raw", nowMs: 0 });
  }

  /** A client past preface and SETTINGS, whose answers have been read. */
  static open(options: Partial<GrpcServerOptions> = {}, ...entries: [number, number][]): RawClient {
    const client = new RawClient(options);
    client.send(PREFACE, settings(...entries));
    client.frames = [];
    return client;
  }

  /** Hands over the parts as one chunk and reads what comes back. */
  send(...parts: Uint8Array[]): this {
    this.server.receive(Buffer.concat(parts), this.nowMs);
    return this.read();
  }

  read(): this {
    this.server.verify();
    this.frames.push(...readFrames(takeOutput(this.server)));
    return this;
  }

  tick(nowMs: number): this {
    this.nowMs = nowMs;
    this.server.tick(nowMs);
    return this.read();
  }

  block(fields: readonly string[]): Buffer {
    const out = new ByteWriter();
    this.#encoder.encode(fields, out);
    return Buffer.from(out.view());
  }

  headers(id: number, fields = requestFields(), flags = END_HEADERS): Buffer {
    return frame(HEADERS, flags, id, this.block(fields));
  }

  /** A whole unary request. */
  request(id: number, content: Uint8Array | string = "hello", fields = requestFields()): Buffer {
    return Buffer.concat([this.headers(id, fields), frame(DATA, END_STREAM, id, message(content))]);
  }

  /** The fields of every HEADERS frame read so far and not yet decoded, in order. */
  fieldsOf(of: Frame): string[] {
    return this.#decoder.decode(of.payload, 0, of.payload.length);
  }

  /** "GOAWAY <name>" or "open". */
  get end(): string {
    const last = this.frames.filter((f) => f.type === GOAWAY).at(-1);
    if (!this.server.closing) return last === undefined ? "open" : "draining";
    return last === undefined ? "closed" : `GOAWAY ${http2CodeName(last.payload.readUInt32BE(4))}`;
  }

  /** The codes of RST_STREAM frames, by name, as "id NAME". */
  get resets(): string[] {
    return this.frames
      .filter((f) => f.type === RST_STREAM)
      .map((f) => `${f.id} ${http2CodeName(f.payload.readUInt32BE(0))}`);
  }

  /** What came on a stream: HEADERS as fields, DATA joined, "END". Decodes: call it once. */
  answer(id: number): { fields: string[][]; data: Buffer; ended: boolean } {
    const fields: string[][] = [];
    const data: Buffer[] = [];
    let ended = false;
    for (const f of this.frames) {
      if (f.type === HEADERS) {
        const list = this.fieldsOf(f); // every block, to keep the table in step
        if (f.id === id) fields.push(list);
      }
      if (f.id !== id) continue;
      if (f.type === DATA) data.push(f.payload);
      if ((f.type === DATA || f.type === HEADERS) && (f.flags & END_STREAM) !== 0) ended = true;
    }
    return { fields, data: Buffer.concat(data), ended };
  }
}

/** The value of a field in a flat list. */
export function fieldOf(fields: readonly string[] | undefined, name: string): string | undefined {
  const at = fields?.indexOf(name) ?? -1;
  return at < 0 ? undefined : fields?.[at + 1];
}
