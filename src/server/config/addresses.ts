/**
 * Addresses and URLs as a configuration names them: `host:port`, and etcd's lists of URLs. URLs are
 * kept as they were written, since the ids of members are computed from them.
 */
import { ConfigError, mismatch } from "./config-error.ts";

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

/** The `host:port` of a URL that parseUrls() let pass. */
export function addressOf(url: string): string {
  return url.slice("http://".length);
}

/** True for the hosts that stand for every interface: good to listen on, not to be called. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || /^[0:]+$/.test(host);
}

/** True for hosts that mean this machine, whoever reads them. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host.startsWith("127.") || host === "::1";
}

/** etcd's list of URLs, `http://host:port,http://host:port`, as it was written. */
export function parseUrls(text: string, where: string): readonly string[] {
  const urls = text.split(",").map((part) => part.trim());
  for (const url of urls) checkUrl(url, where);
  if (new Set(urls).size < urls.length) throw new ConfigError(`${where}: a URL stands there twice`);
  return urls;
}

function checkUrl(url: string, where: string): void {
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/.exec(url) ?? [];
  if (scheme === "https") {
    throw new ConfigError(`${where}: ${url}: TLS is not built into this version; give http://`);
  }
  if (scheme === "unix" || scheme === "unixs") {
    throw new ConfigError(`${where}: ${url}: this version takes no unix sockets; give http://`);
  }
  if (scheme !== "http") throw mismatch(where, "URLs http://host:port", url);
  if (/^:|\/|\?|#|@/.test(rest)) throw mismatch(where, "URLs http://host:port", url);
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
