/**
 * Huffman coding of strings (RFC 7541 §5.2), a byte at a time both ways.
 *
 * Decoding is a state machine. A state is an inner node of the code tree (257 leaves, so 256
 * nodes): the bits read of a code not yet finished. The shortest code has five bits, so one byte
 * ends at most two symbols, and a step packs into one 32-bit number:
 *
 *   bit 31..30  29     28      27..26  25..18        17..10        9..8  7..0
 *       0       built  accept  count   second symbol first symbol  0     next state
 *   (bit 25..18 and 17..10 hold nothing where count says so; FAIL stands in bit 8)
 *
 * The loop has no branch on data: both symbols are stored and the place moves by count; FAIL is
 * gathered by OR. Rows are built when first reached (a text touches a few dozen of the 256), for
 * a whole table is 256 KiB and the build would be felt in a start of 3 ms.
 */
import { assert } from "../../base/assert.ts";
import type { ByteWriter } from "../../base/bytes.ts";
import { malformed } from "./error.ts";
import { EOS_SYMBOL, HUFFMAN_BITS, HUFFMAN_CODES } from "./huffman-code.ts";

const NODE_COUNT = 256;
const BUILT = 1 << 29;
const ACCEPT = 1 << 28;
const COUNT_SHIFT = 26;
const SECOND_SHIFT = 18;
const FIRST_SHIFT = 10;
const FAIL = 1 << 8;

/** Padding of more than seven bits is an error, even of ones (RFC 7541 §5.2). */
const PADDING_BITS_MAX = 7;

/** children[2n + bit]: a node number, or ~symbol at a leaf. */
const children = new Int16Array(NODE_COUNT * 2);
/** acceptance[n]: whether a string may end at the node, that is, its bits are legal padding. */
const acceptance = new Uint8Array(NODE_COUNT);
const steps = new Int32Array(NODE_COUNT * 256);
growTree();

/**
 * Decodes bytes[start, end) into `out` at `at` and returns the end of what it wrote. `out` must
 * have room for huffmanDecodedBytesMax(end - start). Throws HpackError for EOS and for padding
 * that is not the first bits of EOS or longer than seven.
 */
export function huffmanDecode(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  at: number,
): number {
  let state = 0;
  let seen = 0;
  let step = ACCEPT; // the empty string ends where it begins
  let place = at;
  for (let from = start; from < end; from++) {
    const entry = (state << 8) | (bytes[from] as number);
    step = steps[entry] as number;
    if (step === 0) step = buildRow(state, entry);
    seen |= step;
    out[place] = step >> FIRST_SHIFT;
    out[place + 1] = step >> SECOND_SHIFT;
    place += (step >> COUNT_SHIFT) & 3;
    state = step & 0xff;
  }
  if ((seen & FAIL) !== 0) malformed("Huffman string holds the end-of-string symbol");
  if ((step & ACCEPT) === 0) malformed("Huffman string ends in padding that is not allowed");
  return place;
}

/** Room that huffmanDecode needs for `count` bytes: five bits a symbol, and one byte of slack. */
export function huffmanDecodedBytesMax(count: number): number {
  return Math.ceil((count * 8) / 5) + 2;
}

/**
 * Bytes that the Latin-1 string takes in Huffman form. Asserts that it is Latin-1: a wider
 * character would leave us as another one.
 */
export function huffmanBytes(text: string): number {
  let bits = 0;
  let all = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    all |= code;
    bits += HUFFMAN_BITS[code & 0xff] as number;
  }
  assert(all < 256, "header field with a character outside of Latin-1");
  return (bits + 7) >>> 3;
}

/** Appends the Huffman form of `text`; `count` is huffmanBytes(text). */
export function huffmanEncode(text: string, count: number, out: ByteWriter): void {
  let place = out.reserve(count);
  const bytes = out.bytes;
  let held = 0; // the low `bits` bits wait to be written
  let bits = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    let code = HUFFMAN_CODES[symbol] as number;
    let length = HUFFMAN_BITS[symbol] as number;
    if (length > 24) {
      // Seven held bits and a long code do not fit in 32: the upper part goes first.
      length -= 16;
      held = (held << length) | (code >>> 16);
      bits += length;
      for (; bits >= 8; bits -= 8) bytes[place++] = held >>> (bits - 8);
      code &= 0xffff;
      length = 16;
    }
    held = (held << length) | code;
    bits += length;
    for (; bits >= 8; bits -= 8) bytes[place++] = held >>> (bits - 8);
  }
  if (bits > 0) bytes[place++] = (held << (8 - bits)) | (0xff >>> bits);
  assert(place === out.length, "Huffman form is not as long as it was measured");
}

function growTree(): void {
  let nodes = 1;
  acceptance[0] = 1;
  for (let symbol = 0; symbol <= EOS_SYMBOL; symbol++) {
    const bits = HUFFMAN_BITS[symbol] as number;
    const code = HUFFMAN_CODES[symbol] as number;
    let node = 0;
    for (let depth = 1; depth < bits; depth++) {
      const edge = node * 2 + ((code >>> (bits - depth)) & 1);
      if (children[edge] === 0) children[edge] = nodes++;
      node = children[edge] as number;
      if (symbol === EOS_SYMBOL && depth <= PADDING_BITS_MAX) acceptance[node] = 1;
    }
    children[node * 2 + (code & 1)] = ~symbol;
  }
  assert(nodes === NODE_COUNT, "the Huffman tree has not 256 inner nodes");
}

/** Fills the 256 steps from `state` and returns the one that was asked for. */
function buildRow(state: number, entry: number): number {
  for (let byte = 0; byte < 256; byte++) {
    steps[(state << 8) | byte] = stepFrom(state, byte);
  }
  return steps[entry] as number;
}

function stepFrom(state: number, byte: number): number {
  let node = state;
  let count = 0;
  let step = BUILT;
  for (let bit = 7; bit >= 0; bit--) {
    const child = children[node * 2 + ((byte >> bit) & 1)] as number;
    if (child >= 0) {
      node = child;
      continue;
    }
    const symbol = ~child;
    if (symbol === EOS_SYMBOL) return BUILT | FAIL;
    step |= symbol << (count === 0 ? FIRST_SHIFT : SECOND_SHIFT);
    count++;
    node = 0;
  }
  if (acceptance[node] === 1) step |= ACCEPT;
  return step | (count << COUNT_SHIFT) | node;
}
