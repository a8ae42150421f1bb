/** The addresses under which members reach a member, as an operator may give them. */
import { AetherError } from "../base/errors.ts";

/** etcd's rule (client/pkg/types: NewURLs), and besides a host and a port that can be called. */
const HTTP = /^https?:\/\/(\[[0-9a-fA-F:.%]+\]|[^[\]:/?#@\s]+):([1-9]\d{0,4})$/;
const UNIX = /^unixs?:\/\/[^?#\s]+$/;

/** The URLs, sorted as etcd sorts them; throws AetherError bad_member_urls. */
export function checkedPeerUrls(urls: readonly string[]): string[] {
  if (urls.length === 0) throw new AetherError("bad_member_urls", "a member needs a peer URL");
  const sorted = urls.map((url) => url.trim()).sort();
  for (const [i, url] of sorted.entries()) {
    if (!isPeerUrl(url)) {
      throw new AetherError("bad_member_urls", `${url}: not of the form http://host:port`);
    }
    if (url === sorted[i + 1])
      throw new AetherError("bad_member_urls", `${url} stands there twice`);
  }
  return sorted;
}

/** Whether both name the same addresses, in whatever order. */
export function sameUrls(a: readonly string[], b: readonly string[]): boolean {
  return [...a].sort().join(" ") === [...b].sort().join(" ");
}

function isPeerUrl(url: string): boolean {
  const http = HTTP.exec(url);
  return http === null ? UNIX.test(url) : Number(http[2]) <= 65_535;
}
