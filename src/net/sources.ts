/**
 * How many connections each place has open at one listener. Without a limit for each, one machine
 * takes them all, and whoever should come in finds no room.
 *
 *   bound   nobody has more, whatever is free: where few are expected
 *   share   whoever has more keeps it until all room is taken and somebody with less comes: then
 *           one of those beyond the share ends. A proxy that is the only client has the whole room,
 *           and still keeps nobody out
 */
import { assert } from "../base/assert.ts";
import { sourceOf } from "../base/source.ts";

interface Source<Connection> {
  count: number;
  /** Opened while it had its share: at least as many as it has too many. The oldest first. */
  readonly surplus: Set<Connection>;
}

export class Sources<Connection extends object> {
  readonly #countMax: number;
  readonly #sourceOf = new WeakMap<Connection, string>();
  readonly #sources = new Map<string, Source<Connection>>();
  /** Those with more than their share. */
  readonly #over = new Set<Source<Connection>>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Whether one more is within `countMax`; undefined is a unix socket, whose users we trust. */
  hasRoom(address: string | undefined): boolean {
    if (address === undefined) return true;
    return (this.#sources.get(sourceOf(address))?.count ?? 0) < this.#countMax;
  }

  /** What may be ended for one from this address; undefined: it has its share, or nobody more. */
  surplusFor(address: string | undefined): Connection | undefined {
    if (!this.hasRoom(address)) return undefined;
    const [greedy] = this.#over;
    return greedy?.surplus.values().next().value;
  }

  add(connection: Connection, address: string | undefined): void {
    if (address === undefined) return;
    const name = sourceOf(address);
    const source = this.#sources.get(name) ?? { count: 0, surplus: new Set() };
    if (source.count === 0) this.#sources.set(name, source);
    this.#sourceOf.set(connection, name);
    source.count++;
    if (source.count <= this.#countMax) return;
    source.surplus.add(connection);
    this.#over.add(source);
  }

  /** It is closed; one that was never added is passed over. */
  delete(connection: Connection): void {
    const name = this.#sourceOf.get(connection);
    if (name === undefined) return;
    this.#sourceOf.delete(connection);
    const source = this.#sources.get(name);
    assert(source !== undefined && source.count > 0, "as many connections close as were opened");
    source.count--;
    source.surplus.delete(connection);
    assert(source.surplus.size >= source.count - this.#countMax, "what is too much is known");
    if (source.count <= this.#countMax) this.#over.delete(source);
    if (source.count === 0) this.#sources.delete(name);
  }
}
