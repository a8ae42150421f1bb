/**
 * How many connections each place has open at one listener. Without a limit for each, one machine
 * takes them all, and whoever should come in finds no room.
 */
import { assert } from "../base/assert.ts";
import { sourceOf } from "../base/source.ts";

export class Sources<Connection extends object> {
  readonly #countMax: number;
  readonly #sources = new WeakMap<Connection, string>();
  readonly #counts = new Map<string, number>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  /** Whether there is room for one more; undefined is a unix socket, whose users we trust. */
  hasRoom(address: string | undefined): boolean {
    return address === undefined || (this.#counts.get(sourceOf(address)) ?? 0) < this.#countMax;
  }

  add(connection: Connection, address: string | undefined): void {
    if (address === undefined) return;
    const source = sourceOf(address);
    this.#sources.set(connection, source);
    this.#counts.set(source, (this.#counts.get(source) ?? 0) + 1);
  }

  /** It is closed; one that was never added is passed over. */
  delete(connection: Connection): void {
    const source = this.#sources.get(connection);
    if (source === undefined) return;
    this.#sources.delete(connection);
    const count = (this.#counts.get(source) ?? 0) - 1;
    assert(count >= 0, "as many connections close as were opened");
    if (count === 0) this.#counts.delete(source);
    else this.#counts.set(source, count);
  }
}
