/**
 * The JSON of an answer that comes in pieces (a large range): each field of the message becomes
 * text as soon as it is whole, so that what is held is one key value and not all of them.
 *
 *   protobuf   [header][kv][k…     …v][kv][more][count]
 *   JSON       {"header":{…},"kvs":[{…},{…},{…}],"more":true,"count":"3"}
 *
 * It relies on what our encoder does (proto/DESIGN.md): fields in order of their numbers, those of
 * a list one behind the other.
 */
import { assert } from "../../base/assert.ts";
import { asBuffer } from "../../base/bytes.ts";
import { toJson } from "../../proto/json.ts";
import type { Field, MessageType } from "../../proto/message.ts";

const VARINT = 0;
const DELIMITED = 2;

/** A tag and a length have at most ten bytes each. */
const VARINT_BYTES_MAX = 10;

export class LargeAnswer {
  readonly #type: MessageType<unknown>;
  /** Pieces of a field that is not whole. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** With fewer of them the field is not whole; it is not put together again and again before. */
  #wantedBytes = 0;
  #text = "{";
  /** The list that is open in the text. */
  #list: Field | undefined = undefined;
  #isFirst = true;

  constructor(type: MessageType<unknown>) {
    this.#type = type;
  }

  /** Takes the next bytes of the message; returns the text that they complete. */
  take(bytes: Uint8Array, start: number, end: number): string {
    const piece = asBuffer(bytes).subarray(start, end);
    if (this.#heldBytes + piece.length < this.#wantedBytes) {
      this.#hold(piece);
      return "";
    }
    const input = this.#heldBytes === 0 ? piece : Buffer.concat([...this.#held, piece]);
    let at = 0;
    let next = endOfField(input, at);
    for (; next !== undefined && next <= input.length; next = endOfField(input, at)) {
      this.#add(input, at, next);
      at = next;
    }
    this.#held = [];
    this.#heldBytes = 0;
    this.#wantedBytes = next === undefined ? 0 : next - at;
    this.#hold(input.subarray(at));
    return this.#flush();
  }

  #hold(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#held.push(Buffer.from(piece)); // a copy: what was taken is borrowed
    this.#heldBytes += piece.length;
  }

  /** The rest of the text, once the message is whole. */
  end(): string {
    assert(this.#heldBytes === 0, "a message ends with a field");
    this.#closeList();
    this.#text += "}";
    return this.#flush();
  }

  #add(bytes: Buffer, start: number, end: number): void {
    const number = (readVarint(bytes, start) as Varint).value >>> 3;
    const field = this.#type.fields.find((each) => each.number === number);
    assert(field !== undefined, "an answer of ours has no unknown field");
    const json = toJson(this.#type, this.#type.decode(bytes, start, end))[field.name];
    if (json === undefined) return; // zero
    if (field.repeated) this.#addToList(field, JSON.stringify((json as unknown[])[0]));
    else {
      this.#closeList();
      this.#text += `${this.#comma()}${JSON.stringify(field.name)}:${JSON.stringify(json)}`;
    }
  }

  #addToList(field: Field, element: string): void {
    if (this.#list === field) this.#text += `,${element}`;
    else {
      this.#closeList();
      this.#text += `${this.#comma()}${JSON.stringify(field.name)}:[${element}`;
      this.#list = field;
    }
  }

  #closeList(): void {
    if (this.#list !== undefined) this.#text += "]";
    this.#list = undefined;
  }

  #comma(): string {
    const comma = this.#isFirst ? "" : ",";
    this.#isFirst = false;
    return comma;
  }

  #flush(): string {
    const text = this.#text;
    this.#text = "";
    return text;
  }
}

/** Bytes of the longest field of a message of ours: what becomes text in one go. */
export function longestField(bytes: Uint8Array, start: number, end: number): number {
  const input = asBuffer(bytes).subarray(start, end);
  let longest = 0;
  for (let at = 0; at < input.length; ) {
    const next = endOfField(input, at);
    assert(next !== undefined && next <= input.length, "a message ends with a field");
    longest = Math.max(longest, next - at);
    at = next;
  }
  return longest;
}

/** Where the field that begins at `at` ends; undefined if its tag or length is not whole. */
function endOfField(bytes: Buffer, at: number): number | undefined {
  const tag = readVarint(bytes, at);
  if (tag === undefined) return undefined;
  const kind = tag.value & 7;
  assert(kind === VARINT || kind === DELIMITED, "an answer of ours has varints and bytes");
  const next = readVarint(bytes, tag.end);
  if (next === undefined) return undefined;
  return kind === VARINT ? next.end : next.end + next.value;
}

interface Varint {
  /** Exact up to 2^53, which lengths are; of a value only the end matters. */
  readonly value: number;
  readonly end: number;
}

function readVarint(bytes: Buffer, start: number): Varint | undefined {
  let value = 0;
  let scale = 1;
  for (let at = start; at < bytes.length && at < start + VARINT_BYTES_MAX; at++) {
    const byte = bytes[at] as number;
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}
