/**
 * JSON web tokens (RFC 7519, signed as RFC 7515 compact form) with the claims of etcd: username,
 * revision and exp. Every member that has the key knows them, so they are told to nobody; they end
 * by time, and with what they stand for: the user, his password, auth itself (takesTokenOf()).
 *
 * Signing and verifying is jose's, which is WebCrypto's and so takes its time on another thread. A
 * token is therefore proved once, and remembered; a call with a known one pays a look into a map.
 *
 *   token ─ known? ── yes ─▶ callerOf(), at once
 *              └───── no ──▶ prove() ─▶ the call waits (authorize.ts) ─▶ callerOf()
 *
 * There are two sets of rules. With etcd's, a caller has the auth revision of his token, so that
 * every change of rights sends everybody to log in again. With ours he has the present one, as with
 * simple tokens: rights are looked up by his name anyway, so a change of them holds at once; and
 * the token says of which entry of the log it is, for members that are behind it.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import type { Secret } from "../base/secret.ts";
import { type AuthStore, SIGNING_KEY_BYTES } from "../state/auth/auth-store.ts";
import type { Caller } from "../state/auth/caller.ts";
import { type JwtKey, sharedKey } from "./jwt-keys.ts";
import type { NewToken, Tokens } from "./tokens.ts";

/** etcd's default lifetime. */
export const JWT_TTL_MS = 5 * 60_000;

/** Proved tokens that are remembered, some 500 bytes each; the least used are proved again. */
const REMEMBERED_MAX = 10_000;

/** Proofs under way: a tenth of a second of them. Beyond it callers are refused. */
const PROVING_MAX = 1000;

/** How long a token waits for the key, which is on its way through the log; as authorize.ts. */
const KEY_WAIT_MS = 5000;

/** Longer ones are nobody's: the claims of etcd take some two hundred bytes. */
const TOKEN_CHARS_MAX = 8192;

export interface JwtSettings {
  /** Undefined: drawn by chance when it is first needed, and kept in the state. */
  readonly key: JwtKey | undefined;
  readonly ttlMs: number;
  readonly rules: "etcd" | "own";
}

/** What a proved token says. */
interface Proved {
  readonly caller: Caller;
  /** Seconds since 1970. */
  readonly endsS: number;
  readonly index: number | undefined;
}

export class JwtTokens implements Tokens {
  readonly #settings: JwtSettings;
  readonly #clock: Clock;
  readonly #log: Log;
  /** Two generations: what is used stays in the young one, and the old one is forgotten whole. */
  #young = new Map<string, Proved>();
  #old = new Map<string, Proved>();
  /** Streams keep what they came with. */
  readonly #held = new WeakMap<object, Proved>();
  readonly #proving = new Map<string, Promise<void>>();
  #drawnKey: { readonly secret: Secret; readonly key: JwtKey } | undefined = undefined;
  #waiting: { readonly untilMs: number; readonly go: () => void }[] = [];

  constructor(settings: JwtSettings, clock: Clock, log: Log) {
    this.#settings = settings;
    this.#clock = clock;
    this.#log = log;
  }

  draw(): string {
    return "";
  }

  drawKey(auth: AuthStore): Uint8Array | undefined {
    if (this.#keyIn(auth) !== undefined) return undefined;
    return crypto.getRandomValues(new Uint8Array(SIGNING_KEY_BYTES));
  }

  /** Rejects with token_not_signed where only the public key is known. */
  async issue({ user, authRevision, index }: NewToken, auth: AuthStore): Promise<string> {
    const key = this.#keyIn(auth);
    assert(key !== undefined, "a token is given after its key is known");
    if (key.signing === undefined) throw new AetherError("token_not_signed");
    const { SignJWT } = await import("jose");
    const exp = Math.floor((this.#clock.wallMs() + this.#settings.ttlMs) / 1000);
    const claims = { exp, revision: authRevision, username: user };
    return new SignJWT(this.#settings.rules === "own" ? { ...claims, index } : claims)
      .setProtectedHeader({ alg: key.method, typ: "JWT" })
      .sign(key.signing);
  }

  callerOf(token: string, auth: AuthStore, holder: object): Caller | undefined {
    const known = this.#find(token) ?? this.#held.get(holder);
    if (known === undefined || known.endsS <= this.#clock.wallMs() / 1000) return undefined;
    const { caller } = known;
    if (!auth.takesTokenOf(caller.user, caller.authRevision)) return undefined;
    if (this.#settings.rules === "etcd") return caller;
    return { user: caller.user, authRevision: auth.revision };
  }

  prove(token: string, auth: AuthStore): Promise<void> | undefined {
    if (this.#find(token) !== undefined || token.length > TOKEN_CHARS_MAX) return undefined;
    if (!COMPACT_FORM.test(token)) return undefined;
    const begun = this.#proving.get(token);
    if (begun !== undefined) return begun;
    if (this.#proving.size >= PROVING_MAX) {
      throw new AetherError("too_many_requests", "too many tokens wait to be verified");
    }
    const proof = this.#prove(token, auth).finally(() => this.#proving.delete(token));
    this.#proving.set(token, proof);
    return proof;
  }

  hold(token: string, holder: object): void {
    const known = this.#find(token);
    if (known !== undefined) this.#held.set(holder, known);
  }

  indexOf(token: string): number | undefined {
    return this.#find(token)?.index;
  }

  onChange({ of }: { readonly of: string }): void {
    if (of === "key") this.#wake(() => true);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#wake(() => true);
  }

  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#wake(({ untilMs }) => untilMs <= nowMs);
  }

  #find(token: string): Proved | undefined {
    const known = this.#young.get(token);
    if (known !== undefined) return known;
    const old = this.#old.get(token);
    if (old !== undefined) this.#remember(token, old);
    return old;
  }

  #remember(token: string, proved: Proved): void {
    if (this.#young.size >= REMEMBERED_MAX / 2) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(token, proved);
  }

  /** The key as far as it is known; what was proved by another one is forgotten. */
  #keyIn(auth: AuthStore): JwtKey | undefined {
    const { key } = this.#settings;
    const secret = auth.signingKey;
    if (key !== undefined || secret === undefined) return key;
    if (this.#drawnKey?.secret !== secret) {
      this.#young.clear();
      this.#old.clear();
      this.#drawnKey = { secret, key: sharedKey(secret.revealBytes()) };
    }
    return this.#drawnKey.key;
  }

  /** Remembers the token if it is a good one; what is wrong with another is nobody's business. */
  async #prove(token: string, auth: AuthStore): Promise<void> {
    if (this.#keyIn(auth) === undefined) await this.#keyArrival();
    const key = this.#keyIn(auth);
    if (key === undefined) return;
    const { jwtVerify, errors } = await import("jose");
    const currentDate = new Date(this.#clock.wallMs());
    const options = { algorithms: [key.method], currentDate, requiredClaims: REQUIRED };
    try {
      const { payload, protectedHeader } = await jwtVerify(token, key.verifying, options);
      if (protectedHeader.crit !== undefined) return; // we honour no extension
      const proved = provedBy(payload);
      if (proved !== undefined) this.#remember(token, proved);
    } catch (error) {
      if (error instanceof errors.JOSEError) return;
      // Whatever a client sends, it must not end the server.
      this.#log.error("a token could not be verified", { error: String(error) });
    }
  }

  #keyArrival(): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + KEY_WAIT_MS;
    return new Promise((go) => this.#waiting.push({ untilMs, go }));
  }

  #wake(isDue: (waiting: { readonly untilMs: number }) => boolean): void {
    const due = this.#waiting.filter(isDue);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter((each) => !isDue(each));
    for (const { go } of due) go();
  }
}

/** Without an end a token that got lost would be good for ever. */
const REQUIRED = ["exp", "username", "revision"];

/** Three parts in base64url; the head may not be long, since it is read before it is proved. */
const COMPACT_FORM = /^[A-Za-z0-9_-]{1,1024}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/** The claims, if they are those of a user. */
function provedBy(claims: Readonly<Record<string, unknown>>): Proved | undefined {
  const { username, revision, exp, index } = claims;
  if (typeof username !== "string" || typeof revision !== "number") return undefined;
  if (typeof exp !== "number") return undefined;
  const authRevision = Math.trunc(revision); // the log carries it as a u64
  if (authRevision < 0 || !Number.isSafeInteger(authRevision)) return undefined;
  const isIndex = typeof index === "number" && Number.isSafeInteger(index);
  return {
    caller: { user: username, authRevision },
    endsS: exp,
    index: isIndex ? index : undefined,
  };
}
