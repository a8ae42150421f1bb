/**
 * An HTTP/2 client without manners, for attack scripts: sends what it is told, frame by frame or
 * byte by byte, keeps no rule, and notes how the server ended it. Nothing it sends is made by the
 * code under attack.
 */
import type { Socket } from "bun";
import type { Attack } from "./script.ts";

const CODES = [
  ...["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT"],
  ...["STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR"],
  ...["CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"],
];

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;
export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;
/** SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2). */
export const INITIAL_WINDOW_SIZE = 4;
/** The largest window (§6.9.1). */
export const WINDOW_MAX = 2 ** 31 - 1;

const HEADER_BYTES = 9;
const NONE = new Uint8Array(0);

/** One frame; `id` is written as it is. */
export function frame(type: number, flags: number, id: number, payload: Uint8Array = NONE): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id >>> 0, 5);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

export function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

/** All that a connection's window may still grow by: answers then never wait for it. */
export function widen(): Buffer {
  return frame(WINDOW_UPDATE, 0, 0, u32(WINDOW_MAX - 65_535));
}

/** A SETTINGS frame of identifier and value pairs. */
export function settings(...entries: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [index, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, index * 6);
    payload.writeUInt32BE(value >>> 0, index * 6 + 2);
  }
  return frame(SETTINGS, 0, 0, payload);
}

/** A header block that uses no table but the static one: literals, never indexed. */
export function block(fields: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [field(name, value)]));
}

/** A literal field without indexing (RFC 7541 §6.2.2); lengths up to 127 + 2^28. */
function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([integer(bytes.length, 7, 0), bytes]);
}

/** RFC 7541 §5.1 */
export function integer(value: number, prefixBits: number, first: number): Buffer {
  const limit = (1 << prefixBits) - 1;
  if (value < limit) return Buffer.from([first | value]);
  const bytes = [first | limit];
  let left = value - limit;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

export const RANGE = "/etcdserverpb.KV/Range";
export const PUT = "/etcdserverpb.KV/Put";
export const WATCH = "/etcdserverpb.Watch/Watch";

/** The header block of a gRPC request. */
export function request(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  return block([
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "attacked"],
    ["te", "trailers"],
    ["content-type", "application/grpc"],
    ...more,
  ]);
}

/** A gRPC message with its prefix. */
export function message(content: Uint8Array, flag = 0): Buffer {
  return Buffer.concat([Buffer.from([flag]), u32(content.length), content]);
}

/** A protobuf field of bytes. */
export function bytesField(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([integer((number << 3) | 2, 7, 0), varint(content.length), content]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

export class HostileConnection {
  /** Frames that came, by type. */
  readonly received: number[] = new Array(10).fill(0);
  /** Status lines of gRPC are not decoded; resets are counted by the name of their code. */
  readonly resets: Record<string, number> = {};
  dataBytes = 0;
  #socket: Socket | undefined;
  #closed = false;
  #goaway = "";
  #left = Buffer.alloc(0);
  #unsent = Buffer.alloc(0);
  readonly #ended = Promise.withResolvers<string>();
  #drained = Promise.withResolvers<void>();

  /** Connected; nothing is sent. */
  static async open(port: number): Promise<HostileConnection> {
    const connection = new HostileConnection();
    await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          connection.#socket = socket;
        },
        data: (_socket, bytes) => connection.#onData(bytes),
        drain: () => connection.#flush(),
        close: () => connection.#onClose(),
        error: () => connection.#onClose(),
      },
    });
    return connection;
  }

  /** Connected, with preface and SETTINGS sent, and the connection's window opened wide. */
  static async begin(
    port: number,
    ...entries: readonly (readonly [number, number])[]
  ): Promise<HostileConnection> {
    const connection = await HostileConnection.open(port);
    connection.send(PREFACE, settings(...entries));
    return connection;
  }

  /** How the server ended it: "GOAWAY <code>" or "closed". */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends, or keeps for when the socket takes more; false: wait for drained() before the next. */
  send(...parts: readonly Uint8Array[]): boolean {
    if (this.#closed) return false;
    const bytes = parts.length === 1 ? Buffer.from(parts[0] as Uint8Array) : Buffer.concat(parts);
    this.#unsent = this.#unsent.length === 0 ? bytes : Buffer.concat([this.#unsent, bytes]);
    this.#flush();
    return this.#unsent.length === 0;
  }

  /** The socket has taken everything, or is gone. */
  async drained(): Promise<void> {
    if (this.#closed || this.#unsent.length === 0) return;
    await this.#drained.promise;
  }

  /** Reads nothing more: what the server sends stays in the kernel, then at the server. */
  pause(): void {
    this.#socket?.pause();
  }

  close(): void {
    this.#socket?.terminate();
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#unsent.length === 0) return;
    const written = socket.write(this.#unsent);
    if (written > 0) this.#unsent = this.#unsent.subarray(written);
    if (this.#unsent.length > 0) return;
    this.#drained.resolve();
    this.#drained = Promise.withResolvers<void>();
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#left.length === 0 ? chunk : Buffer.concat([this.#left, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const next = at + HEADER_BYTES + bytes.readUIntBE(at, 3);
      if (next > bytes.length) break;
      this.#onFrame(bytes[at + 3] as number, bytes.subarray(at + HEADER_BYTES, next));
      at = next;
    }
    this.#left = Buffer.from(bytes.subarray(at));
  }

  #onFrame(type: number, payload: Buffer): void {
    this.received[type] = (this.received[type] ?? 0) + 1;
    if (type === DATA) this.dataBytes += payload.length;
    if (type === GOAWAY) this.#goaway = nameOf(payload.readUInt32BE(4));
    if (type !== RST_STREAM) return;
    const name = nameOf(payload.readUInt32BE(0));
    this.resets[name] = (this.resets[name] ?? 0) + 1;
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#drained.resolve();
    this.#ended.resolve(this.#goaway === "" ? "closed" : `GOAWAY ${this.#goaway}`);
  }
}

function nameOf(code: number): string {
  return CODES[code] ?? `code ${code}`;
}

/**
 * Keeps `count` connections at `strike` until the time is up: each again and again, and a new one
 * for each that the server has ended. `strike` sends one burst. Those that are open at the end go
 * on for up to `goOnMs`, unmeasured, to see how the server ends them.
 */
export async function keepStriking(
  attack: Attack,
  count: number,
  open: () => Promise<HostileConnection>,
  strike: (connection: HostileConnection) => void,
  goOnMs = 0,
): Promise<void> {
  const one = async (): Promise<void> => {
    while (!attack.over) {
      const connection = await open();
      attack.count("connections");
      while (!attack.overFor(goOnMs) && !connection.closed) {
        strike(connection);
        await Promise.race([connection.drained(), Bun.sleep(attack.leftMs + goOnMs)]);
        await Bun.sleep(0);
      }
      attack.end(connection.closed ? await connection.ended : "still open");
      connection.close();
    }
  };
  attack.begin();
  await Promise.all(Array.from({ length: count }, one));
}
