/**
 * A group over memory stores whose clock, turns and disks move only when the test says so. The
 * disks outlive the group: crash() and boot() are a restart.
 */
import { keyFromText } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import type { Clock, Log } from "../../src/base/ports.ts";
import { Prng } from "../../src/base/prng.ts";
import { Turn } from "../../src/base/turn.ts";
import { Group } from "../../src/node/group.ts";
import type { HeldState, LeaseAnswer, Transport } from "../../src/node/ports.ts";
import { silentLog } from "../../src/observe/log.ts";
import {
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { RaftConfig } from "../../src/raft/config.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Message, MessageOf } from "../../src/raft/message.ts";
import { founding } from "../../src/raft/restore.ts";
import type { MemberId } from "../../src/raft/types.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { AuthChange, CommandResult, Outcome } from "../../src/state/results.ts";
import { MemoryLogDisk, MemoryLogStore } from "../../src/storage/memory-log.ts";
import { MemoryStateDisk, MemoryStateStore } from "../../src/storage/memory-state.ts";
import { encoded, texts } from "../state/driver.ts";

export const MEMBER = 0x8e9e05c52164694dn as MemberId;
export const TICK_MS = 100;
export const ELECTION_TICKS = 10;
/** 5 s and two election timeouts. */
export const REQUEST_TIMEOUT_MS = 5000 + 2 * ELECTION_TICKS * TICK_MS;

/** Three election timeouts. */
export const LEADER_WAIT_MS = 3 * ELECTION_TICKS * TICK_MS;

export class FakeClock implements Clock {
  nowMs = 1000;
  monotonicMs(): number {
    return this.nowMs;
  }
  wallMs(): number {
    return this.nowMs;
  }
}

/** Keeps everything that is sent. */
export class RecordingTransport implements Transport {
  readonly #sent: Message[];
  readonly proposals: { to: MemberId; term: number; payload: Uint8Array }[] = [];
  readonly snapshots: {
    message: MessageOf<"snapshot">;
    held: HeldState;
    onEnd: (arrived: boolean) => void;
  }[] = [];
  readonly leaseQuestions: {
    kind: "renew" | "look";
    to: MemberId;
    ids: readonly bigint[];
    onAnswer: LeaseAnswer;
  }[] = [];
  /** Whether a batch can be passed on. */
  connected = true;

  constructor(sent: Message[]) {
    this.#sent = sent;
  }

  send(messages: readonly Message[]): void {
    this.#sent.push(...messages);
  }

  propose(to: MemberId, term: number, payload: Uint8Array): boolean {
    if (this.connected) this.proposals.push({ to, term, payload });
    return this.connected;
  }

  sendSnapshot(
    message: MessageOf<"snapshot">,
    held: HeldState,
    onEnd: (arrived: boolean) => void,
  ): void {
    this.snapshots.push({ message, held, onEnd });
  }

  renewLeases(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.leaseQuestions.push({ kind: "renew", to, ids, onAnswer });
  }

  leaseLives(to: MemberId, ids: readonly bigint[], onAnswer: LeaseAnswer): void {
    this.leaseQuestions.push({ kind: "look", to, ids, onAnswer });
  }
}

export interface DrivenOptions {
  readonly snapshotTriggerEntries?: number;
  readonly voters?: readonly MemberId[];
  readonly forward?: boolean;
  readonly logger?: Log;
  readonly raft?: Partial<RaftConfig>;
  readonly leaseCheckpointMs?: number;
}

export class DrivenGroup {
  readonly clock = new FakeClock();
  readonly random = new Prng(7);
  readonly logDisk = new MemoryLogDisk();
  readonly stateDisk = new MemoryStateDisk();
  /** Messages to peers, all of them. */
  readonly sent: Message[] = [];
  readonly transport = new RecordingTransport(this.sent);
  readonly #options: DrivenOptions;
  log!: MemoryLogStore;
  store!: MemoryStateStore;
  turn!: Turn;
  group!: Group;
  /** Told of tokens. */
  onAuth: (change: AuthChange) => void = () => undefined;
  #armed: (() => void)[] = [];

  constructor(options: DrivenOptions = {}) {
    this.#options = options;
    this.boot();
  }

  /** Stores and a group over what the disks hold; not started. */
  boot(): void {
    const {
      snapshotTriggerEntries = 10_000,
      voters = [MEMBER],
      logger = silentLog,
      forward = true,
      raft = {},
    } = this.#options;
    this.#armed = [];
    this.turn = new Turn((run) => this.#armed.push(run));
    this.log = new MemoryLogStore(this.logDisk, { acknowledge: "on demand" });
    this.store = new MemoryStateStore(this.stateDisk, { acknowledge: "on demand" });
    this.group = new Group(
      {
        memberId: MEMBER,
        tickMs: TICK_MS,
        electionTicks: ELECTION_TICKS,
        snapshotTriggerEntries,
        forward,
        raft,
        founding: { ...founding(configurationOf([...voters])), members: [] },
        leaseCheckpointMs: this.#options.leaseCheckpointMs,
      },
      {
        log: this.log,
        store: this.store,
        clock: this.clock,
        random: this.random,
        turn: this.turn,
        logger,
        transport: this.transport,
        onAuth: (change) => this.onAuth(change),
      },
    );
  }

  /** A group that leads and has applied its first entry. */
  static leading(options: DrivenOptions = {}): DrivenGroup {
    const driven = new DrivenGroup(options);
    driven.group.start();
    driven.settle();
    return driven;
  }

  /** Power cut: what is not synced is gone, `kept` stored changes of the state excepted. */
  crash(kept = 0): void {
    this.stateDisk.crash(kept);
  }

  /** One end of a turn; false if nothing waited for it. */
  endTurn(): boolean {
    const run = this.#armed.shift();
    run?.();
    return run !== undefined;
  }

  /** Ends turns until nothing waits for one. */
  endTurns(): void {
    while (this.endTurn());
  }

  /** Lets the oldest `count` writes of the log become durable, and what follows happen. */
  syncLog(count = Number.POSITIVE_INFINITY): void {
    this.log.sync(count);
    this.endTurns();
  }

  /** Turns and disks until nothing moves. */
  settle(): void {
    for (let moved = true; moved; ) {
      moved = this.endTurn() || this.log.pendingCount > 0 || this.store.pendingCount > 0;
      this.log.sync();
      this.store.store();
    }
  }

  /** Lets time pass in ticks, without the disks. */
  tick(ms = TICK_MS): void {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.clock.nowMs += TICK_MS;
      this.group.tick();
    }
  }

  /** Lets time pass, everything moving along. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.tick();
      this.settle();
    }
  }

  propose(kind: CommandKind, body: Uint8Array): Call {
    const call = new Call();
    this.group.propose(kind, body, 0, body.length, call.done);
    return call;
  }

  put(key: string, value = "", more: Partial<PutRequest> = {}): Call {
    return this.propose(CommandKind.put, putBody(key, value, more));
  }

  delete(key: string): Call {
    const body = encoded(DeleteRangeRequest, { key: keyFromText(key), rangeEnd: "" });
    return this.propose(CommandKind.deleteRange, body);
  }

  compact(revision: number): Call {
    return this.propose(CommandKind.compact, encoded(CompactionRequest, { revision }));
  }

  grant(ID: bigint, TTL: number): Call {
    return this.propose(CommandKind.leaseGrant, encoded(LeaseGrantRequest, { ID, TTL }));
  }

  revoke(ID: bigint): Call {
    return this.propose(CommandKind.leaseRevoke, encoded(LeaseRevokeRequest, { ID }));
  }

  read(): Read {
    const read = new Read();
    this.group.read(read.done);
    return read;
  }

  /** Live keys and values, as "key=value". */
  contents(): string[] {
    return texts(this.group.machine.range(RangeRequest.create({ key: "\0", rangeEnd: "\0" })));
  }
}

export function putBody(key: string, value = "", more: Partial<PutRequest> = {}): Uint8Array {
  const partial = { key: keyFromText(key), value: Buffer.from(value), ...more };
  return encoded(PutRequest, partial);
}

/** Whoever waits for a proposal; a second answer is a failure of the test. */
export class Call {
  outcome: Outcome | undefined = undefined;
  readonly done = (outcome: Outcome): void => {
    if (this.outcome !== undefined) throw new Error("a call was answered twice");
    this.outcome = outcome;
  };

  get answered(): boolean {
    return this.outcome !== undefined;
  }

  /** The code of the failure, "ok", or "waiting". */
  get code(): string {
    if (this.outcome === undefined) return "waiting";
    return this.outcome instanceof AetherError ? this.outcome.code : "ok";
  }

  result(): CommandResult {
    if (this.outcome === undefined || this.outcome instanceof AetherError) {
      throw new Error(`no result: ${this.code}`);
    }
    return this.outcome;
  }
}

/** Whoever waits for a read; a second answer is a failure of the test. */
export class Read {
  code = "waiting";
  readonly done = (error: AetherError | undefined): void => {
    if (this.code !== "waiting") throw new Error("a read was answered twice");
    this.code = error === undefined ? "ok" : error.code;
  };
}

export const PEER = 2n as MemberId;

/** The other voter of a group of two: votes for whoever asks and takes every entry. */
export class Companion {
  readonly #driven: DrivenGroup;

  constructor(driven: DrivenGroup) {
    this.#driven = driven;
  }

  /** Answers what was sent so far; false if there was nothing. */
  obey(): boolean {
    const messages = this.#driven.sent.splice(0);
    for (const message of messages) this.#answer(message);
    return messages.length > 0;
  }

  /** Answers until nothing moves. */
  settle(): void {
    do this.#driven.settle();
    while (this.obey());
  }

  /** Says that a later term has begun. */
  depose(): void {
    const term = this.#driven.group.term + 1;
    const envelope = { from: PEER, to: MEMBER, term };
    this.#driven.group.receive([{ type: "heartbeat", ...envelope, commit: 0, round: 0 }]);
    this.#driven.endTurns();
  }

  /** Lets the group stand for election, and win. */
  elect(): void {
    for (let ticks = 0; !this.#driven.group.isLeader; ticks++) {
      if (ticks > 4 * ELECTION_TICKS) throw new Error("nobody was elected");
      this.#driven.tick();
      this.settle();
    }
  }

  #answer(message: Message): void {
    const envelope = { from: PEER, to: MEMBER, term: message.term };
    const { group } = this.#driven;
    if (message.type === "pre-vote") {
      group.receive([{ type: "pre-vote-response", ...envelope, granted: true }]);
    } else if (message.type === "vote") {
      group.receive([{ type: "vote-response", ...envelope, granted: true }]);
    } else if (message.type === "append") {
      const index = message.prevIndex + message.entries.length;
      const { commit } = message;
      group.receive([
        { type: "append-response", ...envelope, index, commit, rejection: undefined },
      ]);
    } else if (message.type === "heartbeat") {
      group.receive([{ type: "heartbeat-response", ...envelope, round: message.round }]);
    }
  }
}
