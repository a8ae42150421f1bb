/**
 * Passwords as bcrypt hashes, made and compared by Bun.password on its own threads: a hash takes
 * the better part of a tenth of a second by design, and the event loop has other clients. At most
 * half of the cores work on it, in turns that are fair (login-queue.ts), so that who guesses
 * passwords does not starve who knows his.
 *
 * A user who is not there, or has no password, takes as long to be refused as a wrong password: the
 * time tells nobody who exists.
 *
 * The hashes are those of etcd (Go's bcrypt), in both directions: written as $2a$, of all bytes of
 * a password up to 72, an empty one included; a longer one is refused when it is set, and only its
 * first 72 bytes count when it is compared. Bun.password would hash a longer one first, so it is
 * never given one.
 */
import { availableParallelism } from "node:os";
import { AetherError } from "../base/errors.ts";
import { type Asker, LoginQueue, type QueueTime } from "./login-queue.ts";

/** What bcrypt takes of a password. */
export const PASSWORD_BYTES_MAX = 72;

/** Bounds and default of --bcrypt-cost (Go's bcrypt). */
export const BCRYPT_COST = { min: 4, max: 31, initial: 10 } as const;

/** Passwords that are worked on at once, on machines with many cores: more is nobody's need. */
const RUNNING_MAX = 4;

/**
 * The first wait of who has failed too often, at the default cost, where a look takes some 60 ms:
 * whoever pays more for a guess waits longer, and who has made hashes cheap wants logins to be.
 */
const PENALTY_MS = 100;

const PROCESS_TIME: QueueTime = {
  nowMs: () => performance.now(),
  after: (ms, run) => setTimeout(run, ms).unref(),
};

export class Passwords {
  readonly #cost: number;
  readonly #queue: LoginQueue;
  /** Of no password, and as much work as one of a user whom we make. */
  readonly #nobodys: string;

  /** `cost` is the binary logarithm of the rounds: one more is twice the time. */
  constructor(cost: number, runningMax = defaultRunningMax(), time = PROCESS_TIME) {
    this.#cost = cost;
    const penaltyMs = PENALTY_MS * 2 ** (cost - BCRYPT_COST.initial);
    this.#queue = new LoginQueue({ runningMax, penaltyMs }, time);
    this.#nobodys = `$2a$${String(cost).padStart(2, "0")}$${"a".repeat(21)}u${"a".repeat(31)}`;
  }

  /** For metrics: passwords that wait, and what the queue's limits did. */
  get load(): Pick<LoginQueue, "waitingCount" | "refusedCount" | "refusedHost" | "penaltyCount"> {
    return this.#queue;
  }

  /**
   * The hash in base64, as requests carry it. Rejects: password_too_long, too_many_requests, and
   * canceled if nobody wants it any more when its turn has come.
   */
  async hash(password: string, isWanted: () => boolean): Promise<string> {
    const bytes = Buffer.from(password, "utf8");
    if (bytes.length > PASSWORD_BYTES_MAX) throw new AetherError("password_too_long");
    const options = { algorithm: "bcrypt", cost: this.#cost } as const;
    const work = (): Promise<string> => Bun.password.hash(notEmpty(bytes), options);
    const hash = await this.#run({ user: "", host: "", isWanted }, work);
    return Buffer.from(hash.replace(/^\$2b\$/, "$2a$"), "latin1").toString("base64");
  }

  /**
   * Whether `hash` is one of `password`; of undefined, or of what is no hash, none is, which takes
   * as long. Rejects: too_many_requests, canceled as hash() does.
   */
  async isOf(password: string, hash: Uint8Array | undefined, asker: Asker): Promise<boolean> {
    const text = Buffer.from(hash ?? []).toString("latin1");
    const isHash = BCRYPT_HASH.test(text);
    const bytes = Buffer.from(password, "utf8").subarray(0, PASSWORD_BYTES_MAX);
    const { user, host } = asker;
    return this.#run(asker, async () => {
      const isRight = (await verify(notEmpty(bytes), isHash ? text : this.#nobodys)) && isHash;
      if (isRight) this.#queue.succeeded(user, host);
      else this.#queue.failed(user, host);
      return isRight;
    });
  }

  async #run<T>(asker: Asker, work: () => Promise<T>): Promise<T> {
    await this.#queue.enter(asker);
    try {
      return await work();
    } finally {
      this.#queue.leave();
    }
  }
}

/** Half of the cores: the other half serves. */
function defaultRunningMax(): number {
  return Math.min(RUNNING_MAX, Math.max(1, availableParallelism() >> 1));
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
