/**
 * TLS handshakes at one listener that have not ended. Who begins one and says no more costs us
 * memory until its deadline (GHSA-6vch-q96h-7gc3: etcd let any number hang for ever). So there is a
 * limit for each place that they come from, beyond which they wait in a line of their own, and one
 * for all that have begun, beyond which the oldest ends: an honest one takes some round trips, a
 * stalled one grows old. Those that wait have cost nothing yet, and are not ended: when a server
 * comes back, five hundred clients behind one address come at once.
 *
 *   add ─▶ counted (waits for its turn, pace.ts) ─▶ begun ─▶ end: the first in line is counted
 *      └─▶ in line of its place
 */
import { assert } from "../base/assert.ts";
import { sourceOf } from "../base/source.ts";

/** Of one listener. A thousand that wait for more after their ClientHello held 15 MB (VmHWM). */
export const HANDSHAKES_MAX = 1000;
/** From one place: what a stalled crowd can have of those of all. An honest one is through in no
 * time, and the next one's turn comes. */
export const HANDSHAKES_PER_SOURCE_MAX = 256;

export class Handshakes<Connection> {
  readonly #sources = new Map<Connection, string>();
  readonly #counts = new Map<string, number>();
  readonly #begun = new Set<Connection>(); // the oldest first
  /** By place: those beyond its limit, the oldest first. */
  readonly #lines = new Map<string, Set<Connection>>();
  readonly #onRoom: (connection: Connection) => void;

  /** `onRoom` is told of each that was in line and is counted now. */
  constructor(onRoom: (connection: Connection) => void) {
    this.#onRoom = onRoom;
  }

  /** Those that wait, in line too, and those that have begun. */
  get count(): number {
    return this.#sources.size;
  }

  /** The one to be ended before another can begin, if too many have. */
  get surplus(): Connection | undefined {
    if (this.#begun.size < HANDSHAKES_MAX) return undefined;
    return this.#begun.values().next().value;
  }

  /** False: it waits in line, for too many come from this address. Without one it is of a unix
   * socket, whose users we trust. */
  add(connection: Connection, address: string | undefined): boolean {
    const source = address === undefined ? "" : sourceOf(address);
    const count = this.#counts.get(source) ?? 0;
    this.#sources.set(connection, source);
    if (count >= HANDSHAKES_PER_SOURCE_MAX && source !== "") {
      const line = this.#lines.get(source) ?? new Set();
      this.#lines.set(source, line.add(connection));
      return false;
    }
    this.#counts.set(source, count + 1);
    return true;
  }

  /** Whether its turn has not come. */
  isInLine(connection: Connection): boolean {
    const source = this.#sources.get(connection);
    return source !== undefined && this.#lines.get(source)?.has(connection) === true;
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
    const line = this.#lines.get(source);
    if (line?.delete(connection) !== true) this.#makeRoom(source, line);
    if (line?.size === 0) this.#lines.delete(source);
    return true;
  }

  /** One of the place is counted no more, and the first in its line takes its room. */
  #makeRoom(source: string, line: Set<Connection> | undefined): void {
    const next = line?.values().next().value;
    if (line !== undefined && next !== undefined) {
      line.delete(next);
      this.#onRoom(next);
      return;
    }
    const count = (this.#counts.get(source) ?? 0) - 1;
    assert(count >= 0, "as many handshakes end as were added");
    if (count === 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
  }
}
