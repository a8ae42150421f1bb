/**
 * One Raft group on one node: drives the pure rooms (raft, state, watch) between the log store,
 * the state store, the other members and the callers. Everything runs on one thread, in turns:
 *
 *   calls of a turn ─▶ PROPOSE: one batch to the leader ─▶ log store, one fsync ─▶ durable
 *                        READ: one read index ─▶ granted ─┐                         │
 *   answers ◀─ outcomes ◀─ state machine ◀─ committed ◀───┴────── Raft ◀────────────┘
 *                             └─▶ watch hub, state store
 *
 * Invariants
 *   G1  no answer leaves before the log store said that what it promises is durable (Raft hands
 *       out committed entries only then)
 *   G2  rows go to the watch hub before the store may remove what they superseded
 *   G3  the log is compacted only below what is durable in the state store
 *   G4  a batch is proposed again only when it certainly is in no log (proposals.ts)
 */
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import { TurnPhase } from "../base/turn.ts";
import type { ChangeStep } from "../raft/membership/change.ts";
import { isMember } from "../raft/membership/configuration.ts";
import type { Message, MessageOf } from "../raft/message.ts";
import { Raft } from "../raft/raft.ts";
import type { Ready } from "../raft/ready.ts";
import {
  type Configuration,
  type Entry,
  type Leadership,
  type MemberId,
  NOBODY,
} from "../raft/types.ts";
import type { Caller } from "../state/auth/caller.ts";
import type { CommandKind } from "../state/command.ts";
import type { StateMachine } from "../state/machine.ts";
import type { Outcome } from "../state/results.ts";
import { WatchHub } from "../watch/hub.ts";
import { AppliedWaiters } from "./applied-waiters.ts";
import { Applier } from "./applier.ts";
import { Compactor } from "./compactor.ts";
import { Copies } from "./copies.ts";
import { CurrentMachine } from "./current-machine.ts";
import { DropWatch } from "./drop-watch.ts";
import { Expiry } from "./expiry.ts";
import {
  type GroupOptions,
  type GroupPorts,
  type GroupTimes,
  READYS_PER_TURN_MAX,
  SWEEP_PER_TICK,
  timesOf,
} from "./group-options.ts";
import { Installation } from "./installation.ts";
import { LeadershipKeeper, type PeerProgress } from "./leadership.ts";
import { LeaseCalls } from "./lease-calls.ts";
import { LogWriter, type WriterPorts } from "./log-writer.ts";
import { type GroupMeter, NO_METER } from "./meter.ts";
import type { LeaseLife } from "./ports.ts";
import type { Done } from "./proposals.ts";
import type { ReadDone } from "./reads.ts";
import { type CallLoad, Requests } from "./requests.ts";
import { isSoundEntry } from "./sound-entry.ts";
import { takeUp } from "./start.ts";
import { StateWriter } from "./state-writer.ts";

export class Group {
  readonly hub: WatchHub;
  readonly expiry: Expiry;
  readonly leaseCalls: LeaseCalls;
  /** Calls when rows or space are given back. */
  readonly compactor: Compactor;
  readonly #options: GroupOptions;
  readonly #meter: GroupMeter;
  readonly #ports: GroupPorts;
  readonly #times: GroupTimes;
  readonly #raft: Raft;
  readonly #current: CurrentMachine;
  readonly #leadership: LeadershipKeeper;
  readonly #drops: DropWatch;
  readonly #waiters = new AppliedWaiters();
  readonly #requests: Requests;
  readonly #logWriter: LogWriter;
  readonly #stateWriter: StateWriter;
  readonly #copies: Copies;
  readonly #installation: Installation;
  readonly #applier: Applier;
  #driving = false;
  #driveArmed = false;
  #applying = false;
  #stopped = false;
  #hubAwake = false;
  #tickedMs = Number.POSITIVE_INFINITY;
  /** Heartbeats of this leader that were due for twice their interval: it had no time. */
  lateTicks = 0;
  #wasMember: boolean;
  readonly #runDrive = (): void => {
    this.#driveArmed = false;
    this.#drive();
  };
  readonly #runHub = (): void => this.#stepHub();

  /** Takes up what the stores held. Throws AetherError("corrupt") if that contradicts itself. */
  constructor(options: GroupOptions, ports: GroupPorts) {
    const { memberId, electionTicks, keptEntries, snapshotTriggerEntries } = options;
    const { log, store, random, logger, turn, clock, transport } = ports;
    this.#options = options;
    this.#ports = ports;
    this.#meter = ports.meter ?? NO_METER;
    this.#times = timesOf(options);
    const current = new CurrentMachine(store);
    this.#current = current;
    this.hub = new WatchHub(current.machine, { ...options.watch, random });
    const { restored, reader } = takeUp(log, current.machine, options.founding);
    const ruled = { ...options.raft, id: memberId, random, electionTicks, isSoundEntry };
    const raft = new Raft(ruled, restored, reader);
    this.#raft = raft;
    this.#wasMember = raft.configuration.voters.length > 0; // one that joins knows of none yet
    this.#leadership = new LeadershipKeeper(raft, random, electionTicks);
    this.#drops = new DropWatch(raft.dropped, logger);
    this.#logWriter = this.#createLogWriter();
    this.#stateWriter = new StateWriter({ store, current, clock, meter: this.#meter });
    this.#requests = this.#createRequests();
    this.expiry = new Expiry(current, {
      ...{ graceMs: this.#times.electionMs, checkpointMs: options.leaseCheckpointMs },
      propose: (kind, bytes, done) => this.propose(kind, bytes, 0, bytes.length, done),
    });
    this.leaseCalls = new LeaseCalls({
      ...{ group: this, expiry: this.expiry, transport, clock, turn },
      leaderWaitMs: this.#times.leaderWaitMs,
      absenceMs: this.#times.electionMs / 2,
    });
    this.compactor = new Compactor({
      ...{ raft, current, log, store, logger, keptEntries, clock, meter: this.#meter },
      triggerEntries: snapshotTriggerEntries,
    });
    this.#copies = new Copies({ raft, store, transport, logger });
    this.#installation = new Installation({
      ...{ raft, current, store, logger, hub: this.hub, requests: this.#requests },
      ...{ stateWriter: this.#stateWriter, compactor: this.compactor },
      onReplaced: () => this.#tellApplied(true),
    });
    this.#applier = new Applier({
      ...{ raft, current, hub: this.hub, requests: this.#requests, expiry: this.expiry, clock },
      ...{ stateWriter: this.#stateWriter, compactor: this.compactor, meter: this.#meter },
      onAuth: (change) => ports.onAuth?.(change),
    });
  }

  /** The state as applied so far; another object after a snapshot was installed. */
  get machine(): StateMachine {
    return this.#current.machine;
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
  get configuration(): Configuration {
    return this.#raft.configuration;
  }
  get committedIndex(): number {
    return this.#raft.committed;
  }
  get appliedIndex(): number {
    return this.machine.appliedIndex;
  }
  /** Calls that wait for consensus. */
  get pendingProposals(): number {
    return this.#requests.pending;
  }
  /** Calls that were refused, or whose outcome is unknown: too late, or the node is stopping. */
  get failedProposals(): number {
    return this.#requests.failed;
  }
  get load(): CallLoad {
    return this.#requests;
  }
  /** A leader is known, and an entry of its term is applied here. */
  get isReady(): boolean {
    return this.leader !== NOBODY && this.machine.appliedTerm === this.term;
  }
  /** Bytes of what was applied and is not in the state's file yet. */
  get unstoredBytes(): number {
    return this.#stateWriter.backlogBytes;
  }
  /** How often another leader was seen than before. */
  get leaderChanges(): number {
    return this.#leadership.changes;
  }
  /** Copies of the state that are being sent. */
  get sendingSnapshots(): number {
    return this.#copies.count;
  }

  /** What the leader knows of the others; empty at a follower. */
  progress(): PeerProgress[] {
    return this.#leadership.progress();
  }

  /** Resolves when a leader is known and an entry of its term is applied here. */
  whenReady(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.whenReady(resolve));
  }

  /**
   * Calls `done` once `index` is applied here, by Raft too; never, if the group is stopped before.
   */
  whenApplied(index: number, done: () => void): void {
    if (!this.#applying && this.appliedIndex >= index) done();
    else this.#waiters.whenApplied(index, done);
  }

  /** Begins: the only voter stands for election at once, others soon. */
  start(): void {
    const { voters } = this.#raft.configuration;
    if (voters.length === 1 && voters[0] === this.#options.memberId) this.#raft.campaign();
    this.#noticeRemoval();
    this.#drive();
  }

  /**
   * Proposes a command whose body is bytes[start, end), copied here; `done` gets its outcome, or
   * why there is none. While auth is enabled, what a client asks for is proposed on behalf of
   * `caller`, and judged when it is applied. It did not happen: no_leader, not_leader (where
   * forwarding is off), too_many_requests, stopped before it left. It may still happen: timeout,
   * timeout_leader_failure, stopped.
   */
  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: Done<Outcome>,
    caller?: Caller,
  ): void {
    this.#requests.propose(kind, bytes, start, end, done, caller);
  }

  /**
   * Proposes a change of the membership, and with it the command that records it. At the leader
   * only: fails with not_leader elsewhere, unhealthy while another change is under way,
   * invalid_argument if it does not fit, leader_changed if it was lost with its leader.
   */
  proposeChange(
    change: { readonly steps: readonly ChangeStep[] },
    kind: CommandKind,
    body: Uint8Array,
    done: Done<Outcome>,
  ): void {
    this.#requests.proposeChange(change.steps, kind, body, done);
  }

  /** Runs `done` when a linearizable read may look at the machine, or with why it may not. */
  read(done: ReadDone): void {
    this.#requests.read(done);
  }

  /** Renews a lease through the leader; `done` gets the seconds it has now, 0 if it is unknown. */
  renewLease(id: bigint, done: (ttlSeconds: number | AetherError) => void): void {
    this.leaseCalls.renew(id, (life) => done(life instanceof AetherError ? life : life.ttlSeconds));
  }

  /** What is left of a lease, by the leader's clock. */
  leaseLife(id: bigint, done: (life: LeaseLife | AetherError) => void): void {
    this.leaseCalls.look(id, done);
  }

  /** The watch hub has catching up to do: its steps run between turns until it has none. */
  wakeHub(): void {
    if (this.#hubAwake || this.#stopped) return;
    this.#hubAwake = true;
    this.#ports.turn.after(TurnPhase.READ, this.#runHub);
  }

  /**
   * Messages from a peer, in order; what they lead to is done at the end of the turn. One of type
   * snapshot is dropped here: it comes with its copy, by receiveSnapshot().
   */
  receive(messages: readonly Message[]): void {
    if (this.#stopped) return;
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i] as Message;
      if (message.type !== "snapshot") this.#raft.step(message);
    }
    this.#driveLater();
  }

  /**
   * A follower's batch, meant for the leader of `term`; it belongs to us from now on. `refuse` is
   * called at once if it is not taken, and only then.
   */
  receiveProposal(
    term: number,
    payload: Uint8Array,
    refuse: (error: AetherError, leader: MemberId) => void,
  ): void {
    this.#requests.receiveProposal(term, payload, refuse);
    this.#driveLater();
  }

  /** A leader did not take the batch `sequence` of ours. */
  proposalRefused(sequence: number, error: AetherError): void {
    this.#requests.proposalRefused(sequence, error);
  }

  /** What was sent to `id` may be lost. */
  unreachable(id: MemberId): void {
    this.#raft.reportUnreachable(id);
    this.#driveLater();
  }

  /**
   * A whole copy of the state lies, checked, beside ours, and no other one is laid there before
   * `done`: once it has taken its place, or brings nothing new. It is not taken: leader_changed,
   * too_many_requests while another one is installed. The next start decides: stopped.
   */
  receiveSnapshot(message: MessageOf<"snapshot">, done: (error?: AetherError) => void): void {
    this.#installation.receive(message, done);
    this.#drive();
  }

  /** Wishes that `to` should lead. Throws AetherError: not_leader, or bad_transferee. */
  transferLeadership(to: MemberId): void {
    this.#leadership.transfer(to);
    this.#driveLater();
  }

  /** Hands leadership to the best voter; `done` when another leads, or when that is not to be. */
  handOver(done: () => void): void {
    this.#leadership.handOver(done);
    this.#driveLater();
  }

  /** One tick of the group's clock. */
  tick(): void {
    if (this.#stopped) return;
    const nowMs = this.#ports.clock.monotonicMs();
    if (this.isLeader && nowMs - this.#tickedMs > 2 * this.#options.tickMs) this.lateTicks++;
    this.#tickedMs = nowMs;
    this.#leadership.tick();
    this.#drops.tick(nowMs);
    this.#raft.tick(nowMs);
    this.expiry.tick(nowMs, this.#raft.term);
    this.#requests.tick();
    this.leaseCalls.tick();
    this.hub.tick(nowMs);
    this.machine.sweep(SWEEP_PER_TICK);
    this.#stateWriter.flush();
    this.compactor.tick();
    this.#drive();
  }

  /** Answers everything that waits with "stopped" and does nothing from then on; once. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.leaseCalls.stop();
    this.compactor.stop();
    this.#copies.stop();
    this.#installation.stop();
    this.#requests.stop();
    this.#leadership.stop();
    if (!this.#applying) this.#stateWriter.flush(); // an answer stops us: half an entry is done
    this.#stateWriter.end();
    this.#logWriter.flush();
  }

  /** Checks every invariant that its parts know of, at any cost; throws AssertionError. */
  verify(): void {
    this.#raft.verify();
    this.hub.verify();
    this.expiry.verify();
  }

  #createLogWriter(): LogWriter {
    const { log, clock } = this.#ports;
    const meter = this.#meter;
    const send = (messages: readonly Message[]): void => this.#send(messages);
    const install: WriterPorts["install"] = (...call) => this.#installation.begin(...call);
    return new LogWriter({ log, send, clock, meter, install }, (ack) => {
      this.#raft.written(ack);
      this.#driveLater();
    });
  }

  #createRequests(): Requests {
    const { transport, clock, turn, random } = this.#ports;
    return new Requests({
      ...{ raft: this.#raft, transport, clock, turn },
      firstSequence: random.below(2 ** 31) * 2 ** 16,
      forward: this.#options.forward ?? true,
      timeoutMs: this.#times.requestTimeoutMs,
      leaderWaitMs: this.#times.leaderWaitMs,
      isStoreFull: (share) => this.#stateWriter.isFull(share),
      appliedIndex: () => this.machine.appliedIndex,
      drive: () => this.#drive(),
    });
  }

  #stepHub(): void {
    this.#hubAwake = false;
    if (this.#stopped) return;
    this.hub.step();
    if (this.hub.hasWork) this.wakeHub();
  }

  /** Performs what Raft asks for at the end of this turn. */
  #driveLater(): void {
    if (this.#driveArmed || this.#driving) return;
    this.#driveArmed = true;
    this.#ports.turn.after(TurnPhase.READ, this.#runDrive);
  }

  /** Performs what Raft asks for now. Never runs inside itself. */
  #drive(): void {
    if (this.#driving) return;
    this.#driving = true;
    let left = READYS_PER_TURN_MAX;
    try {
      while (left-- > 0 && !this.#stopped && this.#raft.hasReady()) {
        this.#perform(this.#raft.ready());
      }
    } finally {
      this.#driving = false;
    }
    if (left < 0 && !this.#stopped) this.#driveLater();
  }

  /** The duties of a Ready, in their order. */
  #perform(ready: Ready): void {
    const { persist, sendNow, sendAfterSync, committed, leadership } = ready;
    this.#logWriter.persist(persist, sendAfterSync);
    if (persist.snapshot !== undefined) this.#installation.accepted(persist.snapshot);
    if (sendNow.length > 0) this.#send(sendNow);
    if (leadership !== undefined) this.#onLeadership(leadership);
    if (committed.length > 0 && !this.#stopped) this.#apply(committed);
    this.#requests.decided(ready);
    if (leadership === undefined) return;
    this.#requests.leaderChanged();
    this.#waiters.applied(this.appliedIndex, this.isReady);
  }

  #send(messages: readonly Message[]): void {
    let others = messages;
    for (const message of messages) {
      if (message.type !== "snapshot") continue;
      this.#stateWriter.flush(); // the copy holds at least what Raft says it does
      this.#copies.send(message);
      others = messages.filter(({ type }) => type !== "snapshot");
    }
    if (others.length > 0) this.#ports.transport.send(others);
  }

  #apply(entries: readonly Entry[]): void {
    this.#applying = true;
    const membership = this.#applier.apply(entries);
    this.#applying = false;
    if (!this.#stopped) this.#tellApplied(membership);
  }

  /** The machine has moved on; `membership`: the members or an alarm may be others. */
  #tellApplied(membership: boolean): void {
    if (this.hub.hasWork) this.wakeHub();
    this.#waiters.applied(this.appliedIndex, this.isReady);
    if (membership) this.#tellMembership();
  }

  #tellMembership(): void {
    this.#ports.onMembership?.();
    this.#noticeRemoval();
  }

  /** A removed leader leads on until others know of it (raft/retire.ts). */
  #noticeRemoval(): void {
    const isNow = isMember(this.#raft.configuration, this.#options.memberId);
    if (isNow) this.#wasMember = true;
    else if (this.#wasMember && !this.isLeader) {
      this.#wasMember = false;
      this.#ports.onRemoved?.();
    }
  }

  #onLeadership({ role, term, leader }: Leadership): void {
    const event = leader === NOBODY ? "no leader" : "elected leader";
    this.#ports.logger.info(event, { role, term, leader: leader.toString(16) });
    if (role === "leader") this.expiry.lead(this.#ports.clock.monotonicMs());
    else this.expiry.follow();
    assert(role !== "leader" || leader === this.#options.memberId, "a leader knows itself");
    this.#leadership.changed();
    this.#noticeRemoval();
  }
}
