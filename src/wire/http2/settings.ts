/** SETTINGS (RFC 9113 §6.5): what the peer asked of us, and what we ask of it. */
import { ConnectionError } from "./errors.ts";
import { HEADER_LIST_BYTES_MAX, type Http2Limits } from "./limits.ts";
import {
  FRAME_BYTES_DEFAULT,
  FRAME_BYTES_LARGEST,
  Http2Code,
  INT31_MAX,
  SettingId,
  WINDOW_BYTES_DEFAULT,
} from "./protocol.ts";

const ENTRY_BYTES = 6;

/** The peer's settings, at the protocol's initial values until its first SETTINGS. */
export class PeerSettings {
  headerTableBytes = 4096;
  /** The smallest that the last frame named: our encoder must say that it was there, even if the
   * same frame raised it again (§6.5.3, RFC 7541 §4.2). */
  headerTableBytesMin = 4096;
  concurrentStreamsMax = Number.POSITIVE_INFINITY;
  initialWindowBytes = WINDOW_BYTES_DEFAULT;
  frameBytesMax = FRAME_BYTES_DEFAULT;

  /**
   * Takes the entries bytes[start, end) of a frame in their order (§6.5.3). Unknown ones are
   * ignored. Throws ConnectionError on a value out of range, and on a broken size.
   * `peerIsServer`: a server may not turn on push (§6.5.2).
   */
  apply(bytes: Buffer, start: number, end: number, peerIsServer: boolean): void {
    if ((end - start) % ENTRY_BYTES !== 0) {
      throw new ConnectionError(Http2Code.FRAME_SIZE_ERROR, "SETTINGS size is no multiple of 6");
    }
    this.headerTableBytesMin = Number.POSITIVE_INFINITY;
    for (let at = start; at < end; at += ENTRY_BYTES) {
      this.#set(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2), peerIsServer);
    }
  }

  #set(id: number, value: number, peerIsServer: boolean): void {
    switch (id) {
      case SettingId.HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        this.headerTableBytesMin = Math.min(this.headerTableBytesMin, value);
        break;
      case SettingId.ENABLE_PUSH:
        if (value > 1 || (value === 1 && peerIsServer)) refuse("ENABLE_PUSH", value);
        break;
      case SettingId.MAX_CONCURRENT_STREAMS:
        this.concurrentStreamsMax = value;
        break;
      case SettingId.INITIAL_WINDOW_SIZE:
        if (value > INT31_MAX) {
          const reason = `INITIAL_WINDOW_SIZE ${value}`;
          throw new ConnectionError(Http2Code.FLOW_CONTROL_ERROR, reason);
        }
        this.initialWindowBytes = value;
        break;
      case SettingId.MAX_FRAME_SIZE:
        if (value < FRAME_BYTES_DEFAULT || value > FRAME_BYTES_LARGEST) {
          refuse("MAX_FRAME_SIZE", value);
        }
        this.frameBytesMax = value;
        break;
    }
  }
}

function refuse(name: string, value: number): never {
  throw new ConnectionError(Http2Code.PROTOCOL_ERROR, `SETTINGS_${name} ${value}`);
}

/** The payload of our SETTINGS frame: only what differs from the initial values. */
export function encodeSettings(limits: Http2Limits, server: boolean): Buffer {
  const entries: [number, number][] = [[SettingId.MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX]];
  if (server) entries.push([SettingId.MAX_CONCURRENT_STREAMS, limits.concurrentStreamsMax]);
  else entries.push([SettingId.ENABLE_PUSH, 0]);
  if (limits.streamWindowBytes !== WINDOW_BYTES_DEFAULT) {
    entries.push([SettingId.INITIAL_WINDOW_SIZE, limits.streamWindowBytes]);
  }
  if (limits.frameBytesMax !== FRAME_BYTES_DEFAULT) {
    entries.push([SettingId.MAX_FRAME_SIZE, limits.frameBytesMax]);
  }
  const payload = Buffer.allocUnsafe(entries.length * ENTRY_BYTES);
  let at = 0;
  for (const [id, value] of entries) {
    payload.writeUInt16BE(id, at);
    payload.writeUInt32BE(value, at + 2);
    at += ENTRY_BYTES;
  }
  return payload;
}
