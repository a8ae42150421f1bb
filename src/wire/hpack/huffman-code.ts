/**
 * The Huffman code (RFC 7541 Appendix B). It is canonical: within one length, codes count up with
 * the symbol, and each length continues from the one before. So the lengths alone give the code,
 * and a slip in one of them breaks Kraft's equation, which is asserted when the module loads.
 */
import { assert } from "../../base/assert.ts";

/** The end-of-string symbol; it must never appear in a string (RFC 7541 §5.2). */
export const EOS_SYMBOL = 256;

/** Bits of the longest code. */
const CODE_BITS_MAX = 30;

/** Bits of the code of each symbol, by symbol; 30, 5 bits are the bounds. */
export const HUFFMAN_BITS: Uint8Array = Uint8Array.from([
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]);

/** The code of each symbol, right-aligned. */
export const HUFFMAN_CODES: Uint32Array = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(EOS_SYMBOL + 1);
  let next = 0;
  for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
    next *= 2;
    for (let symbol = 0; symbol <= EOS_SYMBOL; symbol++) {
      if (HUFFMAN_BITS[symbol] === bits) codes[symbol] = next++;
    }
  }
  assert(next === 2 ** CODE_BITS_MAX, "the Huffman lengths are not those of a complete code");
  return codes;
}
