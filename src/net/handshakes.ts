/**
 * TLS handshakes at one listener that have not ended. Who begins one and says no more costs us
 * memory until its deadline (GHSA-6vch-q96h-7gc3: etcd let any number hang for ever). So there is a
 * limit for each place that they come from, beyond which they are refused, and one for all that
 * have begun, beyond which the oldest ends: an honest one takes some round trips, a stalled one
 * grows old. Those that wait for their turn (pace.ts) have cost nothing yet, and are not ended.
 */
import { assert } from "../base/assert.ts";
import { sourceOf } from "../base/source.ts";

/** Of one listener. A thousand that wait for more after their ClientHello held 15 MB (VmHWM). */
export const HANDSHAKES_MAX = 1000;
/** From one place. Behind a proxy's address are many clients, which all come again at once. */
export const HANDSHAKES_PER_SOURCE_MAX = 256;

export class Handshakes<Connection> {
  readonly #sources = new Map<Connection, string>();
  readonly #counts = new Map<string, number>();
  readonly #begun = new Set<Connection>(); // the oldest first

  /** Those that wait and those that have begun. */
  get count(): number {
    return this.#sources.size;
  }

  /** The one to be ended before another can begin, if too many have. */
  get surplus(): Connection | undefined {
    if (this.#begun.size < HANDSHAKES_MAX) return undefined;
    return this.#begun.values().next().value;
  }

  /** False: too many come from this address; undefined is a unix socket, whose users we trust. */
  add(connection: Connection, address: string | undefined): boolean {
    const source = address === undefined ? "" : sourceOf(address);
    const count = this.#counts.get(source) ?? 0;
    if (count >= HANDSHAKES_PER_SOURCE_MAX && source !== "") return false;
    this.#sources.set(connection, source);
    this.#counts.set(source, count + 1);
    return true;
  }

  /** It waits no more. */
  begin(connection: Connection): void {
    assert(this.#sources.has(connection), "a handshake is counted before it begins");
    assert(this.#begun.size < HANDSHAKES_MAX, "the surplus has ended before");
    this.#begun.add(connection);
  }

  /** It is done, or will never be; true if it was counted. */
  end(connection: Connection): boolean {
    const source = this.#sources.get(connection);
    if (source === undefined) return false;
    this.#sources.delete(connection);
    this.#begun.delete(connection);
    const count = (this.#counts.get(source) ?? 0) - 1;
    assert(count >= 0, "as many handshakes end as were added");
    if (count === 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
    return true;
  }
}
