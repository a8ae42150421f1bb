/**
 * Copies of the state on their way to members that are too far behind for the log. A copy is the
 * store's state at one moment, held still until it has arrived or failed; Raft is told once how
 * each of its snapshot messages ended.
 */
import type { Log } from "../base/ports.ts";
import { isMember } from "../raft/membership/configuration.ts";
import type { MessageOf } from "../raft/message.ts";
import type { Raft } from "../raft/raft.ts";
import type { HeldState, StateStore, Transport } from "./ports.ts";

export interface CopiesParts {
  readonly raft: Raft;
  readonly store: StateStore;
  readonly transport: Transport;
  readonly logger: Log;
}

export class Copies {
  readonly #parts: CopiesParts;
  readonly #held = new Set<HeldState>();
  #stopped = false;

  constructor(parts: CopiesParts) {
    this.#parts = parts;
  }

  /** Copies under way. */
  get count(): number {
    return this.#held.size;
  }

  /** Performs a snapshot message of Raft's. What was applied must have been handed to the store. */
  send(message: MessageOf<"snapshot">): void {
    this.#parts.store.hold((held) => {
      this.#held.add(held);
      this.#sendHeld(message, held);
    });
  }

  /** The stores are about to close. */
  stop(): void {
    this.#stopped = true;
    for (const held of this.#held) held.release();
    this.#held.clear();
  }

  #sendHeld(message: MessageOf<"snapshot">, held: HeldState): void {
    const { raft, transport, logger } = this.#parts;
    const { to } = message;
    if (this.#stopped || !this.#leadsIn(message.term)) {
      this.#ended(message, held, false);
      return;
    }
    const meta = raft.snapshotAt(held.index);
    if (!isMember(meta.configuration, to)) {
      // Held for an earlier copy since before `to` was added: it would be refused there.
      this.#ended(message, held, false);
      return;
    }
    const startedAt = { to: to.toString(16), index: held.index };
    logger.info("sending a snapshot", startedAt);
    transport.sendSnapshot({ ...message, meta }, held, (arrived) => {
      logger.info(arrived ? "snapshot arrived" : "snapshot did not arrive", startedAt);
      this.#ended(message, held, arrived);
    });
  }

  /** Raft hears of it only in the term that asked for it: another may be on its way since. */
  #ended({ to, term }: MessageOf<"snapshot">, held: HeldState, arrived: boolean): void {
    if (this.#held.delete(held)) held.release();
    if (!this.#stopped && this.#leadsIn(term)) this.#parts.raft.reportSnapshot(to, arrived);
  }

  #leadsIn(term: number): boolean {
    const { raft } = this.#parts;
    return raft.role === "leader" && raft.term === term;
  }
}
