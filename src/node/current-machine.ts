/**
 * The state machine of a group, which an installed snapshot replaces by another. Whoever looks at
 * the state keeps this and asks for `machine` each time.
 */
import { AetherError } from "../base/errors.ts";
import { StateMachine } from "../state/machine.ts";
import type { History, Row } from "../state/ports.ts";
import type { StateStore } from "./ports.ts";

export class CurrentMachine {
  readonly #store: StateStore;
  #history: ReplaceableHistory;
  #machine: StateMachine;

  /** Takes up what the store holds. */
  constructor(store: StateStore) {
    this.#store = store;
    this.#history = new ReplaceableHistory(store);
    this.#machine = restored(store, this.#history);
  }

  get machine(): StateMachine {
    return this.#machine;
  }

  /** The store holds another state now: reads that still look at the old one fail from here on. */
  replace(): void {
    this.#history.replaced = true;
    this.#history = new ReplaceableHistory(this.#store);
    this.#machine = restored(this.#store, this.#history);
  }
}

function restored(store: StateStore, history: History): StateMachine {
  const machine = new StateMachine(history);
  machine.restore(store.stored);
  return machine;
}

/** The store's history until it is that of another state, whose rows have the same numbers. */
class ReplaceableHistory implements History {
  readonly #store: StateStore;
  replaced = false;

  constructor(store: StateStore) {
    this.#store = store;
  }

  read(seq: number): Row | undefined {
    return this.#current().read(seq);
  }

  scan(from: number, to: number, limit: number): Row[] {
    return this.#current().scan(from, to, limit);
  }

  seek(revision: number): number | undefined {
    return this.#current().seek(revision);
  }

  #current(): StateStore {
    if (this.replaced) throw new AetherError("leader_changed", "a snapshot replaced the state");
    return this.#store;
  }
}
