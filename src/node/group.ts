/**
 * One Raft group on one node: drives the pure rooms (raft, state, watch) between the log store,
 * the state store, the peers and the callers. Everything runs on one thread, in turns:
 *
 *   calls of a turn ─▶ PROPOSE: one batch to Raft ─▶ log store (one fsync for many) ─▶ durable
 *                        READ: one read index ─▶ granted ─┐                              │
 *   answers ◀─ outcomes ◀─ state machine ◀─ committed ◀───┴──────────── Raft ◀───────────┘
 *                             └─▶ watch hub, state store
 *
 * Invariants
 *   G1  no answer leaves before the log store said that what it promises is durable (Raft hands
 *       out committed entries only then)
 *   G2  rows go to the watch hub before the store may remove what they superseded
 *   G3  the log is compacted only below what is durable in the state store
 */
import { assert } from "../base/assert.ts";
import { asBuffer } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log, Random } from "../base/ports.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import type { Message } from "../raft/message.ts";
import { Raft } from "../raft/raft.ts";
import type { Ready } from "../raft/ready.ts";
import type { founding } from "../raft/restore.ts";
import {
  type Entry,
  type Leadership,
  type LogReader,
  type MemberId,
  NOBODY,
  type SnapshotMeta,
} from "../raft/types.ts";
import { batchOrigin, batchSequence, type CommandKind } from "../state/command.ts";
import { StateMachine } from "../state/machine.ts";
import type { Outcome } from "../state/results.ts";
import { WatchHub } from "../watch/hub.ts";
import { type CompactedDone, Compactor } from "./compactor.ts";
import { Expiry } from "./expiry.ts";
import { LogWriter } from "./log-writer.ts";
import type { LogStore, StateStore } from "./ports.ts";
import { answer, type Done, Proposals, type SentBatch } from "./proposals.ts";
import { type ReadDone, Reads } from "./reads.ts";
import { StateWriter } from "./state-writer.ts";

export interface GroupOptions {
  readonly memberId: MemberId;
  readonly tickMs: number;
  readonly electionTicks: number;
  /** Log entries after which the log is compacted. */
  readonly snapshotTriggerEntries: number;
  /** What the log of a new member begins with; ignored when the log has begun. */
  readonly founding: Founding;
}

/** The start that all founders of a group share (raft/restore.ts). */
export type Founding = ReturnType<typeof founding>;

export interface GroupPorts {
  readonly log: LogStore;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly turn: Turn;
  readonly logger: Log;
  /** Hands messages to the transport; never blocks, may lose them. */
  readonly send: (messages: readonly Message[]) => void;
  /** For metrics: how long a write of the log took until it was durable. */
  readonly observeLogWriteMs?: (ms: number) => void;
}

/** etcd's request timeout: 5 s, and two election timeouts for a leader to be found. */
const REQUEST_TIMEOUT_MS = 5000;

/** Keys forgotten a tick after compactions, so that a large one does not hold the loop. */
const SWEEP_PER_TICK = 2000;

export class Group {
  readonly machine: StateMachine;
  readonly hub: WatchHub;
  readonly expiry: Expiry;
  readonly #options: GroupOptions;
  readonly #ports: GroupPorts;
  readonly #raft: Raft;
  readonly #proposals: Proposals<Outcome>;
  readonly #reads = new Reads();
  readonly #logWriter: LogWriter;
  readonly #stateWriter: StateWriter;
  readonly #compactor: Compactor;
  #driving = false;
  #stopped = false;
  #hubAwake = false;
  /** The batch whose entry is being applied, if its callers wait here. */
  #applying: SentBatch<Outcome> | undefined = undefined;
  /** A compaction is among the entries that are being applied. */
  #compacted = false;
  #leaderChanges = 0;
  #refusedProposals = 0;
  #knownLeader = NOBODY;
  #whenReady: (() => void)[] = [];

  readonly #runPropose = (): void => this.#propose();
  readonly #runRead = (): void => this.#issueReads();
  readonly #runHub = (): void => this.#stepHub();
  readonly #onOutcome = (position: number, outcome: Outcome): void => {
    this.#noteOutcome(outcome);
    if (this.#applying !== undefined) answer(this.#applying, position, outcome);
  };

  /** Takes up what the stores held. Throws AetherError("corrupt") if that contradicts itself. */
  constructor(options: GroupOptions, ports: GroupPorts) {
    const { log, store, random, logger } = ports;
    this.#options = options;
    this.#ports = ports;
    this.machine = new StateMachine(store);
    this.machine.restore(store.stored);
    this.hub = new WatchHub(this.machine, { random });
    const { hardState, snapshot } = begun(log, options.founding, this.machine.appliedIndex);
    takeUpStart(this.machine, snapshot, options.founding);
    this.#raft = new Raft(
      { id: options.memberId, random, electionTicks: options.electionTicks },
      { hardState, snapshot, appliedIndex: this.machine.appliedIndex },
      readerOf(log, snapshot),
    );
    this.#proposals = new Proposals<Outcome>(options.memberId, random.below(2 ** 31) * 2 ** 16);
    const { clock, send, observeLogWriteMs: observeMs } = ports;
    this.#logWriter = new LogWriter({ log, send, clock, observeMs }, (ack) => {
      this.#raft.written(ack);
      this.#drive();
    });
    this.expiry = new Expiry(this.machine, {
      graceMs: options.electionTicks * options.tickMs,
      propose: (kind, bytes, done) => this.propose(kind, bytes, 0, bytes.length, done),
    });
    this.#stateWriter = new StateWriter(store, this.machine);
    this.#compactor = new Compactor(
      { raft: this.#raft, machine: this.machine, log, store, logger },
      options.snapshotTriggerEntries,
    );
  }

  get term(): number {
    return this.#raft.term;
  }
  get leader(): MemberId {
    return this.#raft.leader;
  }
  get isLeader(): boolean {
    return this.#raft.role === "leader";
  }
  get committedIndex(): number {
    return this.#raft.committed;
  }
  get appliedIndex(): number {
    return this.#raft.applied;
  }
  /** Calls that wait for consensus. */
  get pendingProposals(): number {
    return this.#proposals.sentCount + this.#proposals.filling;
  }
  /** Calls that were refused, or whose outcome is unknown: too late, or the node is stopping. */
  get failedProposals(): number {
    return this.#refusedProposals + this.#proposals.failedCount;
  }
  /** Reads can be served linearizably: this member leads and has applied an entry of its term. */
  get isReady(): boolean {
    return this.#raft.readNow(this.#ports.clock.monotonicMs()) >= 0;
  }

  /** How often another leader was seen than before. */
  get leaderChanges(): number {
    return this.#leaderChanges;
  }

  /** Resolves when this member leads and has applied an entry of its term. */
  whenReady(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    return new Promise((resolve) => this.#whenReady.push(resolve));
  }

  /** Begins: the only voter stands for election at once, others wait for their leader. */
  start(): void {
    const { voters } = this.#raft.configuration;
    if (voters.length === 1 && voters[0] === this.#options.memberId) this.#raft.campaign();
    this.#drive();
  }

  /**
   * Proposes a command whose body is bytes[start, end), copied here; `done` gets its outcome, or
   * why there is none: no_leader, too_many_requests, timeout (then it may still happen), stopped.
   */
  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: Done<Outcome>,
  ): void {
    const refusal = this.#refusal();
    if (refusal !== undefined) {
      this.#refusedProposals++;
      done(refusal);
      return;
    }
    if (this.#proposals.filling === 0) this.#ports.turn.after(TurnPhase.PROPOSE, this.#runPropose);
    if (this.#proposals.add(kind, bytes, start, end, done)) this.#propose();
  }

  /** Runs `done` when a linearizable read may look at the machine, or with why it may not. */
  read(done: ReadDone): void {
    if (this.#stopped) {
      done(new AetherError("stopped"));
      return;
    }
    const index = this.#raft.readNow(this.#ports.clock.monotonicMs());
    if (index >= 0 && index <= this.machine.appliedIndex) done(undefined);
    else if (this.#reads.ask(done)) this.#ports.turn.after(TurnPhase.READ, this.#runRead);
  }

  /** Calls `done` when rows superseded at `revision` are physically gone, or with "stopped". */
  whenCompacted(revision: number, done: CompactedDone): void {
    this.#compactor.whenRemoved(revision, done);
  }

  /** The watch hub has catching up to do: its steps run between turns until it has none. */
  wakeHub(): void {
    if (this.#hubAwake || this.#stopped) return;
    this.#hubAwake = true;
    this.#ports.turn.after(TurnPhase.READ, this.#runHub);
  }

  /** A message from a peer. */
  step(message: Message): void {
    if (this.#stopped) return;
    this.#raft.step(message);
    this.#drive();
  }

  /** One tick of the group's clock. */
  tick(): void {
    if (this.#stopped) return;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#raft.tick(nowMs);
    if (this.isLeader) this.expiry.tick(nowMs, this.#raft.term);
    const timeoutMs = REQUEST_TIMEOUT_MS + 2 * this.#options.electionTicks * this.#options.tickMs;
    this.#proposals.expire(nowMs - timeoutMs, () => new AetherError("timeout"));
    this.#reads.expire(nowMs - timeoutMs, () => new AetherError("timeout"));
    this.hub.tick(nowMs);
    this.machine.sweep(SWEEP_PER_TICK);
    this.#stateWriter.flush();
    this.#compactor.tick();
    this.#drive();
  }

  /** Answers everything that waits with "stopped" and does nothing from then on; once. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.expiry.follow();
    this.#compactor.stop();
    this.#proposals.failAll(() => new AetherError("stopped"));
    this.#reads.failAll(() => new AetherError("stopped"));
    this.#stateWriter.flush();
    this.#logWriter.flush();
  }

  #refusal(): AetherError | undefined {
    if (this.#stopped) return new AetherError("stopped");
    if (this.#stateWriter.full) {
      return new AetherError("too_many_requests", "the state store is behind");
    }
    return undefined;
  }

  /** PROPOSE: the commands of the turn become one entry. */
  #propose(): void {
    const batch = this.#proposals.take(this.#ports.clock.monotonicMs());
    if (batch === undefined) return; // it was full and left before the end of the turn
    try {
      const entry = this.#raft.propose(batch.payload);
      batch.index = entry.index;
      batch.term = entry.term;
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#proposals.refuse(batch, error);
    }
    this.#drive();
  }

  /** READ: one read index for all reads of the turn. */
  #issueReads(): void {
    const id = this.#reads.issue(this.#ports.clock.monotonicMs());
    if (id === undefined) return;
    try {
      this.#raft.readIndex(id);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#reads.refused(id, error);
    }
    this.#drive();
  }

  #stepHub(): void {
    this.#hubAwake = false;
    if (this.#stopped) return;
    this.hub.step();
    if (this.hub.hasWork) this.wakeHub();
  }

  /** Performs what Raft asks for, until it asks for nothing. Never runs inside itself. */
  #drive(): void {
    if (this.#driving) return;
    this.#driving = true;
    try {
      while (!this.#stopped && this.#raft.hasReady()) this.#perform(this.#raft.ready());
    } finally {
      this.#driving = false;
    }
  }

  /** The duties of a Ready, in their order. */
  #perform(ready: Ready): void {
    this.#logWriter.persist(ready.persist, ready.sendAfterSync);
    if (ready.sendNow.length > 0) this.#ports.send(ready.sendNow);
    if (ready.leadership !== undefined) this.#onLeadership(ready.leadership);
    if (ready.committed.length > 0) this.#apply(ready.committed);
    const applied = this.machine.appliedIndex;
    for (const { id, index } of ready.reads) this.#reads.granted(id, index, applied);
    for (const { id, error } of ready.refusedReads) this.#reads.refused(id, error);
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      if (entry.kind === "normal") this.#applyBatch(entry);
      else this.machine.advance(entry.index, entry.term);
    }
    const { appliedIndex } = this.machine;
    this.#raft.appliedTo(appliedIndex);
    const rows = this.machine.takeRows();
    this.hub.publish(rows);
    if (this.hub.hasWork) this.wakeHub();
    this.#stateWriter.applied(rows);
    if (this.#compacted) {
      this.#compacted = false;
      this.#stateWriter.flush();
      this.#compactor.requested(); // not before the hub has seen what this superseded (G2)
    }
    this.#reads.applied(appliedIndex);
    if (this.#whenReady.length > 0 && this.isReady) {
      for (const resolve of this.#whenReady.splice(0)) resolve();
    }
  }

  #applyBatch(entry: Entry): void {
    const payload = asBuffer(entry.payload);
    this.#applying = this.#proposals.applied(batchOrigin(payload), batchSequence(payload));
    this.machine.apply(entry.index, entry.term, payload, this.#onOutcome);
    this.#applying = undefined;
  }

  /** What an applied command means for the clocks and the stores of this node. */
  #noteOutcome(outcome: Outcome): void {
    if (outcome instanceof AetherError) return;
    switch (outcome.kind) {
      case "leaseGrant":
        this.expiry.granted(outcome.id, outcome.ttlSeconds, this.#ports.clock.monotonicMs());
        break;
      case "leaseRevoke":
        this.expiry.ended(outcome.id);
        break;
      case "leaseExpire":
        for (const id of outcome.ids) this.expiry.ended(id);
        break;
      case "compact":
        this.#compacted = true;
        break;
      default: // nothing but keys changed
    }
  }

  #onLeadership({ role, term, leader }: Leadership): void {
    this.#ports.logger.info("leadership", { role, term, leader: leader.toString(16) });
    if (leader !== NOBODY && leader !== this.#knownLeader) {
      this.#knownLeader = leader;
      this.#leaderChanges++;
    }
    if (role === "leader") this.expiry.lead(this.#ports.clock.monotonicMs());
    else this.expiry.follow();
    assert(role !== "leader" || leader === this.#options.memberId, "a leader knows itself");
  }
}

/** What the log holds; a new log is given the founders' common start first. */
function begun(log: LogStore, start: Founding, appliedIndex: number): Founding {
  const { hardState, snapshot } = log.stored;
  if (hardState !== undefined && snapshot !== undefined) return { hardState, snapshot };
  if (appliedIndex > 0) {
    throw new AetherError("corrupt", "the Raft log is gone and the state is not; restore both");
  }
  assert(log.stored.lastIndex === 0, "a log with entries has a start and a hard state");
  log.write({ hardState: start.hardState, entries: [], snapshot: start.snapshot }, () => {});
  return start;
}

/**
 * The state of a founder is empty where its log begins. Any other log begins where the state was
 * once durable: a state behind that has lost entries that nobody can give back to it.
 */
function takeUpStart(machine: StateMachine, snapshot: SnapshotMeta, start: Founding): void {
  if (machine.appliedIndex >= snapshot.index) return;
  if (machine.appliedIndex > 0 || snapshot.index > start.snapshot.index) {
    const ends = `the state ends at ${machine.appliedIndex}`;
    const gap = `${ends}, its Raft log begins after ${snapshot.index}`;
    throw new AetherError("corrupt", `${gap}; restore both`);
  }
  machine.advance(snapshot.index, snapshot.term);
}

/** `start` is where a log begins that was empty when it was opened. */
function readerOf(log: LogStore, start: SnapshotMeta): LogReader {
  const { firstIndex, lastIndex } = log.stored;
  return {
    firstIndex: Math.max(firstIndex, start.index + 1),
    lastIndex: Math.max(lastIndex, start.index),
    term: (index) => log.term(index),
    entries: (from, to, bytesMax) => log.read(from, to, bytesMax),
  };
}
