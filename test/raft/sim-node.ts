/**
 * One member with a pretended disk and state machine, driven step by step. It performs each Ready
 * as a real driver must; what takes time (a write, applying) can be held and let go on demand.
 */
import type { RaftOptions } from "../../src/raft/config.ts";
import type { Message } from "../../src/raft/message.ts";
import { Raft } from "../../src/raft/raft.ts";
import type { Persist, ReadGrant, ReadRefusal, Ready } from "../../src/raft/ready.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import { DiskLog } from "./disk-log.ts";

/** A state machine: how far, and a chain of hashes over everything it has applied. */
export interface State {
  readonly index: number;
  readonly hash: number;
}

/** A message under way; a snapshot takes the state along. */
export interface Packet {
  readonly message: Message;
  readonly state: State | undefined;
}

interface Write {
  readonly persist: Persist;
  readonly after: readonly Message[];
}

/** What a cluster wants to know of its nodes. */
export interface Observer {
  send(packet: Packet): void;
  onReady(node: SimNode, ready: Ready): void;
  onApplied(node: SimNode, entry: Entry): void;
  onGrant(node: SimNode, grant: ReadGrant): void;
  onRefusal(node: SimNode, refusal: ReadRefusal): void;
}

const START: State = { index: 0, hash: 0 };

export class SimNode {
  readonly id: MemberId;
  readonly disk = new DiskLog();
  readonly #options: Omit<RaftOptions, "id">;
  readonly #observer: Observer;
  #raft: Raft | undefined;
  state: State = START;
  /** What a crash leaves of the state. */
  checkpoint: State = START;
  /** States received, by index, until it is decided whether they are installed. */
  readonly staged = new Map<number, State>();
  readonly writes: Write[] = [];
  readonly toApply: Entry[] = [];
  holdsWrites = false;
  holdsApply = false;

  constructor(id: MemberId, options: Omit<RaftOptions, "id">, observer: Observer) {
    this.id = id;
    this.#options = options;
    this.#observer = observer;
  }

  get up(): boolean {
    return this.#raft !== undefined;
  }

  get raft(): Raft {
    if (this.#raft === undefined) throw new Error(`node ${this.id} is down`);
    return this.#raft;
  }

  start(): void {
    this.state = this.checkpoint;
    if (this.state.index < this.disk.firstIndex - 1) throw new Error("state behind the log");
    const restored = this.disk.restored(this.state.index);
    this.#raft = new Raft({ ...this.#options, id: this.id }, restored, this.disk);
  }

  /** Loses everything that is not durable; `written` of the writes under way still make it. */
  crash(written: number): void {
    for (let i = 0; i < written && this.writes.length > 0; i++) {
      const { persist } = this.writes.shift() as Write;
      this.disk.write(persist);
      if (persist.snapshot !== undefined) this.checkpoint = this.#stagedAt(persist.snapshot.index);
    }
    this.writes.length = 0;
    this.toApply.length = 0;
    this.holdsWrites = false;
    this.holdsApply = false;
    this.staged.clear();
    this.#raft = undefined;
  }

  /** Takes one Ready and performs what is not held; false if there was none. */
  turn(): boolean {
    if (!this.raft.hasReady()) return false;
    const ready = this.raft.ready();
    this.#observer.onReady(this, ready);
    this.writes.push({ persist: ready.persist, after: ready.sendAfterSync });
    for (const message of ready.sendNow) this.#send(message);
    for (const entry of ready.committed) this.toApply.push(entry);
    for (const grant of ready.reads) this.#observer.onGrant(this, grant);
    for (const refusal of ready.refusedReads) this.#observer.onRefusal(this, refusal);
    if (!this.holdsWrites) while (this.finishWrite());
    if (!this.holdsApply) while (this.applyOne());
    return true;
  }

  /** Lets the oldest write become durable. */
  finishWrite(): boolean {
    const write = this.writes.shift();
    if (write === undefined) return false;
    const { persist, after } = write;
    this.disk.write(persist);
    if (persist.snapshot !== undefined) this.#install(persist.snapshot.index);
    if (persist.mustSync) this.raft.written(persist.ack);
    for (const message of after) this.#send(message);
    return true;
  }

  /** Applies the oldest entry handed out. */
  applyOne(): boolean {
    const entry = this.toApply.shift();
    if (entry === undefined) return false;
    if (entry.index > this.state.index) {
      if (entry.index !== this.state.index + 1) throw new Error("a gap between applied entries");
      this.state = { index: entry.index, hash: chained(this.state.hash, entry) };
      this.#observer.onApplied(this, entry);
    }
    this.raft.appliedTo(entry.index);
    return true;
  }

  /** Takes a packet; a snapshot's state lies beside ours before Raft hears of it. */
  receive({ message, state }: Packet): void {
    if (state !== undefined) this.staged.set(state.index, state);
    this.raft.step(message);
  }

  /** What has been applied so far survives a crash from now on. */
  saveState(): void {
    this.checkpoint = this.state;
  }

  compact(index: number): void {
    const meta = this.raft.snapshotAt(index);
    this.raft.compactTo(meta);
    this.disk.compact(meta);
  }

  #install(index: number): void {
    this.state = this.#stagedAt(index);
    this.checkpoint = this.state;
    this.toApply.length = 0;
  }

  #stagedAt(index: number): State {
    const state = this.staged.get(index);
    if (state === undefined) throw new Error("the received state is gone");
    return state;
  }

  #send(message: Message): void {
    if (message.type !== "snapshot") {
      this.#observer.send({ message, state: undefined });
      return;
    }
    // The copy that is really sent may be newer than what Raft asked for.
    const meta = this.raft.snapshotAt(this.state.index);
    this.#observer.send({ message: { ...message, meta }, state: this.state });
  }
}

function chained(hash: number, entry: Entry): number {
  let next = Math.imul(hash ^ entry.index, 0x9e3779b1) ^ entry.term;
  for (const byte of entry.payload) next = Math.imul(next ^ byte, 0x01000193);
  return next >>> 0;
}
