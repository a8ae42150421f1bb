/**
 * TLS handshakes that have begun at one listener and not ended. Who begins one and says no more
 * costs us memory until its deadline (GHSA-6vch-q96h-7gc3: etcd let any number hang for ever), so
 * there is a limit for each place that they come from, beyond which it is refused, and one for all,
 * beyond which the oldest ends: an honest one takes some round trips, a stalled one grows old.
 */
import { assert } from "../base/assert.ts";

/** Of one listener. A thousand that wait for more after their ClientHello held 15 MB (VmHWM). */
export const HANDSHAKES_MAX = 1000;
/** From one place. Behind a proxy's address are many clients, which all come again at once. */
export const HANDSHAKES_PER_SOURCE_MAX = 256;

/** What belongs to one place has these first parts of an IPv6 address in common: a /64. */
const IPV6_PARTS = 4;

export class Handshakes<Connection> {
  readonly #sources = new Map<Connection, string>(); // the oldest first
  readonly #counts = new Map<string, number>();

  get count(): number {
    return this.#sources.size;
  }

  /** The one to be ended before another can begin, if there are too many. */
  get surplus(): Connection | undefined {
    if (this.#sources.size < HANDSHAKES_MAX) return undefined;
    return this.#sources.keys().next().value;
  }

  /** False: too many come from this address; undefined is a unix socket, whose users we trust. */
  begin(connection: Connection, address: string | undefined): boolean {
    assert(this.#sources.size < HANDSHAKES_MAX, "the surplus has ended before");
    const source = address === undefined ? "" : sourceOf(address);
    const count = this.#counts.get(source) ?? 0;
    if (count >= HANDSHAKES_PER_SOURCE_MAX && source !== "") return false;
    this.#sources.set(connection, source);
    this.#counts.set(source, count + 1);
    return true;
  }

  /** It is done, or will never be; true if it had begun. */
  end(connection: Connection): boolean {
    const source = this.#sources.get(connection);
    if (source === undefined) return false;
    this.#sources.delete(connection);
    const count = (this.#counts.get(source) ?? 0) - 1;
    assert(count >= 0, "as many handshakes end as began");
    if (count === 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
    return true;
  }
}

/** What an attacker cannot easily have many of: an IPv4 address, or the network of an IPv6 one. */
export function sourceOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const parts = head === "" ? [] : head.split(":");
  if (tail === undefined) return parts.slice(0, IPV6_PARTS).join(":");
  const after = tail === "" ? [] : tail.split(":");
  const zeros = Array.from({ length: 8 - parts.length - after.length }, () => "0");
  return [...parts, ...zeros, ...after].slice(0, IPV6_PARTS).join(":");
}
