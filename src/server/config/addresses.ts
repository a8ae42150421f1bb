/**
 * Addresses and URLs as a configuration names them: `host:port`, and etcd's lists of URLs. URLs are
 * kept as they were written, since the ids of members are computed from them.
 */
import { mismatch } from "./config-error.ts";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** A member as the configuration names it. */
export interface Founder {
  readonly name: string;
  readonly peerUrls: readonly string[];
}

/** `host:port`, `:port` (all interfaces) or `[v6]:port`; ConfigError otherwise. */
export function parseAddress(text: string, where: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw mismatch(where, 'an address "host:port"', text);
  return { host: match[1] ?? (match[2] === "" ? "0.0.0.0" : (match[2] as string)), port };
}

/** Where a URL that parseUrls() let pass leads; undefined for a unix socket. */
export function hostOf(url: string): HostPort | undefined {
  const [, scheme = "", rest = ""] = URL_PARTS.exec(url) ?? [];
  return scheme.startsWith("unix") ? undefined : parseAddress(rest, url);
}

/**
 * Where to listen, as net/address reads it: `host:port` is plaintext. Listening on a name takes its
 * IPv4 address, as in etcd; "localhost" need not be looked up.
 */
export function listenAddressOf(url: string): string {
  if (url.startsWith("unix")) return url;
  return url.replace(/^http:\/\//, "").replace(/(?<=^|\/)localhost:/, "127.0.0.1:");
}

/** True for the hosts that stand for every interface: good to listen on, not to be called. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}

/** True for hosts that mean this machine, whoever reads them. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host.startsWith("127.") || host === "::1";
}

/** etcd's list of URLs as it was written; what stands there twice counts once, as in etcd. */
export function parseUrls(text: string, where: string): readonly string[] {
  const urls = text.split(",").map((part) => part.trim());
  for (const url of urls) checkUrl(url, where);
  return [...new Set(urls)];
}

/**
 * Origins as browsers write them (RFC 6454 §7): a path or anything but http would match none. etcd
 * wants a port in each, which browsers leave out where it is the scheme's own.
 */
export function parseOrigins(text: string, where: string): readonly string[] {
  const origins = text.split(",").map((part) => part.trim());
  const wrong = origins.find((origin) => !/^https?:\/\/[^\s/?#@,]+$/.test(origin));
  if (wrong === undefined) return origins;
  throw mismatch(where, "origins http://host:port, or * alone", wrong);
}

const URL_PARTS = /^([a-z]+):\/\/(.*)$/;
const URL_FORMS = "URLs http://host:port, https://host:port or unix://path";

function checkUrl(url: string, where: string): void {
  const [, scheme = "", rest = ""] = URL_PARTS.exec(url) ?? [];
  if (scheme === "unix" || scheme === "unixs") {
    if (rest === "") throw mismatch(where, URL_FORMS, url);
    return;
  }
  if (scheme !== "http" && scheme !== "https") throw mismatch(where, URL_FORMS, url);
  if (/^:|\/|\?|#|@/.test(rest)) throw mismatch(where, URL_FORMS, url);
  parseAddress(rest, `${where}: ${url}`);
}

/**
 * etcd's list of members, `name=url,name=url`; a name that stands there again has another URL. In
 * the order in which the names first appear.
 */
export function parseMembers(text: string, where: string): readonly Founder[] {
  const members = new Map<string, string[]>();
  for (const part of text.split(",")) {
    const [, name = "", url = ""] = /^([^=]+)=(.+)$/.exec(part.trim()) ?? [];
    if (name === "") throw mismatch(where, "members name=http://host:port", part);
    checkUrl(url, where);
    const urls = members.get(name);
    if (urls === undefined) members.set(name, [url]);
    else urls.push(url);
  }
  return [...members].map(([name, peerUrls]) => ({ name, peerUrls }));
}
