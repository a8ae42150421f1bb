/**
 * Events ready for the wire. A row is encoded at most twice, without and with its predecessor,
 * and a batch is shared by all watchers who see the same events; nobody may change it once sent.
 *
 * mvccpb.Event: 1 type (PUT 0, DELETE 1), 2 kv, 3 prev_kv; a kv is spliced in as it is stored.
 */
import { assert } from "../base/assert.ts";

const EVENT_TYPE_DELETE = [0x08, 0x01] as const;
const EVENT_KV = 0x12;
const EVENT_PREV_KV = 0x1a;

/**
 * The fields of a WatchResponse beside its events: header (2 + 4 × 11 bytes), watch id (11),
 * fragment (2), rounded up.
 */
const RESPONSE_REST_BYTES = 64;

/** Bytes of `value` (≥ 0) as a protobuf varint. */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes += 1;
  return bytes;
}

function putMessage(out: Uint8Array, start: number, tag: number, message: Uint8Array): number {
  let at = start;
  out[at++] = tag;
  let rest = message.length;
  for (; rest >= 128; rest = Math.floor(rest / 128)) out[at++] = (rest % 128) + 128;
  out[at++] = rest;
  out.set(message, at);
  return at + message.length;
}

/** The encoded mvccpb.Event of a change; the caller owns it. */
export function encodeEvent(
  tombstone: boolean,
  kv: Uint8Array,
  prevKv: Uint8Array | undefined,
): Uint8Array {
  let size = 1 + varintBytes(kv.length) + kv.length;
  if (tombstone) size += 2;
  if (prevKv !== undefined) size += 1 + varintBytes(prevKv.length) + prevKv.length;
  const out = Buffer.allocUnsafeSlow(size);
  let at = 0;
  if (tombstone) {
    out[at++] = EVENT_TYPE_DELETE[0];
    out[at++] = EVENT_TYPE_DELETE[1];
  }
  at = putMessage(out, at, EVENT_KV, kv);
  if (prevKv !== undefined) at = putMessage(out, at, EVENT_PREV_KV, prevKv);
  assert(at === size, "an event fills what was reserved for it");
  return out;
}

/** Events of whole revisions (a fragment: of a part of them), oldest first. */
export class EventBatch {
  /** Encoded mvccpb.Event messages, shared and never changed. */
  readonly events: Uint8Array[] = [];
  readonly firstRevision: number;
  lastRevision: number;
  /** Distinct revisions among the events. */
  revisionCount = 1;
  /** Bytes of the events as a repeated field (tag and length counted). */
  eventBytes = 0;
  /** For whoever encodes the batch first: the events as they stand in a response. */
  encoded: Uint8Array | undefined = undefined;
  #fragments: EventBatch[] | undefined = undefined;

  constructor(revision: number) {
    this.firstRevision = revision;
    this.lastRevision = revision;
  }

  add(revision: number, event: Uint8Array): void {
    assert(revision >= this.lastRevision, "events of a batch are in order of revision");
    if (revision !== this.lastRevision) {
      this.lastRevision = revision;
      this.revisionCount += 1;
    }
    this.events.push(event);
    this.eventBytes += 1 + varintBytes(event.length) + event.length;
  }

  /**
   * The batch cut into pieces of less than `bytesMax` bytes as responses, by events; an event that
   * is larger stands alone. A batch that is small enough, or one event, is its own only piece.
   */
  fragments(bytesMax: number): readonly EventBatch[] {
    this.#fragments ??= this.#split(bytesMax);
    return this.#fragments;
  }

  #split(bytesMax: number): EventBatch[] {
    const whole = this.eventBytes + RESPONSE_REST_BYTES < bytesMax;
    if (whole || this.events.length === 1) return [this];
    const pieces: EventBatch[] = [];
    let piece = new EventBatch(this.lastRevision);
    for (const event of this.events) {
      const grown = piece.eventBytes + event.length + 1 + varintBytes(event.length);
      if (piece.events.length > 0 && grown + RESPONSE_REST_BYTES >= bytesMax) {
        pieces.push(piece);
        piece = new EventBatch(this.lastRevision);
      }
      piece.add(this.lastRevision, event);
    }
    pieces.push(piece);
    return pieces;
  }
}
