/**
 * Raft for one member of one group: messages, ticks and the ends of writes go in, a Ready comes
 * out (paper; thesis §3, §4, §6, §9, §10). It has no clock, disk, network or chance of its own,
 * and every call runs to its end: the simulator and the real node drive the same object.
 *
 *   loop:  step() tick() propose() readIndex() …  then, once a turn:
 *          if (hasReady()) perform(ready())       see ready.ts for the duties
 *
 * Failures: AetherError for what the caller can do something about, having changed nothing;
 * AssertionError for our own mistakes only. No message from a peer makes it throw.
 */
import { AetherError } from "../base/errors.ts";
import type { RaftOptions } from "./config.ts";
import { type Core, drop, snapshotMetaAt } from "./core.ts";
import { campaign, countSelfVote } from "./election.ts";
import { peerUnreachable, snapshotEnded } from "./leading.ts";
import type { ConfigurationChange } from "./membership/change.ts";
import type { DropReason, Message } from "./message.ts";
import type { Progress } from "./progress/progress.ts";
import { propose } from "./proposal.ts";
import { readNow, requestRead } from "./read-index.ts";
import type { Ready, WriteAck } from "./ready.ts";
import { applyChanges, forgetConfigurations, proposeChange } from "./reconfigure.ts";
import { maybeCommit } from "./replication.ts";
import { createCore, type Restored } from "./restore.ts";
import { HANDLERS } from "./table.ts";
import { freeApplied, hasReady, takeReady } from "./take-ready.ts";
import { admitTerm } from "./terms.ts";
import { tick } from "./tick.ts";
import { requestTransfer } from "./transfer.ts";
import type { Configuration, Entry, LogReader, MemberId, Role, SnapshotMeta } from "./types.ts";
import { faultInMessage } from "./validate.ts";
import { verify } from "./verify.ts";

export class Raft {
  readonly #core: Core;

  /**
   * Takes up what was durable. Throws AetherError("corrupt") when it contradicts itself: the
   * member must then be removed and added again under a new id.
   */
  constructor(options: RaftOptions, restored: Restored, log: LogReader) {
    this.#core = createCore(options, restored, log);
  }

  get id(): MemberId {
    return this.#core.id;
  }
  get role(): Role {
    return this.#core.role;
  }
  get term(): number {
    return this.#core.term;
  }
  /** NOBODY while unknown. */
  get leader(): MemberId {
    return this.#core.leader;
  }
  get committed(): number {
    return this.#core.log.committed;
  }
  get applied(): number {
    return this.#core.log.applied;
  }
  /** The first entry that is not compacted. */
  get firstIndex(): number {
    return this.#core.log.firstIndex;
  }
  get lastIndex(): number {
    return this.#core.log.lastIndex;
  }
  /** Entries up to here are durable in our own log. */
  get durable(): number {
    return this.#core.log.stable;
  }
  /** The term of an entry from firstIndex - 1 to lastIndex; -1 for any other. */
  termAt(index: number): number {
    return this.#core.log.term(index);
  }
  /** The configuration that counts here; a new object whenever it changes. */
  get configuration(): Configuration {
    return this.#core.tracker.configuration;
  }
  /** The member that is to lead next, NOBODY if no transfer is under way here. */
  get transferee(): MemberId {
    return this.#core.transferee;
  }
  /** As leader, what is known of each other member; borrowed, live. Empty otherwise. */
  get peers(): readonly Readonly<Progress>[] {
    return this.#core.role === "leader" ? this.#core.tracker.peers : [];
  }
  /** How many messages were dropped, by reason; live. */
  get dropped(): Readonly<Record<DropReason, number>> {
    return this.#core.dropped;
  }

  /** Takes a message from a peer; it may say anything, and its entries belong to us from now on. */
  step(message: Message): void {
    const core = this.#core;
    const fault = faultInMessage(message, core.id, core.config.isSoundEntry);
    if (fault !== undefined) {
      drop(core, fault);
      return;
    }
    if (!admitTerm(core, message)) return;
    // The row is typed by message type; the lookup by a type known only now loses that.
    const handler = HANDLERS[core.role][message.type] as
      | ((core: Core, message: Message) => void)
      | null;
    if (handler === null) drop(core, "unexpected");
    else handler(core, message);
  }

  /**
   * A tick has passed: once per timer, never several times to catch up. `nowMs` is the monotonic
   * clock, needed for leases only.
   */
  tick(nowMs = 0): void {
    tick(this.#core, nowMs);
  }

  /**
   * Appends a proposal; it is decided when an entry with its index is handed out, and it was ours
   * if the term is the same too. The payload belongs to us from now on. Throws AetherError:
   * "not_leader", "no_leader", "leader_changed" while leadership is handed over,
   * "too_many_requests" beyond uncommittedBytesMax.
   */
  propose(payload: Uint8Array): Entry {
    return propose(this.#core, payload);
  }

  /**
   * Proposes a change of the membership; it counts when it is applied. Throws as propose() does,
   * and "invalid_argument" if it does not fit, "unhealthy" while an earlier one is pending.
   */
  proposeConfiguration(change: ConfigurationChange): Entry {
    return proposeChange(this.#core, change);
  }

  /**
   * Asks for an index from which a read named `id` is linearizable; the grant or refusal comes
   * with a Ready. Throws AetherError "no_leader" or "too_many_requests".
   */
  readIndex(id: number): void {
    requestRead(this.#core, id);
  }

  /**
   * The read index, when no message is needed to know it (we alone are the quorum, or hold a lease
   * at `nowMs`); -1 otherwise: ask readIndex(). `nowMs` is the monotonic clock of this moment.
   */
  readNow(nowMs: number): number {
    return readNow(this.#core, nowMs);
  }

  /** Wishes that `to` should lead. Throws AetherError "invalid_argument" or "no_leader". */
  transferLeadership(to: MemberId): void {
    requestTransfer(this.#core, to);
  }

  /** Stands for election at once; false if that is not possible now. */
  campaign(): boolean {
    return campaign(this.#core, "asked");
  }

  /** The write named `ack`, and every earlier one, is durable. */
  written(ack: WriteAck): void {
    const core = this.#core;
    core.log.endWrite(ack);
    countSelfVote(core, ack.sequence);
    if (core.role !== "leader" || core.tracker.self === undefined) return;
    if (core.tracker.self.acknowledge(core.log.stable)) maybeCommit(core);
  }

  /** The state machine has applied everything up to `index`; changes of membership count now. */
  appliedTo(index: number): void {
    const core = this.#core;
    if (index <= core.log.applied) return;
    core.log.appliedTo(index);
    freeApplied(core, index);
    applyChanges(core, index);
  }

  /** What a snapshot at `index` must say; firstIndex - 1 ≤ index ≤ applied, else "compacted". */
  snapshotAt(index: number): SnapshotMeta {
    const { log } = this.#core;
    if (index < log.startIndex || index > log.applied) {
      throw new AetherError("compacted", `no snapshot at ${index}`);
    }
    return snapshotMetaAt(this.#core, index);
  }

  /**
   * Forgets the entries up to meta.index, a snapshotAt(); call it before the store drops them.
   * Leave a tail for slow followers: whoever needs an older entry needs a snapshot.
   */
  compactTo(meta: SnapshotMeta): void {
    this.#core.log.compactTo(meta.index);
    forgetConfigurations(this.#core, meta.index);
  }

  /** The transport could not deliver to a peer. */
  reportUnreachable(id: MemberId): void {
    const peer = this.#core.tracker.get(id);
    if (peer !== undefined) peerUnreachable(peer);
  }

  /** A snapshot's way to a peer ended; to be called once for each snapshot message. */
  reportSnapshot(id: MemberId, arrived: boolean): void {
    const peer = this.#core.tracker.get(id);
    if (peer !== undefined) snapshotEnded(peer, arrived);
  }

  /** Whether there is anything to do. */
  hasReady(): boolean {
    return hasReady(this.#core);
  }

  /** Takes what there is to do, and commits the caller to do it. One per turn of the event loop. */
  ready(): Ready {
    return takeReady(this.#core);
  }

  /** Checks every invariant; throws AssertionError. For tests: it costs time. */
  verify(): void {
    verify(this.#core);
  }
}
