/**
 * Tokens: what a client shows after it has given its password. None of it is replicated state; the
 * log tells every member of new tokens and of users whose tokens are void.
 *
 * Simple tokens are drawn by chance, 16 letters, and end with the index of the entry that made
 * them known: a member that has not applied it yet knows that it should wait. They live in memory,
 * at each member for itself, as long as they are used there.
 */
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { AuthStore } from "../state/auth/auth-store.ts";
import type { Caller } from "../state/auth/caller.ts";
import type { AuthChange } from "../state/results.ts";

/** Somebody knew his password, and the log says so. */
export interface NewToken {
  readonly user: string;
  /** What the log made of the drawn part. */
  readonly token: string;
  readonly authRevision: number;
  /** The index of the entry. */
  readonly index: number;
}

/** A kind of tokens. */
export interface Tokens {
  /** What the log carries of a new token; empty for tokens that are signed when they are given. */
  draw(): string;
  /** A key that the log has to carry before a token is given; undefined: none is missing. */
  drawKey(auth: AuthStore): Uint8Array | undefined;
  /** The token to give. */
  issue(token: NewToken, auth: AuthStore): Promise<string>;
  /** Whose token it is; undefined if nobody's. `holder` is the call that shows it. */
  callerOf(token: string, auth: AuthStore, holder: object): Caller | undefined;
  /**
   * What callerOf() has to wait for; undefined: nothing. Never rejects. Throws too_many_requests.
   */
  prove(token: string, auth: AuthStore): Promise<void> | undefined;
  /** The token is remembered as long as its holder lives, which may be long after its last use. */
  hold(token: string, holder: object): void;
  /** The index of the entry that made it known, for tokens that come through the log. */
  indexOf(token: string): number | undefined;
  onChange(change: AuthChange): void;
  /** All are void: the state that they belong to is another one now. */
  clear(): void;
  /** Forgets what has run out; to be called now and then. */
  tick(): void;
}

/** etcd's alphabet and length. */
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DRAWN_LETTERS = 16;
/** The largest multiple of the alphabet in a byte: what is drawn above would favour some. */
const FAIR_BYTES = 256 - (256 % LETTERS.length);

/** etcd's --auth-token-ttl: seconds that a simple token lives without being used. */
export const TOKEN_TTL_SECONDS = 300;

interface Known {
  readonly user: string;
  endsMs: number;
}

export class SimpleTokens implements Tokens {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #known = new Map<string, Known>();

  /** A lifetime of 0 seconds or less stands for the default, as in etcd. */
  constructor(clock: Clock, ttlSeconds: number) {
    this.#clock = clock;
    this.#ttlMs = 1000 * (ttlSeconds > 0 ? ttlSeconds : TOKEN_TTL_SECONDS);
  }

  get size(): number {
    return this.#known.size;
  }

  draw(): string {
    let drawn = "";
    while (drawn.length < DRAWN_LETTERS) {
      for (const byte of crypto.getRandomValues(new Uint8Array(2 * DRAWN_LETTERS))) {
        if (byte < FAIR_BYTES) drawn += LETTERS[byte % LETTERS.length];
      }
    }
    return drawn.slice(0, DRAWN_LETTERS);
  }

  drawKey(): undefined {
    return undefined;
  }

  async issue({ token }: NewToken): Promise<string> {
    return token;
  }

  /** Each use begins its lifetime anew. */
  callerOf(token: string, { revision: authRevision }: AuthStore): Caller | undefined {
    const known = this.#known.get(token);
    const nowMs = this.#clock.monotonicMs();
    if (known === undefined || known.endsMs <= nowMs) return undefined;
    known.endsMs = nowMs + this.#ttlMs;
    return { user: known.user, authRevision };
  }

  prove(): undefined {
    return undefined;
  }

  hold(): void {}

  indexOf(token: string): number | undefined {
    const [, index] = /^[A-Za-z]+\.(\d{1,15})$/.exec(token) ?? [];
    return index === undefined ? undefined : Number(index);
  }

  onChange(change: AuthChange): void {
    if (change.of === "everybody") this.clear();
    else if (change.of === "user") this.#forget(change.user);
    else if (change.of === "token" && change.token !== "") {
      const endsMs = this.#clock.monotonicMs() + this.#ttlMs;
      this.#known.set(change.token, { user: change.user, endsMs });
    }
  }

  clear(): void {
    this.#known.clear();
  }

  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [token, { endsMs }] of this.#known) if (endsMs <= nowMs) this.#known.delete(token);
  }

  #forget(user: string): void {
    for (const [token, known] of this.#known) if (known.user === user) this.#known.delete(token);
  }
}

/** `--auth-token ""`: nobody gets a token; certificates alone tell who asks. */
export class NoTokens implements Tokens {
  draw(): string {
    return "";
  }

  drawKey(): undefined {
    return undefined;
  }

  async issue(): Promise<string> {
    throw new AetherError("auth_failed", "tokens are switched off");
  }

  callerOf(): undefined {
    return undefined;
  }

  prove(): undefined {
    return undefined;
  }

  hold(): void {}

  indexOf(): undefined {
    return undefined;
  }

  onChange(): void {}

  clear(): void {}

  tick(): void {}
}
