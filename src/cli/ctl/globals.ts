/**
 * What every client command understands: where the servers are, how to talk to them, how to print.
 * A flag wins over AETHERCTL_<FLAG>, which wins over ETCDCTL_<FLAG>, which wins over the default.
 */
import { readFileSync } from "node:fs";
import type { ArgsDef } from "citty";
import { parseDurationMs } from "../../base/durations.ts";
import { AetherError } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { MIB } from "../../base/units.ts";
import type { EtcdClientOptions } from "../../client/etcd-client.ts";
import { requireUsable } from "../../client/tls-files.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT, ExitError, UsageError } from "../exit.ts";
import { FORMATS, type Format } from "./output/answer.ts";

type ClientTls = NonNullable<EtcdClientOptions["tls"]>;

const SECONDS = "duration";

export const GLOBAL_ARGS: ArgsDef = {
  endpoints: {
    type: "string",
    default: "127.0.0.1:2379",
    valueHint: "list",
    description: "Servers, separated by commas: host:port, http://…, https://…, unix:…",
  },
  "write-out": {
    type: "string",
    alias: "w",
    default: "simple",
    valueHint: FORMATS.join("|"),
    description: "Form of the output",
  },
  hex: { type: "boolean", default: false, description: "Print bytes in hexadecimal" },
  "dial-timeout": {
    type: "string",
    default: "2s",
    valueHint: SECONDS,
    description: "Time to reach a server",
  },
  "command-timeout": {
    type: "string",
    default: "5s",
    valueHint: SECONDS,
    description: "Time for a command that is not meant to go on",
  },
  user: { type: "string", valueHint: "name[:password]", description: "Who asks" },
  password: {
    type: "string",
    valueHint: "text",
    description: "Password of --user; off the process list once we run",
  },
  "password-file": {
    type: "string",
    valueHint: "file",
    description: "Its first line is the password of --user",
  },
  "auth-jwt-token": { type: "string", valueHint: "token", description: "Token to send along" },
  cacert: { type: "string", valueHint: "file", description: "Verify servers with this CA bundle" },
  cert: { type: "string", valueHint: "file", description: "Our certificate for TLS" },
  key: { type: "string", valueHint: "file", description: "Private key of --cert" },
  "insecure-transport": {
    type: "boolean",
    default: true,
    description: "No TLS to endpoints without a scheme, unless a TLS file is given",
  },
  "insecure-skip-tls-verify": {
    type: "boolean",
    default: false,
    description: "Take any certificate (for tests only)",
  },
  "discovery-srv": {
    type: "string",
    alias: "d",
    valueHint: "domain",
    description: "Find the endpoints in this domain's SRV records",
  },
  "discovery-srv-name": { type: "string", valueHint: "name", description: "Suffix of their name" },
  "insecure-discovery": {
    type: "boolean",
    default: true,
    description: "Use discovered endpoints without TLS too",
  },
  "keepalive-time": {
    type: "string",
    default: "2s",
    valueHint: SECONDS,
    description: "Ask a silent server whether it is there after this time, at least 10s",
  },
  "keepalive-timeout": {
    type: "string",
    default: "6s",
    valueHint: SECONDS,
    description: "Time for its answer",
  },
  "max-request-bytes": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Largest request that is sent (0: 2 MiB)",
  },
  "max-recv-bytes": {
    type: "string",
    default: "0",
    valueHint: "n",
    description: "Largest answer that is taken (0: 2 GiB)",
  },
  debug: { type: "boolean", default: false, description: "Show the settings on standard error" },
  help: { type: "boolean", alias: "h", description: "Show what the command does" },
};

export interface Globals {
  readonly endpoints: readonly string[];
  readonly format: Format;
  readonly hex: boolean;
  readonly dialTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly tls: ClientTls | undefined;
  readonly user: User | undefined;
  readonly token: Secret | undefined;
  readonly discovery: Discovery | undefined;
  readonly connection: NonNullable<EtcdClientOptions["connection"]>;
  readonly requestBytesMax: number;
}

export interface User {
  readonly name: string;
  /** undefined: it has to be asked for. */
  readonly password: Secret | undefined;
}

export interface Discovery {
  readonly domain: string;
  readonly name: string;
  /** Endpoints without TLS are used too. */
  readonly insecure: boolean;
}

const PREFIXES = ["AETHERCTL_", "ETCDCTL_"] as const;

/** Variables under those prefixes which are no flags. */
const NOT_FLAGS = new Set(["API", "WATCH_KEY", "WATCH_RANGE_END"]);

export interface EnvironmentFlags {
  readonly values: ReadonlyMap<string, string>;
  /** Names that begin as ours do and mean nothing. */
  readonly unknown: readonly string[];
}

/** The global flags that the environment sets. */
export function environmentFlags(
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentFlags {
  const values = new Map<string, string>();
  const unknown: string[] = [];
  for (const prefix of PREFIXES) {
    for (const [variable, value] of Object.entries(environment)) {
      if (!variable.startsWith(prefix) || value === undefined) continue;
      const rest = variable.slice(prefix.length);
      const flag = rest.toLowerCase().replaceAll("_", "-");
      if (NOT_FLAGS.has(rest)) continue;
      if (!Object.hasOwn(GLOBAL_ARGS, flag) || flag === "help") unknown.push(variable);
      else if (!values.has(flag)) values.set(flag, value);
    }
  }
  return { values, unknown };
}

/** What the flags mean. Throws ExitError for a value that means nothing or a file not there. */
export function resolveGlobals(args: Arguments): Globals {
  const format = args.text("write-out") as Format;
  if (!FORMATS.includes(format)) {
    throw new ExitError(EXIT.UNSUPPORTED, "unsupported output format");
  }
  const given = args.given("endpoints");
  const lists = given.length > 0 ? given : [args.text("endpoints")];
  return {
    endpoints: endpointsOf(lists.join(",")),
    format,
    hex: args.on("hex"),
    dialTimeoutMs: durationMs(args, "dial-timeout"),
    commandTimeoutMs: durationMs(args, "command-timeout"),
    tls: clientTls(args, ""),
    user: userOf(args.text("user"), passwordOf(args)),
    token: args.text("auth-jwt-token") === "" ? undefined : new Secret(args.text("auth-jwt-token")),
    discovery: discoveryOf(args),
    connection: {
      keepaliveMs: Math.max(durationMs(args, "keepalive-time"), KEEPALIVE_MS_MIN),
      keepaliveTimeoutMs: durationMs(args, "keepalive-timeout"),
      receiveBytesMax: args.integer("max-recv-bytes") || RECEIVE_BYTES_MAX,
      userAgent: "aetherctl",
    },
    requestBytesMax: args.integer("max-request-bytes") || REQUEST_BYTES_MAX,
  };
}

/** gRPC's clients do not ask more often, and etcd ends connections of those who do. */
const KEEPALIVE_MS_MIN = 10_000;
/** etcdctl's: half a MiB above what etcd's servers take. */
const REQUEST_BYTES_MAX = 2 * MIB;
/** The largest int32, as etcd's client has it. */
const RECEIVE_BYTES_MAX = 2 ** 31 - 1;

function durationMs(args: Arguments, flag: string): number {
  const text = args.text(flag);
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= 0) return ms;
  const why = `time: invalid duration ${JSON.stringify(text)}`;
  throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${why}`);
}

function endpointsOf(list: string): string[] {
  const endpoints = list.split(",").map((each) => each.trim());
  return endpoints.filter((each) => each !== "");
}

/**
 * The TLS settings of `--cert` and its kin, or undefined for none; with the prefix "dest-", those
 * of make-mirror's other cluster. Endpoints without a scheme are then spoken to with TLS.
 */
export function clientTls(args: Arguments, prefix: "" | "dest-" | "from-"): ClientTls | undefined {
  const own = prefix === "";
  const [cert, key] = [args.text(`${prefix}cert`), args.text(`${prefix}key`)];
  if ((cert === "") !== (key === "")) {
    const given = `[key: ${key}, cert: ${cert}]`;
    throw new ExitError(EXIT.BAD_ARGUMENTS, `KeyFile and CertFile must both be present${given}`);
  }
  const texts = {
    cert: fileText(args, `${prefix}cert`),
    key: fileText(args, `${prefix}key`),
    ca: fileText(args, `${prefix}cacert`),
  };
  requireUsableTls(args, prefix, texts);
  const tls: Record<string, string | boolean> = {};
  for (const [name, text] of Object.entries(texts)) if (text !== undefined) tls[name] = text;
  if (own && args.text("discovery-srv") !== "" && !args.on("insecure-discovery")) {
    tls["serverName"] = args.text("discovery-srv");
  }
  if (own && args.on("insecure-skip-tls-verify")) tls["insecureSkipVerify"] = true;
  const wanted = !args.on(`${prefix}insecure-transport`);
  return Object.keys(tls).length > 0 || wanted ? (tls as ClientTls) : undefined;
}

/** Throws ExitError for a file that is of no use. */
function requireUsableTls(
  args: Arguments,
  prefix: string,
  texts: Readonly<Record<"cert" | "key" | "ca", string | undefined>>,
): void {
  const fileOf = (name: "cert" | "key" | "ca") => {
    const text = texts[name];
    const flag = name === "ca" ? "cacert" : name;
    return text === undefined ? undefined : { file: args.text(prefix + flag), text };
  };
  try {
    requireUsable({ cert: fileOf("cert"), key: fileOf("key"), ca: fileOf("ca") });
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    throw new ExitError(EXIT.BAD_ARGUMENTS, error.detail, { cause: error });
  }
}

function fileText(args: Arguments, flag: string): string | undefined {
  const path = args.text(flag);
  if (path === "") {
    if (args.given(flag).length === 0) return undefined;
    throw new ExitError(EXIT.BAD_ARGUMENTS, `empty string is passed to --${flag} option`);
  }
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ExitError(EXIT.BAD_ARGUMENTS, `open ${path}: ${whyNot(error)}`, { cause: error });
  }
}

/** As Go says what the system says. */
const SYSTEM_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EISDIR: "is a directory",
};

function whyNot(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return SYSTEM_TEXTS[(error as NodeJS.ErrnoException).code ?? ""] ?? error.message;
}

/** Of `name`, or `name:password` when no password is given apart. */
export function userOf(text: string, password: string): User | undefined {
  if (text === "") return undefined;
  if (password !== "") return { name: text, password: new Secret(password) };
  const colon = text.indexOf(":");
  if (colon === -1) return { name: text, password: undefined };
  return { name: text.slice(0, colon), password: new Secret(text.slice(colon + 1)) };
}

/** Of --password or the first line of --password-file; "" for neither. Throws ExitError. */
function passwordOf(args: Arguments): string {
  const password = args.text("password");
  const text = fileText(args, "password-file");
  if (text === undefined) return password;
  if (password !== "") {
    const both = "--password and --password-file are two ways to say the same: give one";
    throw new ExitError(EXIT.BAD_ARGUMENTS, both);
  }
  const [line = ""] = text.split(/\r?\n/);
  if (line !== "") return line;
  throw new ExitError(EXIT.BAD_ARGUMENTS, `${args.text("password-file")}: has no first line`);
}

function discoveryOf(args: Arguments): Discovery | undefined {
  const domain = args.text("discovery-srv");
  if (domain === "") return undefined;
  return { domain, name: args.text("discovery-srv-name"), insecure: args.on("insecure-discovery") };
}
