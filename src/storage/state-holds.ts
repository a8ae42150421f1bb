/**
 * Who holds the state still. The Worker knows one hold, from the first who asks to the last who
 * releases; all in between are given the same state here.
 *
 * A hold can be broken: its WAL is full, another state is installed, the store closes. The Worker
 * leaves the file alone until it hears that the hold has ended, and this thread tells it so after
 * it has marked every HeldFile broken. So whoever reads the file, and looks at `broken` after each
 * read and before it uses what it read, has used nothing but the held state.
 */
import { assert } from "../base/assert.ts";
import type { HeldState } from "../node/ports.ts";
import type { Applied } from "./state-schema.ts";

/** A state that stays as it is in a file, until release() or until it is broken. */
export class HeldFile implements HeldState {
  readonly index: number;
  readonly term: number;
  /** The main file of state.db, without its WAL: by itself the whole state. */
  readonly path: string;
  /** Called once if the hold is broken; release() is not needed then, and does nothing. */
  onBroken: (() => void) | undefined = undefined;
  readonly #onRelease: (held: HeldFile) => void;
  #broken = false;

  constructor(path: string, applied: Applied, onRelease: (held: HeldFile) => void) {
    this.path = path;
    this.index = applied.index;
    this.term = applied.term;
    this.#onRelease = onRelease;
  }

  /** What was read and not used before this was true must not be used. */
  get broken(): boolean {
    return this.#broken;
  }

  release(): void {
    this.#onRelease(this);
  }

  /** Of Holds alone: it tells onBroken when all are marked. */
  markBroken(): void {
    this.#broken = true;
  }
}

export class Holds {
  readonly #path: string;
  readonly #post: (kind: "hold" | "release") => void;
  #asking: ((held: HeldState) => void)[] = [];
  /** What the Worker holds; "asked" until it does. */
  #state: "none" | "asked" | Applied = "none";
  #given = new Set<HeldFile>();

  constructor(path: string, post: (kind: "hold" | "release") => void) {
    this.#path = path;
    this.#post = post;
  }

  /** `onHeld` never runs inside the call. */
  ask(onHeld: (held: HeldState) => void): void {
    this.#asking.push(onHeld);
    if (this.#state === "none") {
      this.#state = "asked";
      this.#post("hold");
    } else if (this.#state !== "asked") {
      queueMicrotask(() => this.#give());
    }
  }

  /** The Worker holds the state that is `applied`. */
  held(applied: Applied): void {
    assert(this.#state === "asked", "nothing is held that nobody asked for");
    this.#state = applied;
    this.#give();
  }

  /** Ends every hold that was given; who asks from now on is given a newer state. */
  breakAll(): void {
    const broken = this.#given;
    if (broken.size === 0) return;
    this.#given = new Set();
    for (const held of broken) held.markBroken();
    this.#state = "none";
    this.#post("release");
    for (const held of broken) held.onBroken?.();
  }

  /** Ends every hold, and forgets those who wait for one: the state itself goes. */
  forget(): void {
    this.#asking = [];
    this.breakAll();
    this.#state = "none";
  }

  #give(): void {
    const asking = this.#asking.splice(0);
    if (asking.length === 0) return;
    const state = this.#state;
    if (typeof state === "string") {
      for (const onHeld of asking) this.ask(onHeld); // it was let go of in the meantime
      return;
    }
    const given = asking.map(() => new HeldFile(this.#path, state, (held) => this.#release(held)));
    for (const held of given) this.#given.add(held);
    for (const [i, onHeld] of asking.entries()) onHeld(given[i] as HeldFile);
  }

  #release(held: HeldFile): void {
    if (!this.#given.delete(held) || this.#given.size > 0 || this.#asking.length > 0) return;
    this.#state = "none";
    this.#post("release");
  }
}
