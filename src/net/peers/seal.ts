/**
 * How two members show each other that they share a secret, which never travels. Both ends of a
 * connection give 32 bytes of chance; with the secret they make the key of this one connection:
 *
 *   key   = HMAC(secret, "aether peer key 1" · caller's nonce · receiver's nonce)
 *   proof = number u64 · HMAC(key, "call" · number · path · 0 · hello)   in the head of each call
 *   seal  = HMAC(key, side u8 · number u64 · place u64 · message)        behind each message
 *           the same with 3 for the side and the failure for the message, of a question that fails
 *
 * HMAC is that of RFC 2104 with SHA-256, cut to 16 bytes (§5 there: no less than half). `number`
 * counts the calls of a connection and `place` the messages of one side of a call, so what was
 * heard is worth nothing on another connection, in another call, at another place of the same one,
 * or sent back to who said it. A stranger who sits in the way can read, and cut, and not change or
 * add a word. Not sealed is that a call fails: who sits there can make it fail anyway. But what a
 * member says of a failure is sealed, since others act on it (a lease that is gone, a state that
 * cannot be compared).
 *
 * A guess at the secret can be checked against what was heard, as with every such scheme: it has
 * to be long (SECRET_BYTES_MIN).
 */
import type { ByteWriter } from "../../base/bytes.ts";
import type { Secret } from "../../base/secret.ts";

/** Of each end's share of a key: no two connections have the same. */
export const NONCE_BYTES = 32;
/** Behind each message: 128 bits cannot be guessed. */
export const SEAL_BYTES = 16;
/** number u64 and the HMAC. */
export const PROOF_BYTES = 8 + SEAL_BYTES;

/** What open() says of a message whose seal does not fit. */
export const BROKEN = -1;

export type Side = "caller" | "receiver";

const KEY_LABEL = "aether peer key 1";
const CALL_LABEL = "call";
const SIDES: Readonly<Record<Side, number>> = { caller: 1, receiver: 2 };
/** In the place of the receiver's, so that no message reads as a failure. */
const FAILURE_SIDE = 3;

/** What both ends of one connection know, and nobody else. */
export class ConnectionKey {
  readonly #key: Uint8Array;

  /** Of two nonces of NONCE_BYTES. */
  constructor(secret: Secret, callerNonce: Uint8Array, receiverNonce: Uint8Array) {
    const hasher = new Bun.CryptoHasher("sha256", secret.revealBytes());
    this.#key = hasher.update(KEY_LABEL).update(callerNonce).update(receiverNonce).digest();
  }

  /** The proof of call `number` of the connection with the hello in its head. Owned by who asks. */
  proof(number: number, path: string, hello: string): Buffer {
    const proof = Buffer.alloc(PROOF_BYTES);
    proof.writeBigUInt64BE(BigInt(number));
    const head = proof.subarray(0, 8);
    const hasher = this.#hasher().update(CALL_LABEL).update(head).update(`${path}\0${hello}`);
    proof.set(hasher.digest().subarray(0, SEAL_BYTES), 8);
    return proof;
  }

  /** The number in a proof that fits; undefined for any other bytes. */
  checkedNumber(proof: Uint8Array, path: string, hello: string): number | undefined {
    if (proof.length !== PROOF_BYTES) return undefined;
    const number = Number(Buffer.from(proof).readBigUInt64BE());
    if (!Number.isSafeInteger(number)) return undefined;
    return sameBytes(proof, this.proof(number, path, hello)) ? number : undefined;
  }

  /** The seals of call `number`, as seen from one of its sides. */
  seals(number: number, side: Side): CallSeals {
    return new CallSeals(() => this.#hasher(), number, side);
  }

  #hasher(): Bun.CryptoHasher {
    return new Bun.CryptoHasher("sha256", this.#key);
  }
}

/** side u8, number u64, place u64. */
const HEAD_BYTES = 17;
const PLACE_AT = 9;

/** Seals what one side of a call sends, and opens what the other one does. Both keep the order. */
export class CallSeals {
  readonly #hasher: () => Bun.CryptoHasher;
  readonly #ownHead = Buffer.alloc(HEAD_BYTES);
  readonly #otherHead = Buffer.alloc(HEAD_BYTES);
  #sent = 0;
  #received = 0;

  /** Use ConnectionKey.seals(). */
  constructor(hasher: () => Bun.CryptoHasher, number: number, side: Side) {
    this.#hasher = hasher;
    this.#ownHead[0] = SIDES[side];
    this.#otherHead[0] = SIDES[side === "caller" ? "receiver" : "caller"];
    for (const head of [this.#ownHead, this.#otherHead]) head.writeBigUInt64BE(BigInt(number), 1);
  }

  /** Appends the seal of the message that is all there is in `out`. */
  seal(out: ByteWriter): void {
    const message = out.bytes.subarray(0, out.length);
    out.append(this.#sealOf(this.#ownHead, this.#sent++, message));
  }

  /** Where the message in bytes[start, end) ends, without its seal; BROKEN if that does not fit. */
  open(bytes: Uint8Array, start: number, end: number): number {
    const messageEnd = end - SEAL_BYTES;
    if (messageEnd < start) return BROKEN;
    const message = bytes.subarray(start, messageEnd);
    const seal = this.#sealOf(this.#otherHead, this.#received++, message);
    return sameBytes(bytes.subarray(messageEnd, end), seal) ? messageEnd : BROKEN;
  }

  /** The seal of how the call fails, behind what was sent before. */
  sealFailure(failure: string): Uint8Array {
    return this.#failureSeal(this.#sent, failure);
  }

  /** Whether the receiver said so of its failure, behind what was received before. */
  fitsFailure(seal: Uint8Array, failure: string): boolean {
    if (seal.length !== SEAL_BYTES) return false;
    return sameBytes(seal, this.#failureSeal(this.#received, failure));
  }

  #failureSeal(place: number, failure: string): Uint8Array {
    const head = Buffer.from(this.#ownHead);
    head[0] = FAILURE_SIDE;
    return this.#sealOf(head, place, Buffer.from(failure));
  }

  #sealOf(head: Buffer, place: number, message: Uint8Array): Uint8Array {
    head.writeUInt32BE(Math.floor(place / 2 ** 32), PLACE_AT);
    head.writeUInt32BE(place % 2 ** 32, PLACE_AT + 4);
    return this.#hasher().update(head).update(message).digest().subarray(0, SEAL_BYTES);
  }
}

/** In a time that does not tell how much of them is the same. Of the same length. */
function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return crypto.timingSafeEqual(a, b);
}
