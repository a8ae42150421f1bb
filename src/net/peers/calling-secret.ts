/**
 * Which secret a member proves that it knows where it calls. There is one, but while it is changed:
 * then a member that has the new one already meets others that know the one before alone, and goes
 * back to that at their addresses, until one of them does not take it any more.
 */
import type { Secret } from "../../base/secret.ts";

export class CallingSecret {
  readonly #secret: Secret;
  readonly #previous: Secret | undefined;
  /** Where the newer one was not believed last; addresses of members, of which there are few. */
  readonly #behind = new Set<string>();

  constructor(secret: Secret, previous: Secret | undefined) {
    this.#secret = secret;
    this.#previous = previous;
  }

  /** For the next connection to `url`. */
  at(url: string): Secret {
    return this.#previous !== undefined && this.#behind.has(url) ? this.#previous : this.#secret;
  }

  /**
   * Whoever is at `url` did not take `used`, or could not prove that it knows it. Connections of
   * one time tell the same, so what is not in use any more changes nothing.
   */
  refused(url: string, used: Secret): void {
    if (used !== this.at(url)) return;
    if (used === this.#secret) this.#behind.add(url);
    else this.#behind.delete(url);
  }
}
