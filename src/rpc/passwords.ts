/**
 * Passwords as bcrypt hashes, made and compared by Bun.password on its own threads: a hash takes
 * the better part of a tenth of a second by design, and the event loop has other clients. At most
 * half of the cores work on it, so that who guesses passwords does not starve who knows his.
 *
 * The hashes are those of etcd (Go's bcrypt), in both directions: written as $2a$, of all bytes of
 * a password up to 72, an empty one included; a longer one is refused when it is set, and only its
 * first 72 bytes count when it is compared. Bun.password would hash a longer one first, so it is
 * never given one.
 */
import { availableParallelism } from "node:os";
import { AetherError } from "../base/errors.ts";

/** What bcrypt takes of a password. */
export const PASSWORD_BYTES_MAX = 72;

/** Calls that wait for a thread: a minute of them; beyond it they are refused. */
const WAITING_MAX = 1000;

/** Bounds and default of --bcrypt-cost (Go's bcrypt). */
export const BCRYPT_COST = { min: 4, max: 31, initial: 10 } as const;

export class Passwords {
  readonly #cost: number;
  readonly #runningMax: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  /** `cost` is the binary logarithm of the rounds: one more is twice the time. */
  constructor(cost: number, runningMax = Math.max(1, availableParallelism() >> 1)) {
    this.#cost = cost;
    this.#runningMax = runningMax;
  }

  /**
   * The hash in base64, as requests carry it. Rejects: password_too_long, too_many_requests, and
   * canceled if nobody wants it any more when its turn has come.
   */
  async hash(password: string, isWanted: () => boolean): Promise<string> {
    const bytes = Buffer.from(password, "utf8");
    if (bytes.length > PASSWORD_BYTES_MAX) throw new AetherError("password_too_long");
    const options = { algorithm: "bcrypt", cost: this.#cost } as const;
    const hash = await this.#run(() => Bun.password.hash(notEmpty(bytes), options), isWanted);
    return Buffer.from(hash.replace(/^\$2b\$/, "$2a$"), "latin1").toString("base64");
  }

  /** Whether `hash` is one of `password`. Rejects: too_many_requests, canceled as hash() does. */
  async isOf(password: string, hash: Uint8Array, isWanted: () => boolean): Promise<boolean> {
    const text = Buffer.from(hash).toString("latin1");
    if (!BCRYPT_HASH.test(text)) return false;
    const bytes = Buffer.from(password, "utf8").subarray(0, PASSWORD_BYTES_MAX);
    return this.#run(() => verify(notEmpty(bytes), text), isWanted);
  }

  /** Those who have gone must not be worked for: a thousand of them would take a minute. */
  async #run<T>(work: () => Promise<T>, isWanted: () => boolean): Promise<T> {
    if (this.#running >= this.#runningMax) await this.#turn();
    else this.#running++;
    try {
      if (!isWanted()) throw new AetherError("canceled");
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next(); // it takes over our place
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new AetherError("too_many_requests", "too many passwords wait to be checked");
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** What looks like a hash may still be none: somebody who may has set it, and it lets nobody in. */
async function verify(password: Uint8Array, hash: string): Promise<boolean> {
  try {
    return await Bun.password.verify(password, hash, "bcrypt");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === NO_HASH) return false;
    throw error;
  }
}

const NO_HASH = "PASSWORD_INVALID_ENCODING";

const BCRYPT_HASH = /^\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}$/;

/**
 * bcrypt ends a password with a zero byte and repeats it as a key, so one zero byte is the same
 * password as none; Bun.password refuses to be given none.
 */
function notEmpty(bytes: Buffer): Uint8Array {
  return bytes.length === 0 ? new Uint8Array(1) : bytes;
}
