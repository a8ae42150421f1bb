/** Which hosts may be named and which origins may ask: etcd's --host-whitelist and --cors. */
import type { HttpHeaders } from "../../wire/http1/http.ts";

export interface Access {
  /** Origins whose pages may read what we answer; "*", or none: all. */
  readonly cors: readonly string[];
  /** Names that a plaintext request may have in Host; "*", or none: all. */
  readonly hostWhitelist: readonly string[];
}

const CORS_FIELDS: readonly string[] = [
  ...["access-control-allow-headers", "accept, content-type, authorization"],
  ...["access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE"],
];

/** What tells a browser that its page may read the answer; empty for a foreign origin. */
export function corsFields({ cors }: Access, headers: HttpHeaders): readonly string[] {
  const origin = allowsAll(cors) ? "*" : (headers.get("origin") ?? "");
  if (origin !== "*" && !cors.includes(origin)) return [];
  return [...CORS_FIELDS, "access-control-allow-origin", origin];
}

/** A page of somebody else's name that resolves to us sends that name (CVE-2018-5702). */
export function isHostAllowed({ hostWhitelist }: Access, headers: HttpHeaders): boolean {
  return allowsAll(hostWhitelist) || hostWhitelist.includes(hostOf(headers));
}

/** What people are told who sent another name; with 421. */
export function refusedHost(headers: HttpHeaders): string {
  const host = JSON.stringify(hostOf(headers));
  return (
    `the Host ${host} is not one that this server answers to over plaintext HTTP\n\n` +
    "Use https, or allow the name:\n" +
    `  --host-whitelist ${host}\n\n` +
    "This keeps pages of other sites from reading answers by DNS rebinding (CVE-2018-5702).\n"
  );
}

/** The host without its port. */
function hostOf(headers: HttpHeaders): string {
  const host = headers.get("host") ?? "";
  const match = /^(?:\[([^\]]*)\]|([^:]*)):[0-9]*$/.exec(host);
  return match === null ? host : (match[1] ?? match[2] ?? "");
}

function allowsAll(list: readonly string[]): boolean {
  return list.length === 0 || list.includes("*");
}
