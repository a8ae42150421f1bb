/**
 * Compaction by itself, by etcd's rules (server/etcdserver/api/v3compactor):
 *
 *   periodic   keeps the history of a period. The revision is noted every tenth of it (of an hour,
 *              if that is less); once a whole period was seen, the oldest note is compacted, and
 *              from then on as often as a period, or an hour, passes.
 *   revision   keeps so many revisions; looks every five minutes.
 *
 * Every member takes notes, so that a new leader need not begin anew; only the leader compacts.
 * Driven by ticks; a note is late by a tick at most.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { CompactionRequest } from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";

const HOUR_MS = 3_600_000;

/** Notes in a period of up to an hour. */
const NOTES = 10;

/** A tenth of a period fits into it ten times, whatever its last binary digit. */
const ROUNDING = 1e-9;

/** etcd's revInterval. */
const REVISION_LOOK_MS = 300_000;

/** What is kept: the history of so many milliseconds, or so many revisions. */
export type Retention = { readonly periodMs: number } | { readonly revisions: number };

export interface AutoCompactionGroup {
  readonly machine: { readonly revision: number };
  readonly isLeader: boolean;
  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: (outcome: Outcome) => void,
  ): void;
}

export interface AutoCompactionParts {
  readonly group: AutoCompactionGroup;
  readonly clock: Clock;
  readonly log: Log;
}

export class AutoCompaction {
  readonly #parts: AutoCompactionParts;
  readonly #retention: Retention;
  readonly #body = new ByteWriter(16);
  /** Between two looks. */
  readonly #stepMs: number;
  #dueMs: number;
  /** Of the period: one note a step, the oldest one first. */
  readonly #notes: number[] = [];
  #lastMs: number;
  #lastRevision = 0;
  /** A whole period was seen once. */
  #begun = false;
  #compacting = false;

  constructor(retention: Retention, parts: AutoCompactionParts) {
    this.#retention = retention;
    this.#parts = parts;
    const nowMs = parts.clock.monotonicMs();
    const isPeriodic = "periodMs" in retention;
    this.#stepMs = isPeriodic ? Math.min(retention.periodMs, HOUR_MS) / NOTES : REVISION_LOOK_MS;
    this.#dueMs = nowMs + this.#stepMs;
    this.#lastMs = nowMs;
    if (isPeriodic) this.#note(retention.periodMs);
  }

  /** To be called with every tick of the group, at every member. */
  tick(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    if (nowMs < this.#dueMs) return;
    this.#dueMs = nowMs + this.#stepMs;
    if ("periodMs" in this.#retention) this.#lookAtPeriod(this.#retention.periodMs, nowMs);
    else this.#lookAtRevisions(this.#retention.revisions, nowMs);
  }

  #lookAtPeriod(periodMs: number, nowMs: number): void {
    const revision = this.#notes[0] as number;
    const waitMs = this.#begun ? Math.min(periodMs, HOUR_MS) : periodMs;
    if (nowMs - this.#lastMs >= waitMs && this.#mayCompact(revision)) {
      this.#begun = true;
      this.#compact(revision, nowMs);
    }
    this.#note(periodMs);
  }

  #lookAtRevisions(revisions: number, nowMs: number): void {
    const revision = this.#parts.group.machine.revision - revisions;
    if (revision > 0 && this.#mayCompact(revision)) this.#compact(revision, nowMs);
  }

  #mayCompact(revision: number): boolean {
    return this.#parts.group.isLeader && !this.#compacting && revision !== this.#lastRevision;
  }

  #note(periodMs: number): void {
    this.#notes.push(this.#parts.group.machine.revision);
    const kept = Math.floor(periodMs / this.#stepMs + ROUNDING) + 1;
    if (this.#notes.length > kept) this.#notes.shift();
  }

  /** One that fails is tried again with the next look; one that was not needed counts as done. */
  #compact(revision: number, nowMs: number): void {
    const { group, log } = this.#parts;
    this.#compacting = true;
    CompactionRequest.encode({ revision, physical: false }, this.#body);
    const body = this.#body.view();
    group.propose(CommandKind.compact, body, 0, body.length, (outcome) => {
      this.#compacting = false;
      if (outcome instanceof AetherError && outcome.code !== "compacted") {
        log.warn("automatic compaction failed", { revision, reason: outcome.message });
        return;
      }
      this.#lastRevision = revision;
      this.#lastMs = nowMs;
      log.info("compacted automatically", { revision });
    });
    this.#body.reset();
  }
}
