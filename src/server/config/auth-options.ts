/**
 * What is said of users and tokens. In Aether's own words tokens are signed with a key that the
 * cluster draws for itself, or with `auth.signing_key`; in etcd's they are what --auth-token says.
 */
import { Secret } from "../../base/secret.ts";
import { ConfigError } from "./config-error.ts";
import type { Gathered } from "./sources.ts";

export interface AuthOptions {
  /** `simple`, or `jwt,` and its options, or nothing, as it was given. */
  readonly token: string;
  /** Signed tokens by our own rules, whatever `token` is; undefined: what `token` says. */
  readonly own: OwnTokens | undefined;
  readonly bcryptCost: number;
  /** Of simple tokens. */
  readonly tokenTtlSeconds: number;
  /** The common name of a client's certificate says who asks (--client-cert-auth). */
  readonly clientCertAuth: boolean;
  /** The cluster begins with auth enabled; undefined: somebody may enable it later. */
  readonly beginning: AuthBeginning | undefined;
}

export interface OwnTokens {
  readonly expiryHours: number;
  /** Undefined: drawn by chance once, and known to all members through the log. */
  readonly signingKey: Secret | undefined;
}

/** Where root's first password is; neither, once the cluster has begun and has it. */
export interface AuthBeginning {
  readonly passwordFile: string | undefined;
  readonly password: Secret | undefined;
}

/** As many bytes as the hash of HS256 has (RFC 7518 §3.2): fewer are easier to guess. */
const SIGNING_KEY_BYTES_MIN = 32;

/** Throws ConfigError. */
export function authOptionsOf(settings: Gathered): AuthOptions {
  return {
    token: settings.text("--auth-token"),
    own: ownTokensOf(settings),
    bcryptCost: settings.number("--bcrypt-cost"),
    tokenTtlSeconds: settings.number("--auth-token-ttl"),
    clientCertAuth: settings.on("tls.client_cert_auth"),
    beginning: settings.on("auth.enabled") ? beginningOf(settings) : undefined,
  };
}

/** etcd's tokens are those of etcd's words, unless they are given a key that only ours have. */
function ownTokensOf(settings: Gathered): OwnTokens | undefined {
  const key = settings.chosen("auth.signing_key");
  const expiry = settings.chosen("auth.token_expiry_hours");
  const theirs = settings.chosen("--auth-token") ?? settings.chosen("--auth-token-ttl");
  const ours = key ?? expiry;
  if (theirs !== undefined && ours !== undefined) {
    throw new ConfigError(`${theirs} and ${ours}: tokens are of one kind; set one of the two`);
  }
  if (theirs !== undefined || (ours === undefined && settings.speaksEtcd)) return undefined;
  return {
    expiryHours: settings.number("auth.token_expiry_hours"),
    signingKey: signingKeyOf(settings),
  };
}

function signingKeyOf(settings: Gathered): Secret | undefined {
  const given = settings.text("auth.signing_key");
  if (given === "") return undefined;
  const key = new Secret(given);
  if (key.bytesCount >= SIGNING_KEY_BYTES_MIN) return key;
  const where = settings.where("auth.signing_key");
  throw new ConfigError(
    `${where}: a key has at least ${SIGNING_KEY_BYTES_MIN} bytes, not ${key.bytesCount}`,
  );
}

function beginningOf(settings: Gathered): AuthBeginning {
  const password = settings.text("auth.root_password");
  const passwordFile = settings.text("auth.root_password_file");
  if (password !== "" && passwordFile !== "") {
    const [one, other] = ["auth.root_password", "auth.root_password_file"].map((path) =>
      settings.where(path),
    );
    throw new ConfigError(`${one} and ${other}: one password is enough; unset one of them`);
  }
  return {
    passwordFile: passwordFile || undefined,
    password: password === "" ? undefined : new Secret(password),
  };
}
