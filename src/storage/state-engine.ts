/**
 * The state Worker's work: one StateDatabase after another. An install ends the one and begins the
 * next over the copy; messages before it in the same delivery belong to the old state and are
 * forgotten with it.
 */
import { assert } from "../base/assert.ts";
import { dropCopy, readCopy, takePlace } from "./state-copy.ts";
import {
  type FoundState,
  StateDatabase,
  type StateDatabaseOptions,
  type StateEvent,
} from "./state-database.ts";
import { MessageKind, StateMessageReader } from "./state-format.ts";
import type { Applied } from "./state-schema.ts";
import type { WriteEngine } from "./write-loop.ts";

export interface StateEngineOptions extends StateDatabaseOptions {
  /** The log begins after this index, 0 if it has not begun. */
  readonly logStart: number;
}

export type EngineEvent = StateEvent | { readonly installed: FoundState };

export class StateEngine implements WriteEngine {
  readonly found: FoundState;
  readonly #options: StateEngineOptions;
  readonly #tell: (event: EngineEvent) => void;
  #database: StateDatabase;

  /** Throws AetherError "corrupt" or StorageError when the state must not be used. */
  constructor(options: StateEngineOptions, tell: (event: EngineEvent) => void) {
    this.#options = options;
    this.#tell = tell;
    const unreadable = this.#settleCopy();
    this.#database = StateDatabase.open(options, tell);
    this.found = this.#database.found;
    if (unreadable === undefined) return;
    if (this.found.applied.index < options.logStart) {
      this.#database.close();
      throw unreadable;
    }
    dropCopy(options.path); // the state does not need it
  }

  commit(messages: readonly Uint8Array[]): void {
    let from = 0;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i] as Uint8Array;
      if (message[0] !== MessageKind.install) continue;
      this.#install(new StateMessageReader(message).number);
      from = i + 1;
    }
    if (from < messages.length) this.#database.commit(from > 0 ? messages.slice(from) : messages);
  }

  work(): boolean | number {
    return this.#database.work();
  }

  quiet(): boolean {
    return this.#database.quiet();
  }

  close(): void {
    this.#database.close();
  }

  /** Finishes or drops what a crash left beside the state; returns why it cannot be read. */
  #settleCopy(): unknown {
    const { path, group, logStart } = this.#options;
    let copy: Applied | undefined;
    try {
      copy = readCopy(path, group);
    } catch (error) {
      return error;
    }
    if (copy?.index === logStart) for (const step of takePlace(path)) step();
    else dropCopy(path);
    return undefined;
  }

  #install(index: number): void {
    const { path, group } = this.#options;
    const copy = readCopy(path, group);
    assert(copy?.index === index, "what is installed lies beside the state");
    this.#database.close();
    for (const step of takePlace(path)) step();
    this.#database = StateDatabase.open(this.#options, this.#tell);
    assert(this.#database.found.applied.index === index, "what was installed is the state");
    this.#tell({ installed: this.#database.found });
  }
}
