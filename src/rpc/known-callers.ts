/**
 * Who a header block was found to speak for. Most clients send the same block with every call, and
 * the wire hands out the same object for it (wire/http2/block-cache.ts), so that its token is
 * judged once and then known by a look. What is known holds for one auth revision, and until the
 * next tick: a token that ends by time is noticed then, a tenth of a second late at most, and one
 * that lives by being used has been used.
 */
import type { AuthStore } from "../state/auth/auth-store.ts";
import type { Caller } from "../state/auth/caller.ts";
import type { Metadata } from "../wire/grpc/metadata.ts";

export class KnownCallers {
  #callers = new WeakMap<Metadata, Caller>();
  #auth: AuthStore | undefined = undefined;
  #revision = 0;

  /** Undefined: nobody has asked yet, or what was known is void. */
  find(metadata: Metadata, auth: AuthStore): Caller | undefined {
    if (auth !== this.#auth || auth.revision !== this.#revision) return undefined;
    return this.#callers.get(metadata);
  }

  remember(metadata: Metadata, auth: AuthStore, caller: Caller): void {
    if (auth !== this.#auth || auth.revision !== this.#revision) {
      this.forget();
      this.#auth = auth;
      this.#revision = auth.revision;
    }
    this.#callers.set(metadata, caller);
  }

  forget(): void {
    this.#callers = new WeakMap();
  }
}
