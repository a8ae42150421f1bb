/** Member 1 of a group by itself: messages in, what it says and does out. */
import { Prng } from "../../src/base/prng.ts";
import type { RaftOptions } from "../../src/raft/config.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Message } from "../../src/raft/message.ts";
import { Raft } from "../../src/raft/raft.ts";
import { founding } from "../../src/raft/restore.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import { DiskLog } from "./disk-log.ts";
import { messageText } from "./message-text.ts";

export function member(id: number): MemberId {
  return BigInt(id) as MemberId;
}

export function entry(index: number, term: number): Entry {
  return { index, term, kind: "normal", payload: Buffer.from(`${index}`) };
}

export interface Start {
  readonly members?: number;
  /** The terms of the entries from index 2 on; the founding at index 1 is of term 1. */
  readonly log?: readonly number[];
  readonly term?: number;
  readonly options?: Partial<RaftOptions>;
}

/** Fields that messages to member 1 may leave out. */
type Loose = { readonly type: Message["type"]; readonly from: number; readonly term: number } & {
  readonly [field: string]: unknown;
};

export class One {
  readonly disk = new DiskLog();
  readonly raft: Raft;
  readonly applied: number[] = [];

  constructor({ members = 3, log = [], term = log.at(-1) ?? 1, options = {} }: Start = {}) {
    const all = Array.from({ length: members }, (_, i) => member(i + 1));
    const { snapshot } = founding(configurationOf(all));
    const entries = log.map((of, i) => entry(i + 2, of));
    this.disk.write({ hardState: { term, vote: 0n, commit: 1 }, snapshot, entries });
    const plain = { preVote: false, checkQuorum: false, electionTicks: 10, random: new Prng(7) };
    const settings = { ...plain, ...options, id: member(1) };
    this.raft = new Raft(settings, this.disk.restored(1), this.disk);
  }

  /** Takes a message to us; returns what we say to it once everything is durable. */
  hear(message: Loose): string[] {
    const defaults = { to: member(1), entries: [], commit: 0, rejection: undefined, force: false };
    this.raft.step({ ...defaults, ...message, from: member(message.from) } as unknown as Message);
    return this.take();
  }

  /** Performs every Ready; returns what was sent. */
  take(): string[] {
    const sent: string[] = [];
    while (this.raft.hasReady()) {
      const ready = this.raft.ready();
      this.disk.write(ready.persist);
      if (ready.persist.mustSync) this.raft.written(ready.persist.ack);
      for (const message of ready.sendNow) sent.push(messageText(message));
      for (const message of ready.sendAfterSync) sent.push(messageText(message));
      for (const { index } of ready.committed) this.applied.push(index);
      const last = ready.committed.at(-1);
      if (last !== undefined) this.raft.appliedTo(last.index);
    }
    this.raft.verify();
    return sent;
  }

  tick(times: number): string[] {
    const sent: string[] = [];
    for (let i = 0; i < times; i++) {
      this.raft.tick();
      sent.push(...this.take());
    }
    return sent;
  }

  /** Elected by the votes of as many others as are needed. */
  lead(): this {
    this.raft.campaign();
    this.take();
    const { term } = this.raft;
    for (let from = 2; this.raft.role !== "leader"; from++) {
      this.hear({ type: "vote-response", from, term, granted: true });
    }
    return this;
  }

  terms(): number[] {
    const terms: number[] = [];
    for (let i = this.raft.firstIndex; i <= this.raft.lastIndex; i++)
      terms.push(this.raft.termAt(i));
    return terms;
  }
}
