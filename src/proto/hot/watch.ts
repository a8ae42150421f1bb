/**
 * Events and the answers that carry them. An event is encoded once from stored key values, the
 * events of a batch are joined once, and the answer of every watcher copies the result. Bytes are
 * those of the generated codec.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import { EventType } from "../gen/mvccpb.ts";
import { putNumber, sizeOfNumber } from "../writer.ts";
import type { HeaderEncoder } from "./header.ts";
import { putDelimited, putRaw, sizeOfDelimited } from "./responses.ts";

const TAG_TYPE = 0x08;
const TAG_KV = 0x12;
const TAG_PREV_KV = 0x1a;

const TAG_WATCH_ID = 0x10;
const TAG_FRAGMENT = 0x38;
/** Field 11, delimited. */
const TAG_EVENTS = 0x5a;

/** Bytes of an Event. */
export function sizeOfEvent(
  deleted: boolean,
  kv: Uint8Array,
  prevKv: Uint8Array | undefined,
): number {
  const prevBytes = prevKv === undefined ? 0 : sizeOfDelimited(prevKv.length);
  return (deleted ? 2 : 0) + sizeOfDelimited(kv.length) + prevBytes;
}

/**
 * An mvccpb.Event from the stored key value after the change (of a delete: the tombstone) and,
 * if wanted, the one before it. The caller owns the result.
 */
export function encodeEvent(
  deleted: boolean,
  kv: Uint8Array,
  prevKv: Uint8Array | undefined,
): Uint8Array {
  const event = new Uint8Array(sizeOfEvent(deleted, kv, prevKv));
  let at = 0;
  if (deleted) {
    event[at++] = TAG_TYPE;
    event[at++] = EventType.DELETE;
  }
  at = putDelimited(event, at, TAG_KV, kv);
  if (prevKv !== undefined) putDelimited(event, at, TAG_PREV_KV, prevKv);
  return event;
}

/** Encoded events as the field of a WatchResponse that they become; the caller owns it. */
export function encodeEventFields(events: readonly Uint8Array[]): Uint8Array {
  let size = 0;
  for (let i = 0; i < events.length; i++) {
    size += sizeOfDelimited((events[i] as Uint8Array).length);
  }
  const fields = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < events.length; i++) {
    at = putDelimited(fields, at, TAG_EVENTS, events[i] as Uint8Array);
  }
  return fields;
}

/** A WatchResponse around what encodeEventFields made; without events it is a progress mark. */
export function encodeWatchResponse(
  header: HeaderEncoder,
  watchId: number,
  fragment: boolean,
  eventFields: Uint8Array,
  out: ByteWriter,
): void {
  const idBytes = watchId === 0 ? 0 : 1 + sizeOfNumber(watchId);
  let at = out.reserve(header.size + idBytes + (fragment ? 2 : 0) + eventFields.length);
  const bytes = out.bytes;
  at = header.put(bytes, at);
  if (watchId !== 0) {
    bytes[at] = TAG_WATCH_ID;
    at = putNumber(bytes, at + 1, watchId);
  }
  if (fragment) {
    bytes[at++] = TAG_FRAGMENT;
    bytes[at++] = 1;
  }
  putRaw(bytes, at, eventFields);
}
