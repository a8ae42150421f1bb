/**
 * Which hosts may be named and which origins may ask. In etcd's words by etcd's --host-whitelist
 * and --cors: everybody, unless they say otherwise. In Aether's own words a page of another site
 * gets nothing, neither by a name of its own that resolves to us (DNS rebinding, CVE-2018-5702)
 * nor by asking us from its own place (CSRF): `http.allowed_hosts` and `http.cors` let in more.
 */
import { isIP } from "node:net";
import type { HttpHeaders } from "../../wire/http1/http.ts";

export interface Access {
  /** Origins whose pages may read what we answer; "*": all. */
  readonly cors: readonly string[];
  /** Names that a plaintext request may have in Host; "*": all. */
  readonly hostWhitelist: readonly string[];
  /**
   * Names that are this node's own, in lower case: they may stand in Host, so may an address (a
   * browser that sends one was told it by its user), and other origins are refused. Undefined:
   * etcd's rules, by the two lists alone.
   */
  readonly ownHosts?: ReadonlySet<string> | undefined;
}

/** What is answered to who may not ask. */
export interface Refusal {
  readonly status: 403 | 421;
  readonly text: string;
}

const CORS_FIELDS: readonly string[] = [
  ...["access-control-allow-headers", "accept, content-type, authorization"],
  ...["access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE"],
];

/** What tells a browser that its page may read the answer; empty for a foreign origin. */
export function corsFields({ cors }: Access, headers: HttpHeaders): readonly string[] {
  const origin = cors.includes("*") ? "*" : (headers.get("origin") ?? "");
  if (origin !== "*" && !cors.includes(origin)) return [];
  return [...CORS_FIELDS, "access-control-allow-origin", origin];
}

/** Why this request is not served, if so. Over TLS the certificate has vouched for the name. */
export function refusalOf(
  access: Access,
  headers: HttpHeaders,
  secure: boolean,
): Refusal | undefined {
  if (!secure && !isHostAllowed(access, headers)) return wrongHost(access, headers);
  return isForeign(access, headers) ? wrongOrigin(headers) : undefined;
}

function isHostAllowed({ hostWhitelist, ownHosts }: Access, headers: HttpHeaders): boolean {
  if (hostWhitelist.includes("*")) return true;
  const host = hostOf(headers);
  if (ownHosts === undefined) return hostWhitelist.includes(host);
  const name = host.toLowerCase();
  // No browser leaves it out (HTTP/1.0 of health checks does), or reaches an address by a name.
  if (name === "" || isIP(name) !== 0 || ownHosts.has(name)) return true;
  return hostWhitelist.some((each) => each.toLowerCase() === name);
}

/** A browser says so of each request that could change something, and of WebSockets. */
function isForeign({ cors, ownHosts }: Access, headers: HttpHeaders): boolean {
  const origin = headers.get("origin");
  if (ownHosts === undefined || origin === undefined) return false;
  if (cors.includes("*") || cors.includes(origin)) return false;
  const [host = ""] = headers.get("host")?.split(", ", 1) ?? [];
  return origin !== `http://${host}` && origin !== `https://${host}`;
}

function wrongHost({ ownHosts }: Access, headers: HttpHeaders): Refusal {
  const host = JSON.stringify(hostOf(headers));
  const setting =
    ownHosts === undefined ? `--host-whitelist ${host}` : `[http] allowed_hosts = [${host}]`;
  const text =
    `the Host ${host} is not one that this server answers to over plaintext HTTP\n\n` +
    `Use https, or allow the name:\n  ${setting}\n\n` +
    "This keeps pages of other sites from reading answers by DNS rebinding (CVE-2018-5702).\n";
  return { status: 421, text };
}

function wrongOrigin(headers: HttpHeaders): Refusal {
  const origin = JSON.stringify(headers.get("origin"));
  const text = `pages of ${origin} may not ask here; to allow it:\n  [http] cors = [${origin}]\n`;
  return { status: 403, text };
}

/** The host without its port. Of HTTP/2's :authority and a Host beside it the first one counts. */
function hostOf(headers: HttpHeaders): string {
  const [host = ""] = headers.get("host")?.split(", ", 1) ?? [];
  const match = /^(?:\[([^\]]*)\]|([^:]*)):[0-9]*$/.exec(host);
  const name = match === null ? host : (match[1] ?? match[2] ?? "");
  return /^\[.*\]$/.test(name) ? name.slice(1, -1) : name;
}
