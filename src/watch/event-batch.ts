/**
 * Events ready for the wire. A row is encoded at most twice, without and with its predecessor,
 * and a batch is shared by all watchers who see the same events; nobody may change it once sent.
 */
import { assert } from "../base/assert.ts";
import { sizeOfDelimited } from "../proto/hot/responses.ts";

/**
 * The fields of a WatchResponse beside its events: header (2 + 4 × 11 bytes), watch id (11),
 * fragment (2), rounded up.
 */
const RESPONSE_REST_BYTES = 64;

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
    this.eventBytes += sizeOfDelimited(event.length);
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
      const grown = piece.eventBytes + sizeOfDelimited(event.length);
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
