/**
 * Applies what Raft handed out: commands to the state machine, and what follows from them to the
 * watch hub, the stores, the lease clocks and whoever waits for outcomes.
 */

import { asBuffer } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { decodeChange } from "../raft/membership/codec.ts";
import type { Raft } from "../raft/raft.ts";
import { configurationAfter } from "../raft/reconfigure.ts";
import type { Configuration, Entry } from "../raft/types.ts";
import type { AuthChange, Outcome } from "../state/results.ts";
import type { WatchHub } from "../watch/hub.ts";
import type { Compactor } from "./compactor.ts";
import type { CurrentMachine } from "./current-machine.ts";
import type { Expiry } from "./expiry.ts";
import { CommandTally, type GroupMeter } from "./meter.ts";
import { answer, type SentBatch } from "./proposals.ts";
import type { Requests } from "./requests.ts";
import type { StateWriter } from "./state-writer.ts";

export interface ApplierParts {
  readonly raft: Raft;
  readonly current: CurrentMachine;
  readonly hub: WatchHub;
  readonly requests: Requests;
  readonly expiry: Expiry;
  readonly stateWriter: StateWriter;
  readonly compactor: Compactor;
  readonly clock: Clock;
  readonly onAuth: (change: AuthChange) => void;
  readonly meter: Pick<GroupMeter, "applied" | "leaseGranted" | "leasesExpired">;
}

export class Applier {
  readonly #parts: ApplierParts;
  /** The batch whose entry is being applied, if its callers wait here. */
  #applying: SentBatch<Outcome> | undefined = undefined;
  /** Of the entry that is being applied. */
  #entryTerm = 0;
  /** Among the entries that are being applied is a compaction. */
  #compacted = false;
  /** Among them is a change of the members or of an alarm. */
  #membershipChanged = false;
  readonly #tally = new CommandTally();
  readonly #onOutcome = (position: number, outcome: Outcome, kind: number): void => {
    this.#tally.add(kind, !(outcome instanceof AetherError));
    this.#note(outcome);
    if (this.#applying !== undefined) answer(this.#applying, position, outcome);
  };

  constructor(parts: ApplierParts) {
    this.#parts = parts;
  }

  /** Applies entries, in order; true if members or alarms are others now. */
  apply(entries: readonly Entry[]): boolean {
    const { raft, current, hub, requests, stateWriter, compactor } = this.#parts;
    this.#membershipChanged = false;
    this.#applyAll(entries);
    const { machine } = current;
    raft.appliedTo(machine.appliedIndex);
    const rows = machine.takeRows();
    hub.publish(rows);
    stateWriter.applied(rows);
    if (this.#compacted) {
      this.#compacted = false;
      stateWriter.flush();
      compactor.requested(); // not before the hub has seen what this superseded (G2)
    }
    requests.ran(machine.appliedIndex);
    return this.#membershipChanged;
  }

  #applyAll(entries: readonly Entry[]): void {
    const { raft, current, requests } = this.#parts;
    const { machine } = current;
    let { configuration } = raft;
    for (const entry of entries) {
      const isNewTerm = entry.term > machine.appliedTerm;
      if (entry.kind === "normal") this.#applyBatch(entry, entry.payload);
      else if (entry.kind === "config") configuration = this.#applyChange(entry, configuration);
      else machine.advance(entry.index, entry.term);
      if (isNewTerm) requests.termPassed(entry.term);
    }
  }

  #applyBatch(entry: Entry, payload: Uint8Array): void {
    const { current, requests, clock, meter } = this.#parts;
    const begunMs = clock.monotonicMs();
    const bytes = asBuffer(payload);
    const batch = requests.applied(bytes);
    this.#applying = batch;
    this.#entryTerm = entry.term;
    current.machine.apply(entry.index, entry.term, bytes, this.#onOutcome);
    this.#applying = undefined;
    const nowMs = clock.monotonicMs();
    const waitedMs = batch === undefined ? undefined : nowMs - batch.sentMs;
    meter.applied(this.#tally, nowMs - begunMs, waitedMs);
    this.#tally.clear();
  }

  /**
   * The command inside a change counts if the change does: Raft and the records agree. Nobody
   * waits here for one that does not: between its proposal and its entry there is no other change.
   */
  #applyChange(entry: Entry, before: Configuration): Configuration {
    const after = configurationAfter(before, entry);
    if (after !== before) this.#membershipChanged = true;
    const context = after === before ? undefined : decodeChange(entry.payload)?.context;
    if (context !== undefined && context.length > 0) this.#applyBatch(entry, context);
    else this.#parts.current.machine.advance(entry.index, entry.term);
    return after;
  }

  /** What an applied command means for the clocks and the stores of this node. */
  #note(outcome: Outcome): void {
    if (outcome instanceof AetherError) return;
    const { raft, expiry, clock, meter } = this.#parts;
    switch (outcome.kind) {
      case "leaseGrant":
        expiry.granted(outcome.id, outcome.ttlSeconds, clock.monotonicMs());
        meter.leaseGranted(outcome.ttlSeconds);
        break;
      case "leaseRevoke":
        expiry.ended(outcome.id);
        break;
      case "leaseExpire":
        for (const id of outcome.ids) expiry.ended(id);
        meter.leasesExpired(outcome.ids.length);
        break;
      case "leaseCheckpoint":
        expiry.checkpointed(outcome.ids, this.#entryTerm === raft.term, clock.monotonicMs());
        break;
      case "compact":
        this.#compacted = true;
        break;
      case "member":
      case "alarm":
        this.#membershipChanged = true;
        break;
      case "auth":
        this.#parts.onAuth(outcome.change);
        break;
      default: // nothing but keys changed
    }
  }
}
