/**
 * What a server must and must not send, looked at in every frame of every connection of these
 * tests. A fault names the requirement as requirements.ts numbers it; the connection's end throws
 * them all (peer.ts).
 */
import { auditFields } from "./audit-fields.ts";
import { AuditWindows } from "./audit-windows.ts";
import { Decoder, type Field } from "./hpack.ts";
import {
  Code,
  codeName,
  Flag,
  FRAME_BYTES_INITIAL,
  type Frame,
  INT31_MAX,
  Setting,
  Type,
  typeName,
} from "./wire.ts";

/** What of a stream the server can know. */
interface Stream {
  sawHead: boolean;
  ended: boolean;
  reset: boolean;
}

/** Flags that a frame type has (RFC 9113 §6). */
const FLAGS: Readonly<Record<number, number>> = {
  [Type.DATA]: Flag.END_STREAM | Flag.PADDED,
  [Type.HEADERS]: Flag.END_STREAM | Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY,
  [Type.SETTINGS]: Flag.ACK,
  [Type.PUSH_PROMISE]: Flag.END_HEADERS | Flag.PADDED,
  [Type.PING]: Flag.ACK,
  [Type.CONTINUATION]: Flag.END_HEADERS,
};

/** Frames of a stream; the others are for the connection. */
const OF_STREAMS: ReadonlySet<number> = new Set([
  ...[Type.DATA, Type.HEADERS, Type.PRIORITY, Type.RST_STREAM, Type.CONTINUATION],
]);

/** What may follow the server's END_STREAM (§5.1, half-closed (local)). */
const AFTER_END: ReadonlySet<number> = new Set([
  ...[Type.WINDOW_UPDATE, Type.RST_STREAM, Type.PRIORITY],
]);

export class Audit {
  readonly faults: string[] = [];
  readonly decoder = new Decoder();
  readonly #windows = new AuditWindows();
  readonly #streams = new Map<number, Stream>();
  /** Our SETTINGS that the server has not acknowledged: their HEADER_TABLE_SIZE values. */
  readonly #unacknowledged: (readonly number[])[] = [];
  readonly #pings: string[] = [];
  #frameBytesMax = FRAME_BYTES_INITIAL;
  #first = true;
  #lastId = INT31_MAX;
  #highestId = 0;
  #highestAnswered = 0;
  #fragments: Buffer[] = [];
  #blockId = 0;
  #blockEnds = false;

  /** A frame that we sent, good or bad. */
  sent(frame: Frame): void {
    const { type, flags, id, payload } = frame;
    this.#windows.sent(frame);
    if (type === Type.HEADERS && id > this.#highestId) {
      this.#highestId = id;
      if (id % 2 === 1) this.#streams.set(id, { sawHead: false, ended: false, reset: false });
    }
    const asks = (flags & Flag.ACK) === 0;
    if (type === Type.PING && asks) this.#pings.push(payload.toString("latin1"));
    if (type === Type.SETTINGS && asks && id === 0 && payload.length % 6 === 0) {
      this.#unacknowledged.push(valuesOf(payload, Setting.HEADER_TABLE_SIZE));
      const sizes = valuesOf(payload, Setting.MAX_FRAME_SIZE);
      this.#frameBytesMax = Math.max(this.#frameBytesMax, ...sizes);
    }
  }

  /** A frame of the server; the decoded fields if it ends a field block. */
  received(frame: Frame): readonly Field[] | undefined {
    this.#general(frame);
    switch (frame.type) {
      case Type.HEADERS:
      case Type.CONTINUATION:
        return this.#block(frame);
      case Type.DATA:
        this.#padding(frame, "§6.1-1");
        this.#check(this.#windows.take(frame), "§5.2.1-1 §6.9.1-1 §6.9.2-3 over the window");
        break;
      case Type.SETTINGS:
        this.#settings(frame);
        break;
      case Type.PING:
        this.#ping(frame);
        break;
      case Type.GOAWAY:
        this.#goaway(frame);
        break;
      case Type.PUSH_PROMISE:
        this.#check(false, "§6.5.2-1 PUSH_PROMISE");
        break;
    }
    this.#stream(frame);
    return undefined;
  }

  /** Adds a fault unless `holds`. */
  #check(holds: boolean, what: string): void {
    if (!holds) this.faults.push(what);
  }

  #general({ type, flags, id, reserved, payload }: Frame): void {
    const name = typeName(type);
    if (this.#first) {
      this.#first = false;
      const preface = type === Type.SETTINGS && (flags & Flag.ACK) === 0;
      this.#check(preface, `§3.3-2 §3.4-2 §6.5-1 the first frame is ${name}`);
    }
    const unused = flags & ~(FLAGS[type] ?? 0);
    this.#check(unused === 0, `§4.1-4 ${name} with the unused flags ${unused}`);
    this.#check(!reserved, `§4.1-5 ${name} with the reserved bit`);
    this.#check(payload.length <= this.#frameBytesMax, `§4.1-1 ${name} of ${payload.length}`);
    if (OF_STREAMS.has(type)) this.#check(id !== 0, `§6.1-2 §6.2-4 §6.4-3 §6.10-3 ${name} on 0`);
    const continues = type === Type.CONTINUATION && id === this.#blockId;
    const contiguous = this.#blockId === 0 ? type !== Type.CONTINUATION : continues;
    this.#check(contiguous, `§4.3-1 §6.2-2 §6.10-1 §6.10-5 §8.1-1 ${name} amid a block`);
  }

  #stream({ type, id, flags, payload }: Frame): void {
    if (id === 0) return;
    const name = typeName(type);
    const stream = this.#streams.get(id);
    if (stream === undefined) {
      const what = `§5.1.1-2 §5.1.2-1 §6.4-5 ${name} on stream ${id}, which nobody opened`;
      this.#check(type === Type.PRIORITY, what);
      return;
    }
    const closed = stream.reset && type !== Type.RST_STREAM && type !== Type.PRIORITY;
    this.#check(!closed, `§5.1-6 ${name} after RST_STREAM on ${id}`);
    this.#check(!stream.ended || AFTER_END.has(type), `§5.1-6 ${name} after END_STREAM on ${id}`);
    if (type === Type.RST_STREAM) {
      stream.reset = true;
      const refused = payload.readUInt32BE(0) === Code.REFUSED_STREAM;
      this.#check(!refused || !stream.sawHead, `§8.7-1 §8.7-2 ${id} refused after its answer`);
    }
    if (type === Type.HEADERS) {
      this.#highestAnswered = Math.max(this.#highestAnswered, id);
      this.#check(id <= this.#lastId, `§8.7-1 an answer on ${id}, though GOAWAY left it out`);
    }
    const endable = type === Type.DATA || type === Type.HEADERS;
    if (endable && (flags & Flag.END_STREAM) !== 0) stream.ended = true;
  }

  #block(frame: Frame): readonly Field[] | undefined {
    const { type, flags, id } = frame;
    if (type === Type.HEADERS) {
      this.#stream(frame);
      this.#padding(frame, "§6.2-1");
      this.#blockId = id;
      this.#blockEnds = (flags & Flag.END_STREAM) !== 0;
      this.#fragments = [];
    }
    this.#fragments.push(contentOf(frame));
    if ((flags & Flag.END_HEADERS) === 0) return undefined;
    this.#blockId = 0;
    const fields = this.#decode(Buffer.concat(this.#fragments));
    const stream = this.#streams.get(id);
    const faults = auditFields(fields, stream?.sawHead ?? false, this.#blockEnds);
    this.faults.push(...faults.map((fault) => `${fault}, on stream ${id}`));
    const status = fields.find(([name]) => name === ":status")?.[1] ?? "";
    if (stream !== undefined && !/^1/.test(status)) stream.sawHead = true;
    return fields;
  }

  #decode(bytes: Buffer): readonly Field[] {
    try {
      return this.decoder.decode(bytes);
    } catch (error) {
      this.faults.push(`§4.3.1-1 a field block that does not decode: ${String(error)}`);
      return [];
    }
  }

  #padding(frame: Frame, requirement: string): void {
    if ((frame.flags & Flag.PADDED) === 0) return;
    const padding = frame.payload.subarray(frame.payload.length - frame.payload.readUInt8(0));
    this.#check(
      padding.every((byte) => byte === 0),
      `${requirement} padding is not zero`,
    );
  }

  #settings({ flags, id, payload }: Frame): void {
    this.#check(id === 0, `§6.5-5 SETTINGS on stream ${id}`);
    if ((flags & Flag.ACK) === 0) {
      const push = valuesOf(payload, Setting.ENABLE_PUSH);
      this.#check(!push.includes(1), "§6.5.2-4 §6.5.2-5 ENABLE_PUSH 1");
      for (const size of valuesOf(payload, Setting.MAX_FRAME_SIZE)) {
        const inRange = size >= FRAME_BYTES_INITIAL && size < 2 ** 24;
        this.#check(inRange, `§6.5.2-8 MAX_FRAME_SIZE ${size}`);
      }
      return;
    }
    this.#check(payload.length === 0, "§6.5-3 a SETTINGS acknowledgment that is not empty");
    const sizes = this.#unacknowledged.shift();
    this.#check(sizes !== undefined, "an acknowledgment of no SETTINGS");
    for (const size of sizes ?? []) this.decoder.allow(size);
    this.#windows.acknowledged();
  }

  #ping({ flags, id, payload }: Frame): void {
    this.#check(id === 0 && payload.length === 8, "§6.7-1 a PING of a wrong form");
    if ((flags & Flag.ACK) === 0) return;
    const at = this.#pings.indexOf(payload.toString("latin1"));
    this.#check(at >= 0, "§6.7-2 §6.7-4 an answer to no PING of ours");
    this.#pings.splice(at, 1);
  }

  #goaway({ id, payload }: Frame): void {
    const lastId = payload.readUInt32BE(0) & INT31_MAX;
    const code = codeName(payload.readUInt32BE(4));
    this.#check(id === 0, "GOAWAY on a stream");
    this.#check(lastId <= this.#lastId, `§6.8-3 last stream ${lastId} after ${this.#lastId}`);
    const covers = lastId >= this.#highestAnswered;
    this.#check(
      covers,
      `§8.7-3 GOAWAY ${code} of ${lastId}, but ${this.#highestAnswered} answered`,
    );
    this.#lastId = lastId;
  }
}

/** Without the padding and priority of HEADERS and DATA. */
export function contentOf({ type, flags, payload }: Frame): Buffer {
  if (type !== Type.HEADERS && type !== Type.DATA) return payload;
  const padded = (flags & Flag.PADDED) !== 0;
  const priority = type === Type.HEADERS && (flags & Flag.PRIORITY) !== 0;
  const start = (padded ? 1 : 0) + (priority ? 5 : 0);
  return payload.subarray(start, payload.length - (padded ? payload.readUInt8(0) : 0));
}

/** The values of one setting in the order of a SETTINGS payload. */
export function valuesOf(payload: Buffer, setting: number): number[] {
  const values: number[] = [];
  for (let at = 0; at + 6 <= payload.length; at += 6) {
    if (payload.readUInt16BE(at) === setting) values.push(payload.readUInt32BE(at + 2));
  }
  return values;
}
