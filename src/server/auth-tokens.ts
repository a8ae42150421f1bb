/**
 * What tokens are: signed ones by our own rules, with a key of the configuration or one that the
 * cluster draws for itself; or what `--auth-token` asks for: `simple`, nothing, or
 * `jwt,sign-method=…,pub-key=…,priv-key=…,ttl=…`. Key files are read once, when the server starts.
 */
import { readFileSync } from "node:fs";
import { parseDurationMs } from "../base/durations.ts";
import type { Clock, Log } from "../base/ports.ts";
import { JWT_TTL_MS, type JwtSettings, JwtTokens } from "../rpc/jwt.ts";
import { jwtKeyOf, sharedKey } from "../rpc/jwt-keys.ts";
import { BCRYPT_COST } from "../rpc/passwords.ts";
import { NoTokens, SimpleTokens, type Tokens } from "../rpc/tokens.ts";
import type { AuthOptions, OwnTokens } from "./config/auth-options.ts";
import { ConfigError } from "./config/config-error.ts";

const MS_PER_HOUR = 3_600_000;

/** What the services need to know who asks. Throws ConfigError. */
export function authPartsOf(options: AuthOptions, clock: Clock, log: Log) {
  const { min, max, initial } = BCRYPT_COST;
  let { bcryptCost } = options;
  if (bcryptCost < min || bcryptCost > max) {
    log.warn("--bcrypt-cost is out of range", { bcryptCost, min, max, used: initial });
    bcryptCost = initial; // etcd's way, too
  }
  const { clientCertAuth } = options;
  const mustBegin = options.beginning !== undefined;
  return { tokens: tokensOf(options, clock, log), bcryptCost, clientCertAuth, mustBegin };
}

/** Throws ConfigError; it names files and options, never what is in them. */
export function tokensOf(
  { token, tokenTtlSeconds, own }: Pick<AuthOptions, "token" | "tokenTtlSeconds" | "own">,
  clock: Clock,
  log: Log,
): Tokens {
  if (own !== undefined) return new JwtTokens(settingsOf(own), clock, log);
  const [kind = "", ...parts] = token.split(",");
  const options = optionsOf(parts);
  if (kind === "") return new NoTokens();
  if (kind === "simple") return new SimpleTokens(clock, tokenTtlSeconds);
  if (kind !== "jwt") throw refusal(`expected simple or jwt, got ${kind}`);
  try {
    return new JwtTokens(jwtOf(options), clock, log);
  } catch (error) {
    if (error instanceof ConfigError || !(error instanceof Error)) throw error;
    throw refusal(error.message);
  }
}

function settingsOf({ expiryHours, signingKey }: OwnTokens): JwtSettings {
  const key = signingKey === undefined ? undefined : sharedKey(signingKey.revealBytes());
  return { key, ttlMs: expiryHours * MS_PER_HOUR, rules: "own" };
}

function optionsOf(parts: readonly string[]): ReadonlyMap<string, string> {
  const options = new Map<string, string>();
  for (const part of parts) {
    const [name = "", value, ...rest] = part.split("=");
    if (value === undefined || rest.length > 0) throw refusal("an option is name=value");
    if (options.has(name)) throw refusal(`${name} is given twice`);
    options.set(name, value);
  }
  return options;
}

/** Options that nobody knows are passed over, as etcd does. */
function jwtOf(options: ReadonlyMap<string, string>): JwtSettings {
  const ttl = options.get("ttl") ?? "";
  const ttlMs = ttl === "" ? JWT_TTL_MS : parseDurationMs(ttl);
  if (ttlMs === undefined) throw refusal("ttl is a duration, as 10m");
  const key = jwtKeyOf({
    method: options.get("sign-method") ?? "",
    publicKey: fileOf(options.get("pub-key")),
    privateKey: fileOf(options.get("priv-key")),
  });
  return { key, ttlMs, rules: "etcd" };
}

function fileOf(path: string | undefined): Buffer | undefined {
  return path === undefined || path === "" ? undefined : readFileSync(path);
}

function refusal(what: string): ConfigError {
  return new ConfigError(`--auth-token: ${what}`);
}
