/**
 * The receiving end of one stream of Raft frames. Its hello was admitted; each frame is held
 * against it, then handed over. Whatever is wrong ends the stream with a counted reason, never
 * more than the stream: the caller dials again, and Raft repeats what was lost.
 */
import { asBuffer, type ByteWriter } from "../../base/bytes.ts";
import type { AetherError } from "../../base/errors.ts";
import { MIB } from "../../base/units.ts";
import { VERSION } from "../../base/version.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { type PeerHello, RaftAnswer } from "../../proto/gen/aether.v1.ts";
import type { MemberId } from "../../raft/types.ts";
import type { CallRoom, ServerCall, StreamHandler } from "../../wire/grpc/server-call.ts";
import { type Admission, type Admitted, checkFrame, openSeal } from "./admission.ts";
import { BodyKind, FRAME_BYTES_MAX, FrameView, PEER_FORMAT } from "./frame.ts";
import { decodeMessages } from "./message-codec.ts";
import type { PeerHandlers } from "./ports.ts";
import { PeerRefusal, type RefusalReason } from "./refusal.ts";
import type { CallSeals } from "./seal.ts";

/**
 * What a member may send on a lane. A window of 4 MiB is filled by four appends on their way, at
 * 1 Gbit/s and 30 ms; one whole frame is granted on top of it.
 */
const FRAME_ROOM: CallRoom = { receiveBytesMax: FRAME_BYTES_MAX, windowBytes: 4 * MIB };

/** version u8, origin u64, sequence u64, count u32: the head of a batch (src/state/command.ts). */
const BATCH_HEAD_BYTES = 21;
const ORIGIN_AT = 1;
const SEQUENCE_AT = 9;

export interface ReceiverOptions {
  readonly admission: Admission;
  readonly handlers: PeerHandlers;
  /** For answers; shared. */
  readonly scratch: ByteWriter;
  /** A frame was taken. */
  readonly onFrame: (bytes: number, messages: number) => void;
  readonly onRefused: (reason: RefusalReason, detail: string, hello: PeerHello) => void;
  readonly onEnd: (receiver: RaftReceiver) => void;
}

export class RaftReceiver implements StreamHandler {
  readonly room = FRAME_ROOM;
  readonly hello: PeerHello;
  readonly #call: ServerCall;
  /** Of the call; undefined where there is no secret. */
  readonly seals: CallSeals | undefined;
  readonly #options: ReceiverOptions;
  readonly #frame = new FrameView();
  #over = false;

  /** Welcomes the caller. */
  constructor(call: ServerCall, { hello, seals }: Admitted, options: ReceiverOptions) {
    this.#call = call;
    this.hello = hello;
    this.seals = seals;
    this.#options = options;
    this.#answer({ welcome: { format: PEER_FORMAT, version: VERSION }, refusal: undefined });
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#over) return;
    try {
      this.#take(bytes, start, end);
    } catch (error) {
      if (error instanceof PeerRefusal) this.refuse(error);
      else if (error instanceof DecodeError) {
        this.refuse(new PeerRefusal("malformed", `a frame is broken: ${error.message}`));
      } else throw error;
    }
  }

  onHalfClose(): void {
    this.finish();
  }

  onCancel(): void {
    this.#close();
  }

  onDrain(): void {
    // answers are few and small
  }

  /** Ends the stream without blame: we stop, or a newer one takes its place. */
  finish(): void {
    if (this.#close()) this.#call.finish();
  }

  /** Ends it with blame, for example because its sender is no member any more. */
  refuse(refusal: PeerRefusal): void {
    if (!this.#close()) return;
    this.#options.onRefused(refusal.reason, refusal.message, this.hello);
    this.#call.fail(refusal.code, refusal.message, refusal.trailers);
  }

  #take(bytes: Uint8Array, start: number, end: number): void {
    const { admission, handlers, onFrame } = this.#options;
    const frame = this.#frame;
    frame.read(bytes, start, openSeal(this.seals, bytes, start, end));
    checkFrame(frame, this.hello, admission);
    frame.open();
    const from = frame.from as MemberId;
    if (frame.kind === BodyKind.MESSAGES) {
      const to = frame.to as MemberId;
      const messages = decodeMessages(bytes, frame.start, frame.end, from, to);
      onFrame(end - start, messages.length);
      handlers.onMessages(frame.group, messages);
    } else if (frame.kind === BodyKind.PROPOSAL) {
      onFrame(end - start, 0);
      const term = frame.openProposal();
      const copy = Uint8Array.prototype.slice.call(bytes, frame.start, frame.end);
      this.#onProposal(from, frame.group, term, asBuffer(copy));
    } else throw new DecodeError(`frames of kind ${frame.kind} are unknown`);
  }

  #onProposal(from: MemberId, group: number, term: number, payload: Buffer): void {
    if (payload.length < BATCH_HEAD_BYTES) throw new DecodeError("a batch without its head");
    const originMemberId = payload.readBigUInt64BE(ORIGIN_AT);
    const sequence = Number(payload.readBigUInt64BE(SEQUENCE_AT));
    if (originMemberId !== from || !Number.isSafeInteger(sequence)) {
      throw new DecodeError("a batch of another origin than its sender");
    }
    let answered = false;
    const refuse = (error: AetherError, leaderMemberId: bigint): void => {
      if (answered || this.#over) return;
      answered = true;
      const { code, detail } = error;
      const refusal = { group, originMemberId, sequence, error: code, detail, leaderMemberId };
      this.#answer({ welcome: undefined, refusal });
    };
    this.#options.handlers.onProposal(from, group, term, payload, refuse);
  }

  #answer(answer: RaftAnswer): void {
    const { scratch } = this.#options;
    scratch.reset();
    RaftAnswer.encode(answer, scratch);
    this.seals?.seal(scratch);
    this.#call.send(scratch.bytes, 0, scratch.length);
  }

  /** False if it was over already. */
  #close(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#options.onEnd(this);
    return true;
  }
}
