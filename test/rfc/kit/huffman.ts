/**
 * The Huffman code of RFC 7541 Appendix B. The code is canonical: codes of one length follow each
 * other in the order of their symbols, and lengths follow each other, so the lengths say it all;
 * rfc7541.test.ts compares codes that the appendix prints. Written a bit at a time, to be plain.
 */

/** Bits of the code of each byte, sixteen a row, from Appendix B. */
const LENGTHS: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
];

/** The symbol that no string may hold. */
export const EOS = 256;

/** Each symbol's code as a text of bits. */
export const CODES: readonly string[] = assign([...LENGTHS, 30]);

const SYMBOLS = new Map(CODES.map((bits, symbol) => [bits, symbol]));

function assign(lengths: readonly number[]): string[] {
  const order = lengths.map((_, symbol) => symbol);
  order.sort((a, b) => (lengths[a] as number) - (lengths[b] as number) || a - b);
  const codes: string[] = [];
  let next = 0;
  let bits = 0;
  for (const symbol of order) {
    const length = lengths[symbol] as number;
    next *= 2 ** (length - bits);
    bits = length;
    codes[symbol] = next.toString(2).padStart(length, "0");
    next++;
  }
  return codes;
}

/** Encoded and padded with the first bits of EOS, which are ones. */
export function encode(bytes: Uint8Array): Buffer {
  return pack([...bytes].map((byte) => CODES[byte]).join(""));
}

/** Bits to bytes; the last byte is filled up with `fill`. */
export function pack(bits: string, fill: "0" | "1" = "1"): Buffer {
  const whole = bits.padEnd(Math.ceil(bits.length / 8) * 8, fill);
  return Buffer.from((whole.match(/.{8}/g) ?? []).map((octet) => Number.parseInt(octet, 2)));
}

/** Throws where §5.2 asks for a decoding error. */
export function decode(bytes: Uint8Array): Buffer {
  const symbols: number[] = [];
  let bits = "";
  for (const byte of bytes) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      bits += bit;
      const symbol = SYMBOLS.get(bits);
      if (symbol === undefined) continue;
      if (symbol === EOS) throw new Error("a Huffman string with EOS");
      symbols.push(symbol);
      bits = "";
    }
  }
  if (bits.length > 7 || bits.includes("0")) throw new Error("a Huffman string of bad padding");
  return Buffer.from(symbols);
}
