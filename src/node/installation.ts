/**
 * A state that another member sent, on its way into the place of ours. The adapter has laid the
 * copy beside the state and checked it; it lays no other one there before it has its answer.
 *
 *   receive() ─▶ Raft takes it ─▶ accepted() ─▶ log begins after it ─▶ begin() ─▶ in place
 *                    └─ or has no use for it ─▶ answer          (durable: it will be finished,
 *                                                                after a crash by the next start)
 *
 * Until it is in place reads see the old state; what of that is still written goes with it.
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import type { MessageOf } from "../raft/message.ts";
import type { Raft } from "../raft/raft.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { Compactor } from "./compactor.ts";
import type { CurrentMachine } from "./current-machine.ts";
import type { StateStore } from "./ports.ts";
import type { Requests } from "./requests.ts";
import type { StateWriter } from "./state-writer.ts";

export interface InstallationParts {
  readonly raft: Raft;
  readonly current: CurrentMachine;
  readonly store: StateStore;
  readonly hub: WatchHub;
  readonly requests: Requests;
  readonly stateWriter: StateWriter;
  readonly compactor: Compactor;
  readonly logger: Log;
  /** The machine is another one now. */
  readonly onReplaced: () => void;
}

type InstallDone = (error?: AetherError) => void;

export class Installation {
  readonly #parts: InstallationParts;
  /** Whoever brought the copy that is being installed. */
  #done: InstallDone | undefined = undefined;
  #stopped = false;

  constructor(parts: InstallationParts) {
    this.#parts = parts;
  }

  /** Offers Raft the copy; `done` once it is in place, or not needed, or why it is not taken. */
  receive(message: MessageOf<"snapshot">, done: InstallDone): void {
    const { raft } = this.#parts;
    if (this.#stopped) done(new AetherError("stopped"));
    else if (this.#done !== undefined) {
      done(new AetherError("too_many_requests", "another snapshot is being installed"));
    } else {
      raft.step(message);
      if (this.#isTaken) this.#done = done;
      else if (raft.committed >= message.meta.index) done();
      else done(new AetherError("leader_changed", "whoever sent this snapshot does not lead here"));
    }
  }

  /** Raft has taken it: what it holds of our batches will not be seen. */
  accepted({ term }: SnapshotMeta): void {
    this.#parts.requests.termSkipped(term);
  }

  /** The log begins after it, durably: it takes the place of the state. */
  begin({ index, term }: SnapshotMeta, onInstalled: () => void): void {
    if (this.#stopped) return; // the next start goes on with it
    const { current, store, hub, requests, stateWriter, compactor, logger } = this.#parts;
    store.install(index, () => {
      if (this.#stopped) return;
      current.replace();
      assert(current.machine.appliedIndex === index, "the state is the one that was announced");
      hub.restored(current.machine);
      stateWriter.replaced();
      compactor.replaced();
      onInstalled();
      logger.info("installed a snapshot", { index, term });
      requests.ran(index);
      this.#parts.onReplaced();
      this.#answer();
    });
  }

  /** The stores are about to close. */
  stop(): void {
    this.#stopped = true;
    this.#answer(new AetherError("stopped"));
  }

  /** Raft's log begins after a state that is not in place yet. */
  get #isTaken(): boolean {
    const { raft, current } = this.#parts;
    return raft.applied > current.machine.appliedIndex;
  }

  #answer(error?: AetherError): void {
    const done = this.#done;
    this.#done = undefined;
    done?.(error);
  }
}
