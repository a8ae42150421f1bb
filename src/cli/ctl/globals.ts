/**
 * What every client command understands: where the servers are, how to talk to them, how to print.
 * A flag wins over AETHERCTL_<FLAG>, which wins over ETCDCTL_<FLAG>, which wins over the default.
 */
import { readFileSync } from "node:fs";
import type { ArgsDef } from "citty";
import { parseDurationMs } from "../../base/durations.ts";
import type { EtcdClientOptions } from "../../client/etcd-client.ts";
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
  password: { type: "string", valueHint: "text", description: "Password of --user" },
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
  "keepalive-time": { type: "string", default: "2s", valueHint: SECONDS, description: "No effect" },
  "keepalive-timeout": {
    type: "string",
    default: "6s",
    valueHint: SECONDS,
    description: "No effect",
  },
  "max-request-bytes": { type: "string", default: "0", valueHint: "n", description: "No effect" },
  "max-recv-bytes": { type: "string", default: "0", valueHint: "n", description: "No effect" },
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
  readonly user: { readonly name: string; readonly password: string | undefined } | undefined;
  readonly token: string | undefined;
  readonly discovery: Discovery | undefined;
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
  for (const flag of ["keepalive-time", "keepalive-timeout"]) durationMs(args, flag);
  const given = args.given("endpoints");
  const lists = given.length > 0 ? given : [args.text("endpoints")];
  const tls = tlsOf(args);
  return {
    endpoints: endpointsOf(lists.join(","), args.on("insecure-skip-tls-verify") && !securing(args)),
    format,
    hex: args.on("hex"),
    dialTimeoutMs: durationMs(args, "dial-timeout"),
    commandTimeoutMs: durationMs(args, "command-timeout"),
    tls,
    user: userOf(args.text("user"), args.given("password").at(-1)),
    token: args.text("auth-jwt-token") || undefined,
    discovery: discoveryOf(args),
  };
}

function durationMs(args: Arguments, flag: string): number {
  const text = args.text(flag);
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= 0) return ms;
  const why = `time: invalid duration ${JSON.stringify(text)}`;
  throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: ${why}`);
}

/** `plain`: bare endpoints are not secure although there are TLS settings. */
function endpointsOf(list: string, plain: boolean): string[] {
  const endpoints = list.split(",").map((each) => each.trim());
  const named = endpoints.filter((each) => each !== "");
  return plain ? named.map((each) => (each.includes(":/") ? each : `http://${each}`)) : named;
}

/** Whether endpoints without a scheme are to be spoken to with TLS. */
function securing(args: Arguments): boolean {
  const files = ["cacert", "cert", "key"].some((flag) => args.text(flag) !== "");
  return files || !args.on("insecure-transport");
}

function tlsOf(args: Arguments): ClientTls | undefined {
  const ca = fileText(args, "cacert");
  const cert = fileText(args, "cert");
  const key = fileText(args, "key");
  const insecureSkipVerify = args.on("insecure-skip-tls-verify");
  if (!securing(args) && !insecureSkipVerify) return undefined;
  const tls: { ca?: string; cert?: string; key?: string; serverName?: string } = {};
  if (ca !== undefined) tls.ca = ca;
  if ((cert === undefined) !== (key === undefined)) {
    throw new ExitError(EXIT.BAD_ARGUMENTS, "--cert and --key are given together or not at all");
  }
  if (cert !== undefined && key !== undefined) {
    tls.cert = cert;
    tls.key = key;
  }
  if (args.text("discovery-srv") !== "" && !args.on("insecure-discovery")) {
    tls.serverName = args.text("discovery-srv");
  }
  return { ...tls, ...(insecureSkipVerify ? { insecureSkipVerify } : {}) };
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
    const why = error instanceof Error ? error.message : String(error);
    throw new ExitError(EXIT.BAD_ARGUMENTS, `--${flag}: ${why}`, { cause: error });
  }
}

function userOf(text: string, password: string | undefined): Globals["user"] {
  if (text === "") return undefined;
  if (password !== undefined) return { name: text, password };
  const colon = text.indexOf(":");
  if (colon === -1) return { name: text, password: undefined };
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

function discoveryOf(args: Arguments): Discovery | undefined {
  const domain = args.text("discovery-srv");
  if (domain === "") return undefined;
  return { domain, name: args.text("discovery-srv-name"), insecure: args.on("insecure-discovery") };
}
