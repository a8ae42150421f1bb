/**
 * HPACK written from RFC 7541 alone: the parts of header blocks, to build good and bad ones from,
 * and a decoder of the server's blocks that minds what an encoder must do.
 */
import * as huffman from "./huffman.ts";

export type Field = readonly [name: string, value: string];

/** Appendix A; names and values in the order of their indexes, which begin at 1. */
export const STATIC_TABLE: readonly Field[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...["200", "204", "206", "304", "400", "404", "500"].map((status): Field => [":status", status]),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...names("accept-language accept-ranges accept access-control-allow-origin age allow"),
  ...names("authorization cache-control content-disposition content-encoding content-language"),
  ...names("content-length content-location content-range content-type cookie date etag expect"),
  ...names("expires from host if-match if-modified-since if-none-match if-range"),
  ...names("if-unmodified-since last-modified link location max-forwards proxy-authenticate"),
  ...names("proxy-authorization range referer refresh retry-after server set-cookie"),
  ...names("strict-transport-security transfer-encoding user-agent vary via www-authenticate"),
];

function names(list: string): Field[] {
  return list.split(" ").map((name) => [name, ""]);
}

/** The index of the first entry of the dynamic table (§2.3.3). */
export const DYNAMIC_FIRST = STATIC_TABLE.length + 1;

/** §5.1: the value in `bits` bits under `pattern`, and as many bytes as it needs. */
export function integer(bits: number, value: number, pattern = 0): Buffer {
  const max = 2 ** bits - 1;
  if (value < max) return Buffer.from([pattern | value]);
  const bytes = [pattern | max];
  let rest = value - max;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** §5.2 */
export function string(value: string | Uint8Array, coded = false): Buffer {
  const plain = typeof value === "string" ? Buffer.from(value, "latin1") : value;
  const bytes = coded ? huffman.encode(plain) : plain;
  return Buffer.concat([integer(7, bytes.length, coded ? 0x80 : 0), bytes]);
}

/** §6.1 */
export function indexed(index: number): Buffer {
  return integer(7, index, 0x80);
}

const FORMS = { indexing: [6, 0x40], plain: [4, 0], never: [4, 0x10] } as const;

/** §6.2; `name` may be an index. */
export function literal(
  name: string | number,
  value: string | Uint8Array,
  form: keyof typeof FORMS = "plain",
  coded = false,
): Buffer {
  const [bits, pattern] = FORMS[form];
  const index = integer(bits, typeof name === "number" ? name : 0, pattern);
  const spelled = typeof name === "number" ? [] : [string(name, coded)];
  return Buffer.concat([index, ...spelled, string(value, coded)]);
}

/** §6.3 */
export function sizeUpdate(bytes: number): Buffer {
  return integer(5, bytes, 0x20);
}

/** A block that touches no table: every field a literal without indexing. */
export function block(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

const ENTRY_OVERHEAD_BYTES = 32;
const sizeOf = ([name, value]: Field): number => name.length + value.length + ENTRY_OVERHEAD_BYTES;

/** §4.2 lets an encoder begin a block with two size updates; nobody must refuse more. */
const UPDATE_COUNT_MAX = 2;
/** §5.1 asks for a limit of an integer's length; these hold 35 bits. */
const INTEGER_REST_BYTES_MAX = 5;

/** Decodes what an encoder wrote; throws at what §2 to §6 call a decoding error. */
export class Decoder {
  /** The newest entry first. */
  readonly entries: Field[] = [];
  /** The table's size as the encoder chose it. */
  size = 4096;
  /** What we allow it, once the server has acknowledged that. */
  sizeMax = 4096;
  /** The smallest that we allowed since the last block (§4.2); undefined: nothing changed. */
  smallest: number | undefined = undefined;
  readonly #updateCountMax: number;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;

  constructor(updateCountMax = UPDATE_COUNT_MAX) {
    this.#updateCountMax = updateCountMax;
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE has been acknowledged. */
  allow(bytes: number): void {
    this.sizeMax = bytes;
    this.smallest = Math.min(this.smallest ?? bytes, bytes);
  }

  decode(bytes: Buffer): Field[] {
    this.#bytes = bytes;
    this.#at = 0;
    const fields: Field[] = [];
    const updates = this.#updates();
    if (this.smallest !== undefined && this.smallest < this.size) this.#due(updates);
    this.smallest = undefined;
    for (const update of updates) this.#resize(update);
    while (this.#at < bytes.length) fields.push(this.#field());
    return fields;
  }

  #due(updates: readonly number[]): void {
    if (updates.some((update) => update <= (this.smallest as number))) return;
    throw new Error(`no size update to ${this.smallest} or less at the start of the block`);
  }

  #updates(): number[] {
    const updates: number[] = [];
    while (this.#at < this.#bytes.length && (this.#peek() & 0xe0) === 0x20) {
      updates.push(this.#integer(5));
    }
    if (updates.length > this.#updateCountMax)
      throw new Error(`${updates.length} size updates in one block`);
    return updates;
  }

  #resize(bytes: number): void {
    if (bytes > this.sizeMax) throw new Error(`size update to ${bytes} of ${this.sizeMax}`);
    this.size = bytes;
    this.#evict(bytes);
  }

  #field(): Field {
    const first = this.#peek();
    if (first >= 0x80) return this.#entry(this.#integer(7));
    if ((first & 0xe0) === 0x20) throw new Error("a size update after the first field");
    const indexing = first >= 0x40;
    const index = this.#integer(indexing ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#entry(index)[0];
    const field: Field = [name, this.#string()];
    if (indexing) this.#insert(field);
    return field;
  }

  #entry(index: number): Field {
    const field = STATIC_TABLE[index - 1] ?? this.entries[index - DYNAMIC_FIRST];
    if (field === undefined) throw new Error(`no entry has index ${index}`);
    return field;
  }

  #insert(field: Field): void {
    this.#evict(this.size - sizeOf(field));
    if (sizeOf(field) <= this.size) this.entries.unshift(field);
  }

  #evict(bytesMax: number): void {
    let bytes = this.entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    while (bytes > bytesMax && this.entries.length > 0)
      bytes -= sizeOf(this.entries.pop() as Field);
  }

  #string(): string {
    const coded = this.#peek() >= 0x80;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new Error("a string beyond the end of the block");
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return (coded ? huffman.decode(bytes) : bytes).toString("latin1");
  }

  #integer(bits: number): number {
    const max = 2 ** bits - 1;
    let value = this.#byte() & max;
    if (value < max) return value;
    for (let count = 0; count < INTEGER_REST_BYTES_MAX; count++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 128 ** count;
      if (byte < 128) return value;
    }
    throw new Error("an integer of too many bytes");
  }

  #peek(): number {
    return this.#bytes.readUInt8(this.#at);
  }

  #byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }
}
