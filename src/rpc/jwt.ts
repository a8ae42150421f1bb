/**
 * JSON web tokens (RFC 7519, signed as RFC 7515 compact form) with the claims of etcd: username,
 * revision and exp. Every member that has the key knows them, so they are told to nobody and end
 * by time, or when the auth revision has moved on: then the client is to authenticate again.
 *
 * Signing and verifying is node:crypto's, and synchronous: verifying takes 20 µs (RSA, 2048 bits),
 * and what was verified is remembered until it ends, which makes it a look into a map.
 */
import type { KeyObject } from "node:crypto";
import { nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import type { Caller } from "../state/auth/caller.ts";
import type { Tokens } from "./tokens.ts";

/** etcd's default lifetime. */
export const JWT_TTL_MS = 5 * 60_000;

/** Verified tokens that are remembered; beyond it the oldest is verified again. */
const REMEMBERED_MAX = 10_000;

/** Longer ones are nobody's: the claims of etcd take some two hundred bytes. */
const TOKEN_CHARS_MAX = 8192;

type Family = "RS" | "PS" | "ES" | "HS" | "EdDSA";

/** A method by its name in a token's head: its family, and the hash where there is a choice. */
const METHODS: Readonly<Record<string, readonly [family: Family, hash: string]>> = {
  RS256: ["RS", "sha256"],
  RS384: ["RS", "sha384"],
  RS512: ["RS", "sha512"],
  PS256: ["PS", "sha256"],
  PS384: ["PS", "sha384"],
  PS512: ["PS", "sha512"],
  ES256: ["ES", "sha256"],
  ES384: ["ES", "sha384"],
  ES512: ["ES", "sha512"],
  HS256: ["HS", "sha256"],
  HS384: ["HS", "sha384"],
  HS512: ["HS", "sha512"],
  EdDSA: ["EdDSA", ""],
};

const CURVES: Readonly<Record<string, string>> = {
  ES256: "prime256v1",
  ES384: "secp384r1",
  ES512: "secp521r1",
};

const KEY_TYPES: Readonly<Record<Exclude<Family, "HS">, readonly string[]>> = {
  RS: ["rsa"],
  PS: ["rsa", "rsa-pss"],
  ES: ["ec"],
  EdDSA: ["ed25519"],
};

/** What `--auth-token jwt,…` says; keys as in their files: PEM, for HS bytes as they are. */
export interface JwtSettings {
  readonly method: string;
  readonly publicKey: Buffer | undefined;
  readonly privateKey: Buffer | undefined;
  readonly ttlMs: number;
}

/** How tokens are signed, if they can be, and verified. */
interface Signer {
  readonly sign: ((data: Buffer) => Buffer) | undefined;
  readonly verify: (data: Buffer, signature: Buffer) => boolean;
}

interface Remembered {
  readonly caller: Caller;
  /** Seconds since 1970; Infinity if it says nothing. */
  readonly endsS: number;
}

export class JwtTokens implements Tokens {
  readonly #settings: JwtSettings;
  readonly #clock: Clock;
  readonly #signer: Signer;
  readonly #head: string;
  readonly #remembered = new Map<string, Remembered>();

  /** Throws Error with a text for people: an unknown method, no key, a key of another kind. */
  constructor(settings: JwtSettings, clock: Clock) {
    this.#settings = settings;
    this.#clock = clock;
    this.#signer = signerOf(settings);
    this.#head = encode({ alg: settings.method, typ: "JWT" });
  }

  draw(): string {
    return "";
  }

  /** token_not_signed where only the public key is known. */
  issue(user: string, _token: string, authRevision: number): string {
    const signature = this.#signer.sign;
    if (signature === undefined) throw new AetherError("token_not_signed");
    const exp = Math.floor((this.#clock.wallMs() + this.#settings.ttlMs) / 1000);
    const data = `${this.#head}.${encode({ exp, revision: authRevision, username: user })}`;
    return `${data}.${signature(Buffer.from(data)).toString("base64url")}`;
  }

  callerOf(token: string): Caller | undefined {
    const known = this.#remembered.get(token) ?? this.#verified(token);
    if (known !== undefined && known.endsS > this.#clock.wallMs() / 1000) return known.caller;
    this.#remembered.delete(token);
    return undefined;
  }

  indexOf(): undefined {
    return undefined;
  }

  onChange(): void {}

  clear(): void {
    this.#remembered.clear();
  }

  tick(): void {
    const nowS = this.#clock.wallMs() / 1000;
    for (const [token, { endsS }] of this.#remembered) {
      if (endsS <= nowS) this.#remembered.delete(token);
    }
  }

  #verified(token: string): Remembered | undefined {
    const [head = "", claims = "", signature = "", ...rest] =
      token.length > TOKEN_CHARS_MAX ? [] : token.split(".");
    if (rest.length > 0 || decode(head)?.["alg"] !== this.#settings.method) return undefined;
    if (!BASE64URL.test(signature)) return undefined; // Buffer.from() passes over what is none
    const data = Buffer.from(`${head}.${claims}`, "latin1");
    if (!this.#signer.verify(data, Buffer.from(signature, "base64url"))) return undefined;
    const read = this.#read(decode(claims));
    if (read === undefined) return undefined;
    if (this.#remembered.size >= REMEMBERED_MAX) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    this.#remembered.set(token, read);
    return read;
  }

  /** The claims, if they are those of a user and not of the future (RFC 7519 §4.1.5). */
  #read(claims: Claims | undefined): Remembered | undefined {
    if (claims === undefined) return undefined;
    const { username, revision, exp, nbf } = claims;
    if (typeof username !== "string" || typeof revision !== "number") return undefined;
    if (exp !== undefined && typeof exp !== "number") return undefined;
    if (nbf !== undefined && typeof nbf !== "number") return undefined;
    if (nbf !== undefined && nbf > this.#clock.wallMs() / 1000) return undefined;
    const authRevision = Math.trunc(revision); // the log carries it as a u64
    if (authRevision < 0 || !Number.isSafeInteger(authRevision)) return undefined;
    const caller = { user: username, authRevision };
    return { caller, endsS: exp ?? Number.POSITIVE_INFINITY };
  }
}

interface Claims {
  readonly alg?: unknown;
  readonly username?: unknown;
  readonly revision?: unknown;
  readonly exp?: unknown;
  readonly nbf?: unknown;
}

const BASE64URL = /^[A-Za-z0-9_-]+$/;

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A JSON object in base64url; undefined for anything else a client may send. */
function decode(text: string): Claims | undefined {
  if (!BASE64URL.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    return typeof value === "object" && value !== null ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // no token of ours
    throw error;
  }
}

function signerOf({ method, publicKey, privateKey }: JwtSettings): Signer {
  const [family, hash] = METHODS[method] ?? [];
  if (family === undefined || hash === undefined) {
    throw new Error(`sign-method ${method === "" ? "is missing" : `${method} is unknown`}`);
  }
  if (family === "HS") return secretSigner(hash, privateKey);
  const secret = privateKey === undefined ? undefined : nodeCrypto().createPrivateKey(privateKey);
  const given = publicKey === undefined ? undefined : nodeCrypto().createPublicKey(publicKey);
  const open = given ?? (secret === undefined ? undefined : nodeCrypto().createPublicKey(secret));
  if (open === undefined) throw new Error("neither pub-key nor priv-key is given");
  checkKey(method, family, open);
  if (secret !== undefined && !nodeCrypto().createPublicKey(secret).equals(open)) {
    throw new Error("pub-key and priv-key do not belong together");
  }
  return keySigner(family, hash, open, secret);
}

function secretSigner(hash: string, secret: Buffer | undefined): Signer {
  if (secret === undefined || secret.length === 0) throw new Error("priv-key is missing or empty");
  const digest = (data: Buffer): Buffer =>
    nodeCrypto().createHmac(hash, secret).update(data).digest();
  const isOf = (data: Buffer, signature: Buffer): boolean => {
    const expected = digest(data);
    return (
      expected.length === signature.length && nodeCrypto().timingSafeEqual(expected, signature)
    );
  };
  return { sign: digest, verify: isOf };
}

function checkKey(method: string, family: Exclude<Family, "HS">, key: KeyObject): void {
  const type = key.asymmetricKeyType ?? "";
  if (!KEY_TYPES[family].includes(type)) throw new Error(`${method} needs no key of type ${type}`);
  const curve = CURVES[method];
  if (curve !== undefined && key.asymmetricKeyDetails?.namedCurve !== curve) {
    throw new Error(`${method} needs a key on the curve ${curve}`);
  }
}

function keySigner(
  family: Exclude<Family, "HS">,
  hash: string,
  open: KeyObject,
  secret: KeyObject | undefined,
): Signer {
  const algorithm = hash === "" ? null : hash;
  return {
    sign:
      secret &&
      ((data) => nodeCrypto().sign(algorithm, data, { key: secret, ...formOf(family, "sign") })),
    verify: (data, signature) =>
      nodeCrypto().verify(algorithm, data, { key: open, ...formOf(family, "verify") }, signature),
  };
}

/** RFC 7518 §3.4 (ECDSA: both numbers side by side), §3.5 (PSS: a salt as long as the hash). */
function formOf(family: Family, act: "sign" | "verify"): object {
  if (family === "ES") return { dsaEncoding: "ieee-p1363" };
  if (family !== "PS") return {};
  const {
    RSA_PKCS1_PSS_PADDING: padding,
    RSA_PSS_SALTLEN_DIGEST,
    RSA_PSS_SALTLEN_AUTO,
  } = nodeCrypto().constants;
  return { padding, saltLength: act === "sign" ? RSA_PSS_SALTLEN_DIGEST : RSA_PSS_SALTLEN_AUTO };
}
