/**
 * Raft messages as bytes. They stand one behind the other; `from` and `to` are those of the frame.
 * Integers are big-endian, counters u64 below 2^52, so every field has its place and its size is
 * known before it is written: one reservation, one copy of each payload.
 *
 *   message   = type u8 · term u64 · body by type
 *   append             prevIndex u64 · prevTerm u64 · commit u64 · count u32 · entry × count
 *     entry            kind u8 · term u64 · length u32 · payload       (index: one after the other)
 *   append-response    index u64 · commit u64 · rejected u8 [· hintIndex u64 · hintTerm u64]
 *   heartbeat          commit u64 · round u64
 *   heartbeat-response round u64
 *   vote, pre-vote     lastIndex u64 · lastTerm u64 · force u8
 *   *vote-response     granted u8
 *   snapshot           index u64 · term u64 · autoLeave u8 · 4 × (count u32 · id u64 × count)
 *   timeout-now        -
 *   transfer           target u64
 *   read-index         sequence u64        read-index-response  sequence u64 · index u64
 *
 * Decoding checks every range, so that Raft sees no NaN, fraction or unsafe integer; what a
 * message means is Raft's to judge. Whatever the bytes are, only DecodeError is thrown.
 */
import { assert } from "../../base/assert.ts";
import { asBuffer, type ByteWriter, EMPTY_BYTES } from "../../base/bytes.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import type { Message, MessageOf } from "../../raft/message.ts";
import type { Configuration, Entry, MemberId } from "../../raft/types.ts";

/** Upper halves of counters stay below this: counters below 2^52, as Raft has them. */
const COUNTER_HIGH_END = 2 ** 20;
/** Numbers that only their sender understands may be any safe integer. */
const SEQUENCE_HIGH_END = 2 ** 21;
const TWO_32 = 2 ** 32;

const HEAD_BYTES = 1 + 8;
const APPEND_BYTES = HEAD_BYTES + 8 + 8 + 8 + 4;
const ENTRY_BYTES = 1 + 8 + 4;

/** More members than any cluster has; bounds what a few bytes can make us allocate. */
const MEMBERS_MAX = 1024;

/** On the wire: never reuse a number. */
const TYPE_CODES = {
  append: 1,
  "append-response": 2,
  heartbeat: 3,
  "heartbeat-response": 4,
  vote: 5,
  "vote-response": 6,
  "pre-vote": 7,
  "pre-vote-response": 8,
  snapshot: 9,
  "timeout-now": 10,
  transfer: 11,
  "read-index": 12,
  "read-index-response": 13,
} as const satisfies Record<Message["type"], number>;

const ENTRY_KINDS = ["normal", "config", "noop"] as const;

/** The bytes that encodeMessage will write. */
export function messageBytes(message: Message): number {
  switch (message.type) {
    case "append": {
      let bytes = APPEND_BYTES;
      for (const { payload } of message.entries) bytes += ENTRY_BYTES + payload.length;
      return bytes;
    }
    case "append-response":
      return HEAD_BYTES + 17 + (message.rejection === undefined ? 0 : 16);
    case "heartbeat":
    case "read-index-response":
      return HEAD_BYTES + 16;
    case "vote":
    case "pre-vote":
      return HEAD_BYTES + 17;
    case "vote-response":
    case "pre-vote-response":
      return HEAD_BYTES + 1;
    case "snapshot": {
      const { voters, votersOutgoing, learners, learnersNext } = message.meta.configuration;
      const ids = voters.length + votersOutgoing.length + learners.length + learnersNext.length;
      return HEAD_BYTES + 17 + 16 + 8 * ids;
    }
    case "timeout-now":
      return HEAD_BYTES;
    default:
      return HEAD_BYTES + 8;
  }
}

/** Appends a message of ours; its payloads are copied. */
export function encodeMessage(message: Message, out: ByteWriter): void {
  const length = messageBytes(message);
  const start = out.reserve(length);
  const { bytes } = out;
  bytes[start] = TYPE_CODES[message.type];
  const at = putCounter(bytes, start + 1, message.term);
  const end = putBody(bytes, at, message);
  assert(end === start + length, "a message is as long as it was measured");
}

function putBody(bytes: Buffer, at: number, message: Message): number {
  switch (message.type) {
    case "append":
      return putAppend(bytes, at, message);
    case "append-response":
      return putAppendResponse(bytes, at, message);
    case "heartbeat":
      return putCounter(bytes, putCounter(bytes, at, message.commit), message.round);
    case "heartbeat-response":
      return putCounter(bytes, at, message.round);
    case "vote":
    case "pre-vote": {
      const next = putCounter(bytes, putCounter(bytes, at, message.lastIndex), message.lastTerm);
      return putFlag(bytes, next, message.force);
    }
    case "vote-response":
    case "pre-vote-response":
      return putFlag(bytes, at, message.granted);
    case "snapshot": {
      const { index, term, configuration } = message.meta;
      const next = putCounter(bytes, putCounter(bytes, at, index), term);
      return putConfiguration(bytes, next, configuration);
    }
    case "timeout-now":
      return at;
    case "transfer":
      return bytes.writeBigUInt64BE(message.target, at);
    case "read-index":
      return putCounter(bytes, at, message.sequence);
    case "read-index-response":
      return putCounter(bytes, putCounter(bytes, at, message.sequence), message.index);
  }
}

function putAppend(bytes: Buffer, start: number, message: MessageOf<"append">): number {
  let at = putCounter(bytes, start, message.prevIndex);
  at = putCounter(bytes, at, message.prevTerm);
  at = putCounter(bytes, at, message.commit);
  at = bytes.writeUInt32BE(message.entries.length, at);
  let index = message.prevIndex;
  for (const entry of message.entries) {
    assert(entry.index === ++index, "the entries of an append follow each other");
    bytes[at] = ENTRY_KINDS.indexOf(entry.kind);
    at = putCounter(bytes, at + 1, entry.term);
    at = bytes.writeUInt32BE(entry.payload.length, at);
    bytes.set(entry.payload, at);
    at += entry.payload.length;
  }
  return at;
}

function putAppendResponse(
  bytes: Buffer,
  start: number,
  message: MessageOf<"append-response">,
): number {
  const { rejection } = message;
  const at = putCounter(bytes, putCounter(bytes, start, message.index), message.commit);
  const end = putFlag(bytes, at, rejection !== undefined);
  if (rejection === undefined) return end;
  return putCounter(bytes, putCounter(bytes, end, rejection.hintIndex), rejection.hintTerm);
}

function putConfiguration(bytes: Buffer, start: number, configuration: Configuration): number {
  const { voters, votersOutgoing, learners, learnersNext } = configuration;
  let at = putFlag(bytes, start, configuration.autoLeave);
  for (const ids of [voters, votersOutgoing, learners, learnersNext]) {
    assert(ids.length <= MEMBERS_MAX, "a configuration has a countable number of members");
    at = bytes.writeUInt32BE(ids.length, at);
    for (const id of ids) at = bytes.writeBigUInt64BE(id, at);
  }
  return at;
}

function putFlag(bytes: Buffer, at: number, flag: boolean): number {
  bytes[at] = flag ? 1 : 0;
  return at + 1;
}

function putCounter(bytes: Buffer, at: number, value: number): number {
  assert(Number.isSafeInteger(value) && value >= 0, "a counter is a safe integer");
  bytes.writeUInt32BE(Math.floor(value / TWO_32), at);
  return bytes.writeUInt32BE(value % TWO_32, at + 4);
}

/**
 * The messages in bytes[start, end), which `from` sent to `to`; they share no memory with `bytes`.
 * Throws DecodeError.
 */
export function decodeMessages(
  bytes: Uint8Array,
  start: number,
  end: number,
  from: MemberId,
  to: MemberId,
): Message[] {
  const input = new Input(asBuffer(bytes), start, end);
  const messages: Message[] = [];
  while (input.at < end) messages.push(decodeMessage(input, from, to));
  return messages;
}

function decodeMessage(input: Input, from: MemberId, to: MemberId): Message {
  const code = input.u8();
  const term = input.counter();
  switch (code) {
    case TYPE_CODES.append:
      return decodeAppend(input, from, to, term);
    case TYPE_CODES["append-response"]: {
      const [index, commit] = [input.counter(), input.counter()];
      const rejection = input.flag()
        ? { hintIndex: input.counter(), hintTerm: input.counter() }
        : undefined;
      return { type: "append-response", from, to, term, index, commit, rejection };
    }
    case TYPE_CODES.heartbeat: {
      const commit = input.counter();
      return { type: "heartbeat", from, to, term, commit, round: input.counter() };
    }
    case TYPE_CODES["heartbeat-response"]:
      return { type: "heartbeat-response", from, to, term, round: input.counter() };
    case TYPE_CODES.vote:
    case TYPE_CODES["pre-vote"]: {
      const type = code === TYPE_CODES.vote ? "vote" : "pre-vote";
      const [lastIndex, lastTerm] = [input.counter(), input.counter()];
      return { type, from, to, term, lastIndex, lastTerm, force: input.flag() };
    }
    case TYPE_CODES["vote-response"]:
      return { type: "vote-response", from, to, term, granted: input.flag() };
    case TYPE_CODES["pre-vote-response"]:
      return { type: "pre-vote-response", from, to, term, granted: input.flag() };
    case TYPE_CODES.snapshot: {
      const [index, metaTerm] = [input.counter(), input.counter()];
      const meta = { index, term: metaTerm, configuration: decodeConfiguration(input) };
      return { type: "snapshot", from, to, term, meta };
    }
    case TYPE_CODES["timeout-now"]:
      return { type: "timeout-now", from, to, term };
    case TYPE_CODES.transfer:
      return { type: "transfer", from, to, term, target: input.id() };
    case TYPE_CODES["read-index"]:
      return { type: "read-index", from, to, term, sequence: input.sequence() };
    case TYPE_CODES["read-index-response"]: {
      const sequence = input.sequence();
      return { type: "read-index-response", from, to, term, sequence, index: input.counter() };
    }
    default:
      throw new DecodeError(`message type ${code} is unknown`);
  }
}

function decodeAppend(input: Input, from: MemberId, to: MemberId, term: number): Message {
  const prevIndex = input.counter();
  const prevTerm = input.counter();
  const commit = input.counter();
  const count = input.u32();
  if (count * ENTRY_BYTES > input.left) throw new DecodeError("more entries than bytes");
  const entries: Entry[] = [];
  for (let index = prevIndex + 1; index <= prevIndex + count; index++) {
    const kind = ENTRY_KINDS[input.u8()];
    if (kind === undefined) throw new DecodeError("an entry of an unknown kind");
    const entryTerm = input.counter();
    entries.push({ index, term: entryTerm, kind, payload: input.copy(input.u32()) });
  }
  return { type: "append", from, to, term, prevIndex, prevTerm, commit, entries };
}

function decodeConfiguration(input: Input): Configuration {
  const autoLeave = input.flag();
  const voters = input.ids();
  const votersOutgoing = input.ids();
  const learners = input.ids();
  return { voters, votersOutgoing, learners, learnersNext: input.ids(), autoLeave };
}

/** Reads from the front, never past the end. */
class Input {
  readonly #bytes: Buffer;
  readonly #end: number;
  at: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.#bytes = bytes;
    this.at = start;
    this.#end = end;
  }

  get left(): number {
    return this.#end - this.at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] as number;
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw new DecodeError("a flag is 0 or 1");
    return value === 1;
  }

  counter(): number {
    return this.#integer(COUNTER_HIGH_END);
  }

  sequence(): number {
    return this.#integer(SEQUENCE_HIGH_END);
  }

  id(): MemberId {
    const id = this.#bytes.readBigUInt64BE(this.#take(8)) as MemberId;
    if (id === 0n) throw new DecodeError("a member's id is not 0");
    return id;
  }

  ids(): MemberId[] {
    const count = this.u32();
    if (count > MEMBERS_MAX) throw new DecodeError("more members than a cluster has");
    const ids: MemberId[] = [];
    for (let i = 0; i < count; i++) ids.push(this.id());
    return ids;
  }

  /** Owned by the caller. slice() of the base class copies without filling with zeros first. */
  copy(length: number): Uint8Array {
    const at = this.#take(length);
    if (length === 0) return EMPTY_BYTES;
    return Uint8Array.prototype.slice.call(this.#bytes, at, at + length);
  }

  #integer(highEnd: number): number {
    const at = this.#take(8);
    const high = this.#bytes.readUInt32BE(at);
    if (high >= highEnd) throw new DecodeError("a counter is out of range");
    return high * TWO_32 + this.#bytes.readUInt32BE(at + 4);
  }

  #take(count: number): number {
    const at = this.at;
    if (count > this.#end - at) throw new DecodeError("the message ends too early");
    this.at = at + count;
    return at;
  }
}
