/**
 * A secret: a password, a key, a token, the cluster's secret. Whatever prints values shows `***`
 * of it: templates, JSON, console, Bun.inspect, node's inspect, a debugger's list of properties.
 * There is one way to what it holds, reveal() or revealBytes(), which a search of the source finds:
 * call it where the secret is used (a hash, a signature, a socket), never where it is passed on.
 *
 * It is kept as bytes of its own and not as a string, since bytes can be overwritten: clear() does
 * so. What reveal() returns is a string, which nobody can clear; the runtime collects it.
 */
import { assert } from "./assert.ts";

/** What is shown in place of any secret. */
export const HIDDEN = "***";

/** Hex digits of a fingerprint: 32 bits tell a handful of keys apart and give nothing away. */
const FINGERPRINT_DIGITS = 8;

export class Secret {
  readonly #bytes: Buffer;
  #isCleared = false;

  /** Of a text in UTF-8, or of bytes, which are copied: the caller may overwrite its own. */
  constructor(from: string | Uint8Array) {
    // Not Buffer.from(): that takes short ones from a pool, whose memory others read as well.
    this.#bytes = Buffer.alloc(typeof from === "string" ? Buffer.byteLength(from) : from.length);
    if (typeof from === "string") this.#bytes.write(from);
    else this.#bytes.set(from);
  }

  /** The secret as text. */
  reveal(): string {
    return this.revealBytes().toString("utf8");
  }

  /** The secret's own bytes, borrowed: neither keep nor change them. */
  revealBytes(): Buffer {
    assert(!this.#isCleared, "a secret is used after it was cleared");
    return this.#bytes;
  }

  get bytesCount(): number {
    return this.#bytes.length;
  }

  /**
   * The first digits of its SHA-256, to tell keys apart in logs. Only for secrets drawn by chance
   * (tokens, generated keys): of what a person chose, a hash without salt lets others test guesses.
   */
  fingerprint(): string {
    return sha256(this).toString("hex").slice(0, FINGERPRINT_DIGITS);
  }

  /** Overwrites what it holds; to be called when it is not needed any more. */
  clear(): void {
    this.#bytes.fill(0);
    this.#isCleared = true;
  }

  toString(): string {
    return HIDDEN;
  }

  toJSON(): string {
    return HIDDEN;
  }

  [Symbol.toPrimitive](): string {
    return HIDDEN;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return HIDDEN;
  }
}

function sha256(secret: Secret): Buffer {
  return new Bun.CryptoHasher("sha256").update(secret.revealBytes()).digest();
}
