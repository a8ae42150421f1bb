/**
 * Another member as this one speaks to it, over two connections of its own:
 *
 *   control  heartbeats, votes, read indexes, acknowledgements, small calls
 *   bulk     appends (towards followers) and forwarded batches (towards the leader)
 *
 * Appends stay among themselves, the empty ones too: one that overtook another would be rejected
 * and cost a round. Everything else may overtake them, which Raft allows.
 */
import type { ByteWriter } from "../../base/bytes.ts";
import type { ProposalRefusal } from "../../proto/gen/aether.v1.ts";
import type { Message } from "../../raft/message.ts";
import type { MemberId } from "../../raft/types.ts";
import type { CallerEnd } from "./calls.ts";
import {
  encodeMessages,
  encodeProposal,
  FRAME_BYTES_FULL,
  FRAME_BYTES_MAX,
  type FrameIds,
  type Proposal,
} from "./frame.ts";
import { Lane, type LaneEvents, type LaneOptions } from "./lane.ts";
import { messageBytes } from "./message-codec.ts";
import type { PeerAddress } from "./ports.ts";

/** A frame that is not full may take one more message of this size. */
export const MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - 2 * FRAME_BYTES_FULL;

/** The shared scratch buffer shrinks to this after a large frame; the usual ones fit. */
const SCRATCH_BYTES_KEPT = 4 * FRAME_BYTES_FULL;

/** What was sent to one peer, for metrics; only grows. */
export interface PeerCounters {
  frames: number;
  bytes: number;
  messages: number;
  /** Messages and batches that were not sent: no connection, or a full lane. */
  dropped: number;
}

export interface PeerOptions {
  readonly address: PeerAddress;
  readonly ids: FrameIds;
  readonly control: LaneOptions;
  readonly bulk: LaneOptions;
  /** Frames are made here; shared by all peers. */
  readonly scratch: ByteWriter;
  readonly onRefusal: (refusal: ProposalRefusal) => void;
  readonly onRoundTrip: (id: MemberId, ms: number) => void;
  /** It does not let us in. */
  readonly onRefused: LaneEvents["onRefused"];
  readonly onUnreachable: (id: MemberId) => void;
}

export class Peer {
  readonly address: PeerAddress;
  readonly counters: PeerCounters = { frames: 0, bytes: 0, messages: 0, dropped: 0 };
  /** Messages of the send that is under way; Peers fills them. */
  readonly controlQueue: Message[] = [];
  readonly bulkQueue: Message[] = [];
  readonly #options: PeerOptions;
  readonly #control: Lane;
  readonly #bulk: Lane;
  /** Of the last ping on the control lane; undefined before the first. */
  roundTripMs: number | undefined;
  #lossTold = false;

  constructor(options: PeerOptions) {
    const { onRefusal, onRefused } = options;
    this.#options = options;
    this.address = options.address;
    this.#control = new Lane(options.control, {
      onRefusal,
      onRefused,
      onLost: nothing,
      onRoundTrip: (ms) => this.#onRoundTrip(ms),
    });
    // No pings to measure here: they would wait behind appends.
    this.#bulk = new Lane(options.bulk, { onRefusal, onRefused, onLost: () => this.#lost() });
  }

  /** Both lanes are up. */
  get up(): boolean {
    return this.#control.up && this.#bulk.up;
  }

  /** Why it is not up; empty while it is. */
  get reason(): string {
    return this.#control.reason || this.#bulk.reason;
  }

  get pendingBytes(): number {
    return this.#control.pendingBytes + this.#bulk.pendingBytes;
  }

  /** The control lane's connection, for small calls. */
  get end(): CallerEnd | undefined {
    return this.#control.end;
  }

  /** Sends what is in the queues as messages of `group`, and empties them. */
  flush(group: number): void {
    const { controlQueue, bulkQueue } = this;
    this.#sendAll(this.#control, group, controlQueue);
    if (!this.#sendAll(this.#bulk, group, bulkQueue)) this.#lost();
    controlQueue.length = 0;
    bulkQueue.length = 0;
  }

  /** Forwards a batch; false if it was not sent. */
  propose(proposal: Proposal): boolean {
    const { scratch, ids } = this.#options;
    if (!this.#bulk.open || proposal.payload.length > MESSAGE_BYTES_MAX) {
      this.counters.dropped++;
      return false;
    }
    encodeProposal(scratch, ids, proposal);
    this.#sendFrame(this.#bulk);
    return true;
  }

  /** The peer lives: waits for a next dial end now. */
  wake(): void {
    this.#control.wake();
    this.#bulk.wake();
  }

  close(): void {
    this.#control.close();
    this.#bulk.close();
  }

  /** False if a message was dropped. */
  #sendAll(lane: Lane, group: number, messages: readonly Message[]): boolean {
    let start = 0;
    while (start < messages.length) {
      if (!lane.open) {
        this.counters.dropped += messages.length - start;
        return false;
      }
      if (messageBytes(messages[start] as Message) > MESSAGE_BYTES_MAX) {
        this.counters.dropped++; // no member would take it
        start++;
      } else start = this.#sendSome(lane, group, messages, start);
    }
    return true;
  }

  /** One frame of messages from `start` on; returns the first that it does not hold. */
  #sendSome(lane: Lane, group: number, messages: readonly Message[], start: number): number {
    const { scratch, ids } = this.#options;
    let bytes = 0;
    let end = start;
    while (end < messages.length && bytes < FRAME_BYTES_FULL) {
      const next = messageBytes(messages[end] as Message);
      if (next > MESSAGE_BYTES_MAX) break;
      bytes += next;
      end++;
    }
    encodeMessages(scratch, ids, group, messages, start, end);
    this.counters.messages += end - start;
    this.#sendFrame(lane);
    if (lane === this.#bulk) this.#lossTold = false;
    return end;
  }

  #sendFrame(lane: Lane): void {
    const { scratch } = this.#options;
    lane.send(scratch);
    this.counters.frames++;
    this.counters.bytes += scratch.length;
    scratch.reset();
    if (scratch.bytes.length > SCRATCH_BYTES_KEPT) {
      scratch.bytes = Buffer.allocUnsafeSlow(SCRATCH_BYTES_KEPT);
    }
  }

  #onRoundTrip(ms: number): void {
    this.roundTripMs = ms;
    this.#options.onRoundTrip(this.address.id, ms);
  }

  /** Appends may be lost; Raft is told once until one is sent again. */
  #lost(): void {
    if (this.#lossTold) return;
    this.#lossTold = true;
    this.#options.onUnreachable(this.address.id);
  }
}

function nothing(): void {}
