/**
 * The safety properties of the paper (figure 3), checked over all members after every step, and
 * that granted reads are linearizable (thesis §6.4).
 */
import { configurationText } from "../../src/raft/membership/configuration.ts";
import type { ReadGrant, Ready } from "../../src/raft/ready.ts";
import type { Entry, MemberId } from "../../src/raft/types.ts";
import type { SimNode } from "./sim-node.ts";

interface LogSeen {
  readonly payload: Uint8Array;
  readonly previousTerm: number;
}

export class Checker {
  readonly #leaders = new Map<number, MemberId>();
  readonly #entries = new Map<string, LogSeen>();
  readonly #committed: number[] = []; // the term of each committed index
  readonly #hashes = new Map<number, number>();
  readonly #configurations = new Map<number, string>();
  readonly #seenCommit = new Map<MemberId, number>();
  readonly #reads = new Map<number, number>();
  commitMax = 0;
  granted = 0;

  /** A member went down; it may come back with an older commit index. */
  forget(node: SimNode): void {
    this.#seenCommit.delete(node.id);
  }

  /** Log matching: an (index, term) is one payload after one previous term, everywhere. */
  onReady(node: SimNode, ready: Ready): void {
    const { entries } = ready.persist;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry;
      const previousTerm = entries[i - 1]?.term ?? node.raft.termAt(entry.index - 1);
      const key = `${entry.index}/${entry.term}`;
      const seen = this.#entries.get(key);
      if (seen === undefined) this.#entries.set(key, { payload: entry.payload, previousTerm });
      else if (Buffer.compare(seen.payload, entry.payload) !== 0) fail(`log matching: ${key}`);
      else if (seen.previousTerm !== previousTerm) fail(`log matching before ${key}`);
    }
  }

  /** State machine safety: the same state at the same index. */
  onApplied(node: SimNode, entry: Entry): void {
    this.#same(this.#hashes, entry.index, node.state.hash, "state machine safety");
    if (entry.index > node.raft.committed) fail(`applied ${entry.index}, not committed`);
    if (entry.index > node.raft.durable) fail(`applied ${entry.index}, not durable`);
  }

  askedRead(id: number): void {
    this.#reads.set(id, this.commitMax);
  }

  /** A read must see whatever anyone knew to be committed when it was asked. */
  onGrant({ id, index }: ReadGrant): void {
    const floor = this.#reads.get(id);
    if (floor === undefined) fail(`read ${id} was granted twice or never asked`);
    if (index < floor) fail(`read ${id} granted at ${index}, ${floor} was committed`);
    this.#reads.delete(id);
    this.granted++;
  }

  /** A read that was answered without a message. */
  readAtOnce(index: number): void {
    if (index < this.commitMax) fail(`read at ${index}, ${this.commitMax} was committed`);
    this.granted++;
  }

  /** Looks at a member after it did something. */
  check(node: SimNode): void {
    if (!node.up) return;
    const { raft } = node;
    raft.verify();
    this.#checkCommitted(node);
    if (raft.role === "leader") this.#checkLeader(node);
    if (node.state.index === raft.applied) {
      const text = configurationText(raft.configuration);
      this.#same(this.#configurations, raft.applied, text, "one configuration per index");
    }
  }

  #checkCommitted({ raft, id }: SimNode): void {
    const seen = this.#seenCommit.get(id) ?? 0;
    if (raft.committed < seen) fail(`commit of ${id} went back`);
    for (let index = Math.max(seen + 1, raft.firstIndex); index <= raft.committed; index++) {
      const term = raft.termAt(index);
      if (this.#committed[index] === undefined) this.#committed[index] = term;
      else if (this.#committed[index] !== term) fail(`${id} committed another entry at ${index}`);
    }
    this.#seenCommit.set(id, raft.committed);
    this.commitMax = Math.max(this.commitMax, raft.committed);
  }

  /** Election safety; leader completeness, once when its term begins. */
  #checkLeader({ raft, id }: SimNode): void {
    const leader = this.#leaders.get(raft.term);
    if (leader === id) return;
    if (leader !== undefined) fail(`term ${raft.term} is led by ${leader} and ${id}`);
    this.#leaders.set(raft.term, id);
    for (let index = raft.firstIndex; index < this.#committed.length; index++) {
      const term = this.#committed[index];
      if (term !== undefined && term < raft.term && raft.termAt(index) !== term) {
        fail(`leader ${id} of term ${raft.term} lacks the committed entry ${index}`);
      }
    }
  }

  #same<T>(seen: Map<number, T>, index: number, value: T, what: string): void {
    const before = seen.get(index);
    if (before === undefined) seen.set(index, value);
    else if (before !== value) fail(`${what}: ${before} and ${value} at ${index}`);
  }
}

function fail(what: string): never {
  throw new Error(`SAFETY: ${what}`);
}
